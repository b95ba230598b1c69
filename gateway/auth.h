// Who may ask: bearer keys given at start (--api-key, which may do everything), and those of a file
// (--api-key-file), which can be exchanged for another while requests run.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "gateway/api_keys.h"
#include "gateway/principal.h"

namespace nextgate::gateway {

class Auth {
 public:
  // Neither keys nor a file: everybody may.
  explicit Auth(const std::vector<std::string>& keys, std::shared_ptr<const ApiKeys> file = nullptr,
                const Clock& clock = Clock::System());

  // `header` is the value of Authorization. kUnauthenticated unless it is "Bearer KEY" with a known
  // key that has not expired. Digests are compared: the time says nothing about any key.
  Result<PrincipalPtr> Identify(std::string_view header) const;

  // Requests that begin from now on are judged by `file`. REQUIRES: not null.
  void Exchange(std::shared_ptr<const ApiKeys> file);

 private:
  std::vector<std::string> digests_;  // of --api-key
  const Clock& clock_;
  mutable std::mutex mutex_;             // guards the next one
  std::shared_ptr<const ApiKeys> file_;  // null: there is none
};

}  // namespace nextgate::gateway
