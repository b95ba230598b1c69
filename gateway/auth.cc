#include "gateway/auth.h"

#include <openssl/crypto.h>

namespace nextgate::gateway {

Status Auth::Check(std::string_view header) const {
  if (keys_.empty()) return {};
  constexpr std::string_view kScheme = "Bearer ";
  const std::string_view given = header.starts_with(kScheme) ? header.substr(kScheme.size()) : "";
  bool known = false;
  for (const std::string& key : keys_)
    known |= key.size() == given.size() && CRYPTO_memcmp(key.data(), given.data(), key.size()) == 0;
  if (known && !given.empty()) return {};
  return MakeError(
      ErrorCode::kUnauthenticated,
      given.empty() ? "no API key: send it as \"Authorization: Bearer KEY\"" : "incorrect API key");
}

}  // namespace nextgate::gateway
