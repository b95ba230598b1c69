// Reads the files of keys again while requests run (--api-key-file, --admin-api-key-file): on SIGHUP and by
// POST /admin/config/reload. Requests that begin from now on are judged by the new keys.
//
// The command line, --config FILE and all files of secrets are read and checked as at the start. If
// anything is wrong with any of them nothing changes, and the error says why. What else is different
// now needs a restart, and is told by its flag's name.
//
// Threads: Reload from any thread, one at a time.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "gateway/admin/keys.h"
#include "gateway/auth.h"
#include "gateway/serve_options.h"

namespace nextgate::gateway::admin {

// What takes effect without a restart.
inline constexpr std::string_view kReloadable[] = {"admin-api-key-file", "api-key-file"};

class Reloader {
 public:
  struct Parts {
    const ServeOptions& options;    // as at the start
    std::vector<std::string> args;  // what follows `nextgate serve`
    Auth& auth;
    AdminKeyRing& admin_keys;
  };
  explicit Reloader(Parts parts) : p_(std::move(parts)) {}

  struct Report {
    std::vector<std::pair<std::string, size_t>> keys;  // by flag, how many there are now
    std::vector<std::string> needs_restart;            // flags whose value is another now
  };
  // `who` is for the audit line.
  Result<Report> Reload(std::string_view who);

 private:
  Result<Report> Exchange();

  const Parts p_;
  std::mutex mutex_;
};

}  // namespace nextgate::gateway::admin
