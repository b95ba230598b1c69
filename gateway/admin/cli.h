// `nextgate admin …`: the admin API from a command line, with tables for people and the server's own JSON
// for machines (--json).
//
// Exit codes: 0 done; 1 the server could not be reached, refused, or something was left undone; 2 the
// command line is wrong. Errors go to stderr, one line.
//
// Threads: one.
#pragma once

#include <functional>
#include <iosfwd>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gateway/http_client.h"

namespace nextgate::gateway::admin {

// `args`: what follows `nextgate admin`.
int RunAdmin(std::span<const std::string> args);

// A command line, taken apart.
struct AdminCommandLine {
  std::string command;
  std::vector<std::string> positional;
  std::map<std::string, std::string> options;  // by name without dashes; of the command only
  std::string url = "http://127.0.0.1:8001";
  std::string key_file;
  bool json = false;
  bool help = false;
};
// Errors name the option and what there is.
Result<AdminCommandLine> ParseAdminCommandLine(std::span<const std::string> args);
std::string AdminHelp();

// Talks to one server.
class AdminClient {
 public:
  // `key` may be empty.
  static Result<AdminClient> Open(const std::string& url, std::string key);

  static constexpr int64_t kReadTimeoutMs = 120'000;  // without a byte

  // The body of a 2xx reply. An error carries the server's message.
  Result<std::string> Call(const std::string& method, const std::string& target,
                           const std::string& body = "", const char* content_type = "",
                           int64_t read_timeout_ms = kReadTimeoutMs) const;
  // The same with the body handed over in pieces.
  Status Stream(const std::string& target,
                const std::function<bool(std::string_view)>& on_body) const;

 private:
  AdminClient(Url base, std::string key) : base_(std::move(base)), key_(std::move(key)) {}
  HttpRequest RequestFor(const std::string& method, const std::string& target) const;

  Url base_;
  std::string key_;
};

// One command: calls the server and prints to `out`. False: something was left undone (exit code 1).
using AdminCommandFunction = Result<bool> (*)(const AdminCommandLine& line,
                                              const AdminClient& client, std::ostream& out);
AdminCommandFunction FindAdminCommand(std::string_view command);  // null: local or unknown

}  // namespace nextgate::gateway::admin
