#include "gateway/upstream/http_response_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/ascii.h"

namespace nextgate::gateway {
namespace {

std::string_view Trim(std::string_view text) {
  const auto from = text.find_first_not_of(" \t");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

bool ReadNumber(std::string_view text, int base, uint64_t& value) {
  if (text.empty() || text.size() > 15) return false;  // so that it cannot overflow
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

bool HasControl(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < 0x7f &&
           std::string_view("()<>@,;:\\\"/[]?={}").find(c) == std::string_view::npos;
  });
}

}  // namespace

Status HttpResponseParser::Feed(std::string_view bytes, std::string& body) {
  if (bytes.empty()) return {};
  untouched_ = false;
  while (state_ == State::kHead) {
    const size_t old = buffer_.size();
    buffer_ += bytes;
    const size_t end = buffer_.find("\r\n\r\n", old < 3 ? 0 : old - 3);
    if (std::min(end, buffer_.size()) > kHeadBytesMax)
      return DataLoss(fmt::format("a head of more than {} bytes", kHeadBytesMax));
    if (end == std::string::npos) return {};
    bytes.remove_prefix(end + 4 - old);
    buffer_.resize(end + 2);
    RETURN_IF_ERROR(TakeHead());
    buffer_.clear();
    if (bytes.empty()) return {};
  }
  return FeedBody(bytes, body);
}

// Reads buffer_, lines that end with CRLF each. An interim response (1xx) leaves the state as it is.
Status HttpResponseParser::TakeHead() {
  head_ = {};
  keep_alive_ = true;
  std::string_view text = buffer_;
  const std::string_view first = text.substr(0, text.find("\r\n"));
  uint64_t status = 0;
  if (!(first.starts_with("HTTP/1.1 ") || first.starts_with("HTTP/1.0 ")) || first.size() < 12 ||
      !ReadNumber(first.substr(9, 3), 10, status) || status < 100 ||
      (first.size() > 12 && first[12] != ' ') || HasControl(first))
    return DataLoss("the first line is not that of an HTTP/1.1 response");
  if (first.starts_with("HTTP/1.0")) keep_alive_ = false;
  head_.status = static_cast<int>(status);
  text.remove_prefix(first.size() + 2);
  while (!text.empty()) {
    const size_t end = text.find("\r\n");
    RETURN_IF_ERROR(ReadHeaderLine(text.substr(0, end)));
    text.remove_prefix(end + 2);
  }
  if (status == 101) return DataLoss("the protocol was switched, which nobody asked for");
  if (status < 200) return {};
  return ReadFraming();
}

Status HttpResponseParser::ReadHeaderLine(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon)) || HasControl(line))
    return DataLoss("a header line is malformed");
  head_.headers.emplace_back(line.substr(0, colon), Trim(line.substr(colon + 1)));
  return {};
}

Status HttpResponseParser::ReadFraming() {
  std::string coding;
  std::string length;
  for (const auto& [name, value] : head_.headers) {
    const std::string lower = AsciiLower(name);
    if (lower == "connection" && AsciiLower(value).find("close") != std::string::npos)
      keep_alive_ = false;
    if (lower == "transfer-encoding") coding += (coding.empty() ? "" : ",") + AsciiLower(value);
    if (lower == "content-length") {
      if (!length.empty() && length != value) return DataLoss("two different lengths");
      length = value;
      if (length.empty()) return DataLoss("an empty length");
    }
  }
  if (head_.status == 204 || head_.status == 304) {
    state_ = State::kDone;
  } else if (!coding.empty()) {
    if (coding != "chunked")
      return DataLoss("a transfer coding other than chunked, which nobody asked for");
    if (!length.empty()) return DataLoss("a length beside chunks");
    state_ = State::kChunkSize;
  } else if (!length.empty()) {
    if (!ReadNumber(length, 10, left_)) return DataLoss("a length that is no number");
    state_ = left_ == 0 ? State::kDone : State::kLength;
  } else {
    keep_alive_ = false;
    state_ = State::kToClose;
  }
  return {};
}

Status HttpResponseParser::FeedBody(std::string_view bytes, std::string& body) {
  while (!bytes.empty()) {
    switch (state_) {
      case State::kHead:
        return DataLoss("no head");
      case State::kDone:
        surplus_ = true;
        return {};
      case State::kToClose:
        body += bytes;
        return {};
      case State::kLength:
      case State::kChunk: {
        const size_t size = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
        body += bytes.substr(0, size);
        bytes.remove_prefix(size);
        left_ -= size;
        if (left_ == 0) state_ = state_ == State::kLength ? State::kDone : State::kChunkEnd;
        break;
      }
      case State::kChunkSize:
      case State::kChunkEnd:
      case State::kTrailer: {
        bool whole = false;
        RETURN_IF_ERROR(TakeLine(bytes, whole));
        if (whole) RETURN_IF_ERROR(EndLine());
        break;
      }
    }
  }
  return {};
}

// Up to the next LF into buffer_; `whole` once it is there, without its CRLF.
Status HttpResponseParser::TakeLine(std::string_view& bytes, bool& whole) {
  const size_t end = bytes.find('\n');
  const std::string_view part = bytes.substr(0, end);
  if (buffer_.size() + part.size() > kLineBytesMax)
    return DataLoss("a line of the chunked framing is too long");
  buffer_ += part;
  bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  if (end == std::string_view::npos) return {};
  if (!buffer_.ends_with('\r')) return DataLoss("a line of the chunked framing ends without CR");
  buffer_.pop_back();
  whole = true;
  return {};
}

Status HttpResponseParser::EndLine() {
  switch (state_) {
    case State::kChunkSize:
      RETURN_IF_ERROR(ReadChunkSize());
      break;
    case State::kChunkEnd:
      if (!buffer_.empty()) return DataLoss("a chunk is longer than it says");
      state_ = State::kChunkSize;
      break;
    default:  // trailers are read and dropped
      if (buffer_.empty()) state_ = State::kDone;
  }
  buffer_.clear();
  return {};
}

Status HttpResponseParser::ReadChunkSize() {
  const std::string_view digits = Trim(std::string_view(buffer_).substr(0, buffer_.find(';')));
  if (!ReadNumber(digits, 16, left_)) return DataLoss("a chunk's size is no number");
  state_ = left_ == 0 ? State::kTrailer : State::kChunk;
  return {};
}

Status HttpResponseParser::Close() {
  if (state_ == State::kToClose) state_ = State::kDone;
  if (state_ == State::kDone) return {};
  if (state_ == State::kHead)
    return DataLoss(untouched_ ? "closed without an answer" : "closed within the head");
  return DataLoss("closed before the end of the body");
}

}  // namespace nextgate::gateway
