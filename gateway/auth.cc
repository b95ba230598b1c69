#include "gateway/auth.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cctype>

namespace nextgate::gateway {

Status Auth::Check(std::string_view header) const {
  if (keys_.empty()) return {};
  constexpr std::string_view kScheme = "bearer ";  // in any case (RFC 9110, 11.1)
  const bool bearer =
      std::ranges::equal(header.substr(0, kScheme.size()), kScheme,
                         [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
  const std::string_view given = bearer ? header.substr(kScheme.size()) : "";
  bool known = false;
  for (const std::string& key : keys_)
    known |= key.size() == given.size() && CRYPTO_memcmp(key.data(), given.data(), key.size()) == 0;
  if (known && !given.empty()) return {};
  return MakeError(
      ErrorCode::kUnauthenticated,
      given.empty() ? "no API key: send it as \"Authorization: Bearer KEY\"" : "incorrect API key");
}

}  // namespace nextgate::gateway
