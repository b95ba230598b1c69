// Letters of ASCII, whatever the locale; all other bytes stay as they are.
//
// Threads: pure.
#pragma once

#include <string>
#include <string_view>

namespace nextgate {

std::string AsciiLower(std::string_view text);

}  // namespace nextgate
