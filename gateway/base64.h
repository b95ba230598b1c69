// Base64 with padding (RFC 4648, section 4), and vectors in it as OpenAI's embeddings have them: fp32 values,
// the least significant byte first.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nextgate::gateway {

std::string EncodeBase64(std::string_view bytes);
// Nothing if `text` is anything else: other characters, padding that is missing or holds bits.
std::optional<std::string> DecodeBase64(std::string_view text);

std::string FloatsToBase64(std::span<const float> values);
std::optional<std::vector<float>> FloatsFromBase64(std::string_view text);

}  // namespace nextgate::gateway
