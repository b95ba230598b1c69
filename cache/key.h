// The identity of a request: two requests have equal keys if and only if they must get the same
// answer.
//
//   canonical = compact JSON of every request field after defaults, the endpoint included, without
//               the fields of kIrrelevantFields and without top-level nulls; object keys sorted by
//               bytes; one number format; text that the tokenizer reads in NFC
//   partition = HMAC-SHA256(secret, scope) ":" fingerprint of the model
//   hash      = XXH3-128(partition "\n" canonical)
//
// The hash only finds an entry; the material (partition and canonical request) is stored with it
// and compared in full, so a collision costs a miss and never a wrong answer.
//
// Numbers: 1, 1.0 and 1e0 are one number, -0 is 0, integers are kept exactly to 64 bits, all else
// is the shortest decimal that reads back as the same double. NFC: values below messages, prompt,
// suffix, tools, functions, documents and chat_template_kwargs, because the tokenizer applies NFC
// to them before anything looks at them. Not: object keys (two could become one), strings that are
// compared with or copied to the output byte by byte (stop, structured outputs, …), and the prompt
// when `echo` returns it.
//
// Threads: everything here is const or pure; may be called from any thread. Nothing depends on the
// process, the locale or the order in which fields arrive.
#pragma once

#include <expected>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "cache/reason.h"

namespace nextgate::cache {

// Nesting beyond which a request is not canonicalised (the walk is recursive).
inline constexpr int kDepthMax = 128;

// Fields that cannot change an answer: how it is delivered (stream, stream_options), who asks as a
// label (user, metadata, request_id), when it runs (priority), and the cache controls themselves
// (cache).
std::span<const std::string_view> IrrelevantFields();
// Every field that can change an answer. A field in neither list makes a request ineligible.
std::span<const std::string_view> RelevantFields();

struct Ineligible {
  Reason reason = Reason::kNone;
  std::string detail;  // the field's name; never a value
};

// The canonical text of `request`: an object of every field that reaches the generator, after
// defaults, plus "endpoint". REQUIRES: request.is_object().
std::expected<std::string, Ineligible> Canonicalise(const nlohmann::json& request);

// Whose answers these are. Requests of different scopes never see each other's entries. Parts may
// be empty; ("ab", "c") and ("a", "bc") are different scopes.
struct Scope {
  std::string tenant;
  std::string team;
  std::string user;
  std::string name_space;  // chosen by the client: body cache.namespace
  bool operator==(const Scope&) const = default;
};

// Turns a scope into the opaque first part of every key, so that neither a store's contents nor a
// chosen namespace can lead into another tenant's entries.
class Partitioner {
 public:
  // Instances that share entries share the secret. REQUIRES: !secret.empty().
  explicit Partitioner(std::string secret);
  // 32 bytes of the operating system's randomness: for one process alone.
  static std::string RandomSecret();

  // 64 hex digits of HMAC-SHA256(secret, scope), ":", `model_fingerprint`.
  std::string Partition(const Scope& scope, std::string_view model_fingerprint) const;

 private:
  std::string secret_;
};

struct CacheKey {
  Hash128 hash;
  std::string material;  // partition "\n" canonical: what must be equal on a hit
};

// The parts of a key's material: 64 hex digits of the scope, the model's fingerprint, the canonical
// request. All empty if `material` is not of MakeKey's making. Views into `material`.
struct MaterialParts {
  std::string_view scope_id;
  std::string_view fingerprint;
  std::string_view canonical;
};
MaterialParts SplitMaterial(std::string_view material);

// Injected where a test needs collisions.
using HashFunction = Hash128 (*)(std::string_view);

// REQUIRES: `partition` has no newline (Partitioner's never has, unless the fingerprint does).
CacheKey MakeKey(std::string_view partition, std::string_view canonical,
                 HashFunction hash = HashBytes);

}  // namespace nextgate::cache
