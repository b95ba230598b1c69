// A stored answer as bytes that another instance can trust: whoever does not know the secret cannot
// make an entry, change one, or put one under another key.
//
//   "NGE1" | created, expires (zigzag varints) | zstd(payload) with its length | 16 bytes of
//   HMAC-SHA256(secret, hash || everything before)
//
//   payload = material, choices, usage, extras, deltas (cache/wire.h)
//
// The digest is checked before anything is unpacked. An unknown version is an error, hence a miss: a
// newer nextgate may share a Redis with an older one.
//
// Threads: const; may be called from any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/hash.h"
#include "base/status.h"
#include "cache/answer_store.h"

namespace nextgate::cache {

class EntryCodec {
 public:
  // An entry that unpacks to more than this is refused.
  static constexpr size_t kPayloadBytesMax = size_t{256} << 20;

  // REQUIRES: !secret.empty(). The key of the digest is derived from it.
  explicit EntryCodec(std::string_view secret);

  std::string Encode(const Hash128& hash, const StoredAnswer& entry) const;

  // kDataLoss says what is wrong with `bytes`, never what is in them.
  Result<StoredAnswer> Decode(const Hash128& hash, std::string_view bytes) const;

 private:
  std::string Digest(const Hash128& hash, std::string_view bytes) const;
  std::string digest_key_;
};

}  // namespace nextgate::cache
