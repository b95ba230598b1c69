// An HTTP/1.1 response out of bytes as they come: the head, then the body without its framing (RFC
// 9112: chunked, by length, or to the end of the connection). Everything that two readers could
// understand differently is refused: two lengths, a length beside chunks, folded lines, bare control
// characters.
//
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "gateway/http_client.h"

namespace nextgate::gateway {

class HttpResponseParser {
 public:
  static constexpr size_t kHeadBytesMax = 64 << 10;
  static constexpr size_t kLineBytesMax = 4096;  // of a chunk's size and of a trailer

  // Appends what `bytes` hold of the body to `body`. kDataLoss if they are no response; the parser is
  // then of no further use.
  Status Feed(std::string_view bytes, std::string& body);
  // The connection was closed: kDataLoss unless the response may end here.
  Status Close();

  bool has_head() const { return state_ != State::kHead; }
  bool done() const { return state_ == State::kDone; }
  const HttpResponse& head() const { return head_; }  // REQUIRES: has_head()
  // Another request may follow on the connection. REQUIRES: done().
  bool reusable() const { return keep_alive_ && !surplus_; }
  // Not a byte has come.
  bool untouched() const { return untouched_; }

 private:
  enum class State { kHead, kLength, kChunkSize, kChunk, kChunkEnd, kTrailer, kToClose, kDone };

  Status TakeHead();
  Status ReadHeaderLine(std::string_view line);
  Status ReadFraming();
  Status TakeLine(std::string_view& bytes, bool& whole);
  Status ReadChunkSize();
  Status EndLine();
  Status FeedBody(std::string_view bytes, std::string& body);

  State state_ = State::kHead;
  std::string buffer_;  // the head, or a line of the chunked framing, as far as it came
  HttpResponse head_;
  uint64_t left_ = 0;  // bytes of the body or the chunk
  bool keep_alive_ = true;
  bool surplus_ = false;  // bytes came after the end
  bool untouched_ = true;
};

}  // namespace nextgate::gateway
