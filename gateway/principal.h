// Who asks: what an API key stands for, once it was recognised.
//
// Threads: immutable, shared.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/key.h"
#include "cache/semantic/mode.h"

namespace nextgate::gateway {

// 0: no limit.
struct KeyLimits {
  int64_t rpm = 0;          // requests a minute
  int64_t tpm = 0;          // tokens a minute, prompts and answers
  int64_t concurrency = 0;  // requests at once
  bool operator==(const KeyLimits&) const = default;
};

// What a key may do with the answer cache. no-store is everybody's right.
struct CacheRights {
  bool read = true;        // get stored answers, and follow those in the making
  bool write = true;       // have its answers stored
  bool ttl = true;         // choose for how long
  bool name_space = true;  // choose a namespace
  bool refresh = true;     // no-cache, max-age
  bool semantic = true;    // choose a semantic mode beyond its own
  bool operator==(const CacheRights&) const = default;
};

struct Principal {
  std::string label;   // for logs; "" for nobody in particular
  std::string id;      // of a key in --api-key-file: limits are counted under it. "": no limits
  cache::Scope scope;  // tenant, team and user: answers of other scopes do not exist for it
  std::vector<std::string> models;  // empty: all
  CacheRights cache;
  std::optional<cache::SemanticMode> semantic;  // instead of the route's
  KeyLimits limits;
  std::optional<int64_t> expires_unix_s;
};

using PrincipalPtr = std::shared_ptr<const Principal>;

// Who needs no key, or has one of --api-key: every right, no limits, the scope without names.
const PrincipalPtr& Everybody();

}  // namespace nextgate::gateway
