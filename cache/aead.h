// Encryption of what instances leave in Redis: AES-256-GCM (NIST SP 800-38D) through OpenSSL, with keys of
// the operator (--cache-encryption-key-file):
//
//   64 hex digits, one key a line; empty lines and lines that begin with # are skipped
//
// The first key encrypts, all decrypt. So keys are rotated in three steps, on all instances each: the new key
// as the last line, then as the first, then the old one away, when nothing of it is left.
//
//   box = "NGX1" | 8 bytes of SHA-256 of the key, which it is | 12 random bytes | ciphertext | 16 bytes of tag
//
// `place` says where the box stands (what it is, its name in Redis). It is authenticated, so a box opens in
// its own place only; and the key of a box is HMAC-SHA256(key, place), so that one key never sees so many
// random nonces that two might be equal.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace nextgate::cache {

struct KeyringStats {
  int64_t no_key = 0;   // boxes of a key that is not here
  int64_t damaged = 0;  // changed, cut off, or of another place
};

class Keyring {
 public:
  Keyring() = default;           // no keys: nothing is encrypted, and nothing that is can be read
  static const Keyring& None();  // one without keys, for who has none of his own
  // Of a key file's text; at least one key. Errors name the line, never what is in it.
  static Result<std::vector<std::string>> ParseKeys(std::string_view text);
  // REQUIRES: each key has 32 bytes, none comes twice.
  explicit Keyring(const std::vector<std::string>& keys);

  bool encrypts() const { return !keys_.empty(); }

  // REQUIRES: encrypts().
  std::string Seal(std::string_view place, std::string_view plain) const;

  static bool IsBox(std::string_view bytes);
  // What is in the box. kDataLoss: its key is not here, or it was changed, or it is of another place; which of
  // them is counted.
  Result<std::string> Open(std::string_view place, std::string_view box) const;

  KeyringStats stats() const {
    return {.no_key = no_key_.load(std::memory_order_relaxed),
            .damaged = damaged_.load(std::memory_order_relaxed)};
  }

 private:
  struct Key {
    std::string id;
    std::string secret;
  };
  std::vector<Key> keys_;
  mutable std::atomic<int64_t> no_key_ = 0;
  mutable std::atomic<int64_t> damaged_ = 0;
};

}  // namespace nextgate::cache
