#include "engine/encoder/charsmap.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "engine/encoder/graphemes.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

constexpr size_t kClusterBytes = 6;  // of the shortest cluster that is not looked up whole

// The parts of a unit of Darts-clone's double array.
constexpr uint32_t Offset(uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }
constexpr uint32_t Label(uint32_t unit) { return unit & (1U << 31 | 0xFF); }
constexpr bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) == 1; }
constexpr uint32_t Value(uint32_t unit) { return unit & ~(1U << 31); }

bool IsPrintable(char byte) { return byte >= 0x20 && byte < 0x7F; }

bool IsValidUtf8(std::string_view bytes) {
  std::string valid;
  AppendValidUtf8(bytes, /*whole=*/true, &valid);
  return valid == bytes;
}

}  // namespace

Result<Charsmap> Charsmap::Parse(std::string_view bytes) {
  uint32_t array_bytes = 0;
  if (bytes.size() < sizeof(array_bytes)) return DataLoss("the charsmap has no length");
  std::memcpy(&array_bytes, bytes.data(), sizeof(array_bytes));
  bytes.remove_prefix(sizeof(array_bytes));
  if (array_bytes == 0 || array_bytes % sizeof(uint32_t) != 0 || array_bytes > bytes.size())
    return DataLoss(fmt::format(
        "the charsmap says that {} bytes of units come, expected a multiple of {} up to {}",
        array_bytes, sizeof(uint32_t), bytes.size()));
  Charsmap map;
  map.units_.resize(array_bytes / sizeof(uint32_t));
  std::memcpy(map.units_.data(), bytes.data(), array_bytes);
  map.texts_ = bytes.substr(array_bytes);
  if (!IsValidUtf8(map.texts_)) return DataLoss("the charsmap's texts are not UTF-8");
  RETURN_IF_ERROR(map.Check());
  map.keeps_ascii_ = true;
  for (char byte = 0x20; byte < 0x7F; ++byte)
    if (map.Replacement(std::string_view(&byte, 1))) map.keeps_ascii_ = false;
  return map;
}

// Follows every byte string from the root, each unit once.
Status Charsmap::Check() const {
  enum State : uint8_t { kNew, kOpen, kDone };
  std::vector<State> states(units_.size(), kNew);
  std::vector<std::pair<uint32_t, uint32_t>> path;  // a unit, and the next byte to follow
  const auto enter = [&](uint32_t unit) -> Status {
    RETURN_IF_ERROR(CheckNode(unit));
    states[unit] = kOpen;
    path.emplace_back(unit, 1);
    return {};
  };
  RETURN_IF_ERROR(enter(0));
  while (!path.empty()) {
    auto& [unit, byte] = path.back();
    if (byte > 0xFF) {
      states[unit] = kDone;
      path.pop_back();
      continue;
    }
    const uint32_t label = byte++;
    const uint32_t next = unit ^ Offset(units_[unit]) ^ label;
    if (Label(units_[next]) != label || states[next] == kDone) continue;
    if (states[next] == kOpen)
      return DataLoss(fmt::format("the charsmap's unit {} leads back to itself", next));
    RETURN_IF_ERROR(enter(next));
  }
  return {};
}

// All that follows is in the array, and what ends here has a text.
Status Charsmap::CheckNode(uint32_t unit) const {
  const uint32_t base = unit ^ Offset(units_[unit]);
  if ((base | 0xFF) >= units_.size())
    return DataLoss(fmt::format("the charsmap's unit {} leads to {}, expected less than {}", unit,
                                base | 0xFF, units_.size()));
  if (!HasLeaf(units_[unit])) return {};
  const uint32_t text = Value(units_[base]);
  if (text <= texts_.size() && (text == texts_.size() || (texts_[text] & 0xC0) != 0x80)) return {};
  return DataLoss(
      fmt::format("the charsmap's unit {} has the text at {}, expected a character "
                  "before {}",
                  base, text, texts_.size()));
}

std::optional<std::string_view> Charsmap::Replacement(std::string_view chunk) const {
  uint32_t at = Offset(units_[0]);
  for (const char byte : chunk) {
    const uint32_t label = static_cast<uint8_t>(byte);
    if (label == 0) break;
    at ^= label;
    const uint32_t unit = units_[at];
    if (Label(unit) != label) break;
    at ^= Offset(unit);
    if (!HasLeaf(unit)) continue;
    const std::string_view text = std::string_view(texts_).substr(Value(units_[at]));
    return text.substr(0, text.find('\0'));
  }
  return std::nullopt;
}

std::string Charsmap::Normalize(std::string_view text) const {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (size_t at = 0; at < text.size();) {
    if (keeps_ascii_ && IsPrintable(text[at]) && at + 1 < text.size() && text[at + 1] >= 0) {
      out += text[at++];
      continue;
    }
    const std::string_view cluster = text.substr(at, GraphemeEnd(text, at) - at);
    at += cluster.size();
    const auto whole = cluster.size() < kClusterBytes ? Replacement(cluster) : std::nullopt;
    if (whole) {
      out += *whole;
      continue;
    }
    for (size_t i = 0; i < cluster.size();) {
      const size_t begin = i;
      NextScalar(cluster, &i);
      const std::string_view character = cluster.substr(begin, i - begin);
      out += Replacement(character).value_or(character);
    }
  }
  return out;
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return std::nullopt;
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  std::array<int8_t, 256> values;
  values.fill(-1);
  for (size_t i = 0; i < kDigits.size(); ++i)
    values[static_cast<uint8_t>(kDigits[i])] = static_cast<int8_t>(i);
  std::string out;
  out.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int count = 0;
  for (const char digit : text) {
    const int8_t value = values[static_cast<uint8_t>(digit)];
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xFF);
  }
  if ((bits & ((1U << count) - 1)) != 0) return std::nullopt;
  return out;
}

}  // namespace nextgate::engine
