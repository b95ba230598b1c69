#include "gateway/upstream/sse_parser.h"

#include <fmt/format.h>

#include <utility>

namespace nextgate::gateway {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

Status SseParser::Feed(std::string_view bytes, std::vector<SseEvent>& events) {
  while (!failed_ && !bytes.empty()) {
    if (std::exchange(after_cr_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const size_t end = bytes.find_first_of("\r\n");
    const std::string_view part = bytes.substr(0, end);
    if (part.size() + line_.size() + data_.size() + type_.size() > event_bytes_max_) {
      failed_ = true;
      break;
    }
    line_ += part;
    if (end == std::string_view::npos) return {};
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    EndLine(events);
  }
  if (!failed_) return {};
  return DataLoss(fmt::format("an event of the stream is longer than {} bytes", event_bytes_max_));
}

void SseParser::EndLine(std::vector<SseEvent>& events) {
  std::string_view line = line_;
  if (std::exchange(at_start_, false) && line.starts_with(kByteOrderMark))
    line.remove_prefix(kByteOrderMark.size());
  if (line.empty()) {
    if (std::exchange(has_data_, false))
      events.push_back({.type = std::move(type_), .data = std::move(data_)});
    type_.clear();
    data_.clear();
  } else if (const size_t colon = line.find(':'); colon == std::string_view::npos) {
    Field(line, "");
  } else if (colon > 0) {  // else a comment
    std::string_view value = line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    Field(line.substr(0, colon), value);
  }
  line_.clear();
}

void SseParser::Field(std::string_view name, std::string_view value) {
  if (name == "event") type_ = value;
  if (name != "data") return;
  if (std::exchange(has_data_, true)) data_ += '\n';
  data_ += value;
}

}  // namespace nextgate::gateway
