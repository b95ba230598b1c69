// A stored answer as bytes that another instance can trust: whoever does not know the secret cannot
// make an entry, change one, or put one under another key.
//
//   "NGE3" | header with its length | D1 | zstd(payload) with its length | D2
//   "NGE4" | the same, with header and zstd(payload) each in a box (cache/aead.h), if there are keys
//
//   header  = created, expires, hits, origin with its shared position, fingerprint, scope id, tokens, finish reasons
//   payload = material, choices, usage, extras, deltas (cache/wire.h)
//   D1, D2  = 16 bytes of HMAC-SHA256(secret, hash || everything before)
//
// So the first kHeaderBytesMax bytes are enough for a listing, and are proven by D1 alone. Digests are
// checked before anything is unpacked. An unknown version is an error, hence a miss: a newer nextgate
// may share a Redis with an older one.
//
// Threads: const; may be called from any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/hash.h"
#include "base/status.h"
#include "cache/aead.h"
#include "cache/answer_store.h"
#include "cache/entry_summary.h"

namespace nextgate::cache {

class EntryCodec {
 public:
  // An entry that unpacks to more than this is refused.
  static constexpr size_t kPayloadBytesMax = size_t{256} << 20;

  // Magic, header and D1 fit in so many.
  static constexpr size_t kHeaderBytesMax = 4096;

  // REQUIRES: !secret.empty(). The key of the digest is derived from it.
  // `keys` encrypts if it has keys, and must outlive the codec; what is not encrypted is read all the same.
  explicit EntryCodec(std::string_view secret, const Keyring& keys = Keyring::None());

  std::string Encode(const Hash128& hash, const StoredAnswer& entry) const;

  // kDataLoss says what is wrong with `bytes`, never what is in them.
  Result<StoredAnswer> Decode(const Hash128& hash, std::string_view bytes) const;

  const Keyring& keys() const { return keys_; }

  // What the header of an entry says; `beginning`: its first kHeaderBytesMax bytes, or all of them.
  // `bytes` of the summary is left 0. Errors as Decode's.
  Result<EntrySummary> DecodeSummary(const Hash128& hash, std::string_view beginning) const;

 private:
  struct Frame {
    bool encrypted = false;
    std::string header;     // opened
    std::string_view rest;  // behind D1
  };
  Result<Frame> OpenFrame(const Hash128& hash, std::string_view bytes) const;
  std::string Digest(const Hash128& hash, std::string_view bytes) const;
  std::string digest_key_;
  const Keyring& keys_;
};

}  // namespace nextgate::cache
