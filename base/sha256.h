// SHA-256 (FIPS 180-4), through OpenSSL.
//
// Threads: pure.
#pragma once

#include <string>
#include <string_view>

namespace nextgate {

// 32 bytes.
std::string Sha256(std::string_view message);

}  // namespace nextgate
