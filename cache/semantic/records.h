// What instances tell each other of the semantic tier, as records of three logs
// (cache/redis/record_log.h):
//
//   questions:<embedder>  which entry answers which question: QuestionRecord
//   evidence              what was learned of candidates: EvidenceRecord
//   rejections            what feedback forbids: Rejection
//
//   "NGS1" | kind | payload (cache/wire.h) | 16 bytes of HMAC-SHA256(secret, place || all before)
//   "NGS2" | the same with the payload in a box (cache/aead.h), if there are keys
//
// A record is proven by its digest, so nobody without the secret can move a vector or make evidence.
// `place` is the log's name: a record is of no use in another.
//
// Threads: const; may be called from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "cache/aead.h"
#include "cache/semantic/verifier.h"

namespace nextgate::cache {

struct QuestionRecord {
  Hash128 group;
  Hash128 id;  // of the entry
  int64_t expires_unix_ms = 0;
  std::vector<float> vector;  // half precision on the wire
};

struct EvidenceRecord {
  uint64_t id = 0;  // random: a record may come twice
  Verifier::Evidence evidence;
};

// Feedback said that the entry does not answer this question.
struct Rejection {
  Hash128 asked;  // CacheKey::hash of the request
  Hash128 entry;
  bool operator==(const Rejection&) const = default;
  Hash128 Hash() const { return HashBytes(asked.Hex() + entry.Hex()); }
};

using SemanticRecord = std::variant<QuestionRecord, EvidenceRecord, Rejection>;

class SemanticCodec {
 public:
  // REQUIRES: !secret.empty(). `keys` must outlive the codec.
  explicit SemanticCodec(std::string_view secret, const Keyring& keys = Keyring::None());

  std::string Seal(std::string_view place, const SemanticRecord& record) const;
  // kDataLoss says what is wrong with `bytes`, never what is in them.
  Result<SemanticRecord> Open(std::string_view place, std::string_view bytes) const;

 private:
  std::string Digest(std::string_view place, std::string_view bytes) const;
  std::string digest_key_;
  const Keyring& keys_;
};

}  // namespace nextgate::cache
