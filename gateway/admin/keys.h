// Who may use the admin API, and for what. Keys come from --admin-api-key-file, one a line:
//
//   ROLE:KEY [LABEL]              read:3f9ac0…  grafana
//   ROLE:sha256:HEX [LABEL]       write:sha256:9f86d081…  ops
//
// ROLE is read or write (which may read too). LABEL is how the audit log calls the key; without one it
// is "line N". Empty lines and lines that begin with # are skipped. `nextgate admin keys new` makes
// such a line. Only SHA-256 digests are kept; keys must be long and random, as those of `keys new` are.
//
// Without such a file the API is open to the loopback, and to nobody else. Then, and only then, requests
// that a web page might have sent are refused: those with an Origin other than ours, and those whose
// Host is a name other than localhost (DNS rebinding).
//
// Threads: AdminKeys is immutable; AdminKeyRing from any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "gateway/http_server.h"

namespace nextgate::gateway::admin {

enum class Role { kRead, kWrite };
std::string_view RoleName(Role role);  // "read", "write"

struct AdminCaller {
  std::string label;  // of the key, or "loopback"
  Role role = Role::kRead;
};

class AdminKeys {
 public:
  static constexpr size_t kKeyBytesMin = 16;

  struct Key {
    std::string digest;  // SHA-256, 32 bytes
    AdminCaller caller;
  };

  AdminKeys() = default;  // none
  explicit AdminKeys(std::vector<Key> keys) : keys_(std::move(keys)) {}

  // Errors name the line, never what is in it.
  static Result<AdminKeys> Parse(std::string_view text);

  // Who is asking. kUnauthenticated without a known key, kPermissionDenied where no key helps.
  Result<AdminCaller> Identify(const ServerRequest& http) const;

  // kPermissionDenied unless `caller` may do what needs `role`.
  static Status Require(const AdminCaller& caller, Role role);

  const std::vector<Key>& keys() const { return keys_; }

 private:
  std::vector<Key> keys_;
};

// The keys that hold now, which can be exchanged for others while requests run.
class AdminKeyRing {
 public:
  explicit AdminKeyRing(AdminKeys keys = {})
      : keys_(std::make_shared<const AdminKeys>(std::move(keys))) {}

  std::shared_ptr<const AdminKeys> Get() const {
    const std::lock_guard lock(mutex_);
    return keys_;
  }
  // REQUIRES: not null.
  void Exchange(std::shared_ptr<const AdminKeys> keys) {
    const std::lock_guard lock(mutex_);
    keys_ = std::move(keys);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const AdminKeys> keys_;
};

// A fresh key, "nga_" and 43 random characters, and the line for the file.
struct NewKey {
  std::string key;
  std::string line;
};
NewKey MakeKey(Role role, std::string_view label);

// "read" or "write".
Result<Role> ParseRole(std::string_view text);

}  // namespace nextgate::gateway::admin
