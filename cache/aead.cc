#include "cache/aead.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/sha256.h"
#include "cache/hmac.h"

namespace nextgate::cache {
namespace {

constexpr std::string_view kMagic = "NGX1";
constexpr size_t kKeyBytes = 32, kIdBytes = 8, kNonceBytes = 12, kTagBytes = 16;
constexpr size_t kHeadBytes = kMagic.size() + kIdBytes + kNonceBytes;

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

Context NewContext() {
  Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  CHECK(context != nullptr);
  return context;
}

const uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}
uint8_t* Bytes(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }
int Size(std::string_view text) { return static_cast<int>(text.size()); }

}  // namespace

Result<std::vector<std::string>> Keyring::ParseKeys(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  std::vector<std::string> keys;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line.remove_prefix(std::min(line.find_first_not_of(kSpace), line.size()));
    line = line.substr(0, line.find_last_not_of(kSpace) + 1);
    if (line.empty() || line.starts_with('#')) continue;
    auto key = FromHex(line);
    if (!key || key->size() != kKeyBytes)
      return InvalidArgument(fmt::format(
          "line {}: expected a key of 64 hex digits (make one with: openssl rand -hex 32)",
          number));
    if (std::ranges::find(keys, *key) != keys.end())
      return InvalidArgument(fmt::format("line {}: this key was given before", number));
    keys.push_back(std::move(*key));
  }
  if (keys.empty()) return InvalidArgument("no key in it; make one with: openssl rand -hex 32");
  return keys;
}

Keyring::Keyring(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    CHECK(key.size() == kKeyBytes);
    keys_.push_back({.id = Sha256(key).substr(0, kIdBytes), .secret = key});
  }
}

const Keyring& Keyring::None() {
  static const Keyring none;
  return none;
}

bool Keyring::IsBox(std::string_view bytes) { return bytes.starts_with(kMagic); }

std::string Keyring::Seal(std::string_view place, std::string_view plain) const {
  CHECK(encrypts());
  CHECK(plain.size() < size_t{1} << 31);
  const Key& key = keys_.front();
  const std::string secret = HmacSha256(key.secret, place);
  std::string box = std::string(kMagic) + key.id + RandomBytes(kNonceBytes);
  const std::string nonce = box.substr(kHeadBytes - kNonceBytes);
  const auto context = NewContext();
  std::string cipher(plain.size(), '\0'), tag(kTagBytes, '\0');
  int written = 0;
  CHECK(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(secret),
                           Bytes(nonce)) == 1);
  CHECK(EVP_EncryptUpdate(context.get(), nullptr, &written, Bytes(place), Size(place)) == 1);
  CHECK(EVP_EncryptUpdate(context.get(), Bytes(cipher), &written, Bytes(plain), Size(plain)) == 1);
  CHECK(written == Size(plain));
  CHECK(EVP_EncryptFinal_ex(context.get(), nullptr, &written) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag.data()) == 1);
  box += cipher;
  return box += tag;
}

Result<std::string> Keyring::Open(std::string_view place, std::string_view box) const {
  const auto damaged = [&] {
    damaged_.fetch_add(1, std::memory_order_relaxed);
    return DataLoss("it does not decrypt: changed, or moved from another place");
  };
  if (!IsBox(box) || box.size() < kHeadBytes + kTagBytes || box.size() >= size_t{1} << 31)
    return damaged();
  const auto key = std::ranges::find(keys_, box.substr(kMagic.size(), kIdBytes), &Key::id);
  if (key == keys_.end()) {
    no_key_.fetch_add(1, std::memory_order_relaxed);
    return DataLoss("it is encrypted with a key that is not in --cache-encryption-key-file");
  }
  const std::string secret = HmacSha256(key->secret, place);
  const std::string_view nonce = box.substr(kHeadBytes - kNonceBytes, kNonceBytes);
  const std::string_view cipher = box.substr(kHeadBytes, box.size() - kHeadBytes - kTagBytes);
  std::string tag(box.substr(box.size() - kTagBytes)), plain(cipher.size(), '\0');
  const auto context = NewContext();
  int written = 0;
  CHECK(EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(secret),
                           Bytes(nonce)) == 1);
  CHECK(EVP_DecryptUpdate(context.get(), nullptr, &written, Bytes(place), Size(place)) == 1);
  CHECK(EVP_DecryptUpdate(context.get(), Bytes(plain), &written, Bytes(cipher), Size(cipher)) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1);
  if (EVP_DecryptFinal_ex(context.get(), nullptr, &written) != 1) return damaged();
  return plain;
}

}  // namespace nextgate::cache
