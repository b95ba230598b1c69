#include "gateway/upstream/recorded.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace nextgate::gateway {
namespace {

constexpr std::string_view kBodyMark = "[\"body\",";
constexpr std::string_view kErrorMark = "[\"error\",";

bool InsideCharacter(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
}

}  // namespace

std::string ChunkRecorder::Chunk(std::string_view chunk) {
  const size_t shared = std::min(chunk.size(), reference_.size());
  size_t prefix = 0;
  while (prefix < shared && chunk[prefix] == reference_[prefix]) ++prefix;
  while (prefix > 0 && (InsideCharacter(chunk, prefix) || InsideCharacter(reference_, prefix)))
    --prefix;
  size_t suffix = 0;
  while (suffix < shared - prefix &&
         chunk[chunk.size() - 1 - suffix] == reference_[reference_.size() - 1 - suffix])
    ++suffix;
  while (suffix > 0 && InsideCharacter(chunk, chunk.size() - suffix)) --suffix;
  if (prefix + suffix < chunk.size() / 2 || reference_.empty()) {
    reference_ = chunk;
    return reference_;
  }
  const nlohmann::json middle = chunk.substr(prefix, chunk.size() - prefix - suffix);
  return fmt::format("[\"diff\",{},{},{}]", prefix, suffix, middle.dump());
}

std::string ChunkRecorder::Body(std::string_view body) {
  return fmt::format("{}{}]", kBodyMark, body);
}
std::string ChunkRecorder::ErrorEvent(std::string_view event) {
  return fmt::format("{}{}]", kErrorMark, event);
}

std::optional<ChunkReader::Part> ChunkReader::Next(std::string_view extras) {
  if (extras.starts_with('{')) {
    reference_ = extras;
    return Part{.kind = Kind::kChunk, .text = reference_};
  }
  for (const auto& [mark, kind] :
       {std::pair(kBodyMark, Kind::kBody), std::pair(kErrorMark, Kind::kError)})
    if (extras.starts_with(mark) && extras.ends_with(']'))
      return Part{.kind = kind,
                  .text = std::string(extras.substr(mark.size(), extras.size() - mark.size() - 1))};
  const auto diff = nlohmann::json::parse(extras, nullptr, /*allow_exceptions=*/false);
  if (!diff.is_array() || diff.size() != 4 || diff[0] != "diff" || !diff[1].is_number_unsigned() ||
      !diff[2].is_number_unsigned() || !diff[3].is_string())
    return std::nullopt;
  const auto prefix = diff[1].get<size_t>();
  const auto suffix = diff[2].get<size_t>();
  if (prefix > reference_.size() || suffix > reference_.size()) return std::nullopt;
  return Part{.kind = Kind::kChunk,
              .text = reference_.substr(0, prefix) + diff[3].get_ref<const std::string&>() +
                      reference_.substr(reference_.size() - suffix)};
}

}  // namespace nextgate::gateway
