// The file of API keys (--api-key-file): JSON lines, one key each. Empty lines and lines that begin with
// # are skipped. `nextgate admin keys new-api` makes such a line.
//
//   {"key_sha256": "9f86…", "label": "web", "tenant": "acme", "team": "search", "user": "u1",
//    "models": ["m"], "cache": ["read", "write", "ttl", "namespace", "refresh"],
//    "rpm": 600, "tpm": 100000, "concurrency": 8, "expires": "2027-01-31"}
//
// key_sha256   SHA-256 of the key, 64 lower-case hex digits; the key itself is nowhere in the file
// label        for logs; without it "line-N"
// tenant, team, user   whose answers it shares; without them those of all keys without them
// models       what it may ask for; without it everything that is served
// cache        what it may do with the answer cache (principal.h); without it everything, [] nothing
// rpm, tpm, concurrency   at least 1; without one there is no such limit
// expires      "YYYY-MM-DD" (its first instant, UTC), "YYYY-MM-DDTHH:MM:SSZ", or Unix seconds
//
// Threads: immutable.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "base/status.h"
#include "gateway/principal.h"

namespace nextgate::gateway {

class ApiKeys {
 public:
  // Errors name the line and the member, never what is in them. At least one key.
  static Result<ApiKeys> Parse(std::string_view text);

  // By the SHA-256 of what a client sent; null: unknown. Expired keys are known.
  PrincipalPtr Find(const std::string& digest) const;

  size_t size() const { return by_digest_.size(); }

 private:
  std::unordered_map<std::string, PrincipalPtr> by_digest_;
};

// "YYYY-MM-DD" or "YYYY-MM-DDTHH:MM:SSZ" in Unix seconds.
Result<int64_t> ParseInstant(std::string_view text);

// A fresh key, "ngk_" and 43 random characters, and its line for the file. The label, scope, models,
// rights and limits are `of`'s; `expires` as in the file, or empty.
struct NewApiKey {
  std::string key;
  std::string line;
};
NewApiKey MakeApiKey(const Principal& of, std::string_view expires);

// The rights that a list of their names ("read", "write", "ttl", "namespace", "refresh") gives.
Result<CacheRights> ParseCacheRights(const std::vector<std::string>& names);

}  // namespace nextgate::gateway
