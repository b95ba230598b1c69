// Who may ask: bearer keys given at start.
//
// Threads: immutable.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace nextgate::gateway {

class Auth {
 public:
  // No keys: everybody may.
  explicit Auth(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  bool open() const { return keys_.empty(); }

  // `header` is the value of Authorization. kUnauthenticated unless it is "Bearer KEY" with one of
  // the keys; compared in a time that does not depend on where they differ.
  Status Check(std::string_view header) const;

 private:
  std::vector<std::string> keys_;
};

}  // namespace nextgate::gateway
