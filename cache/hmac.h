// HMAC-SHA256 (RFC 2104) and what goes with it, through OpenSSL.
//
// Threads: pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nextgate::cache {

// 32 bytes. REQUIRES: !key.empty().
std::string HmacSha256(std::string_view key, std::string_view message);

// The operating system's randomness.
std::string RandomBytes(size_t count);

std::string Hex(std::string_view bytes);
// The bytes of hex digits of either case; nothing if they are none.
std::optional<std::string> FromHex(std::string_view hex);

// In a time that does not depend on where they differ.
bool EqualDigests(std::string_view a, std::string_view b);

}  // namespace nextgate::cache
