// What the files of API keys and of admin keys have in common.
//
// Threads: pure but for RandomKey's randomness.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace nextgate::gateway {

// The 32 bytes of a SHA-256 that 64 lower-case hex digits stand for.
std::optional<std::string> DigestFromHex(std::string_view hex);

// `prefix` and 43 random characters: more than anybody can guess, so that a plain hash of it is safe.
std::string RandomKey(std::string_view prefix);

// What may stand in a log line as it is: at most 64 visible ASCII characters without '"' and '='.
bool IsPlainLabel(std::string_view label);
inline constexpr std::string_view kPlainLabel =
    "a label has at most 64 visible ASCII characters, no space, '=' or '\"'";

std::string_view TrimSpace(std::string_view text);

// Calls `read` with each line of a file of keys, its number from 1, and without the space around it;
// not with empty lines, nor those that begin with '#'. Stops at the first error, which then begins with
// "line N: ".
Status ForEachKeyLine(std::string_view text,
                      const std::function<Status(std::string_view line, size_t number)>& read);

// The key of a header "Bearer KEY" (the scheme in any case, RFC 9110, 11.1); "" if there is none.
std::string_view BearerKey(std::string_view header);

}  // namespace nextgate::gateway
