// Server-sent events out of bytes as they come, split anywhere: lines end with LF, CRLF or CR, `data`
// lines of one event are joined by a line break, comments and unknown fields are skipped, an event
// without data is none. Source: WHATWG HTML, section 9.2.6.
//
// Threads: one at a time. Invariant: never holds more than `event_bytes_max` bytes of an event.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace nextgate::gateway {

struct SseEvent {
  std::string type;  // of the `event` field; "" for a message
  std::string data;
};

class SseParser {
 public:
  explicit SseParser(size_t event_bytes_max = size_t{16} << 20)
      : event_bytes_max_(event_bytes_max) {}

  // Adds the events that `bytes` completes to `events`. kDataLoss for an event beyond the limit, and
  // from then on; what was complete before it has been added.
  Status Feed(std::string_view bytes, std::vector<SseEvent>& events);

  // Whether an event has begun and is not complete: one that the end of the stream cuts off.
  bool InEvent() const { return !line_.empty() || has_data_; }

 private:
  void EndLine(std::vector<SseEvent>& events);
  void Field(std::string_view name, std::string_view value);

  const size_t event_bytes_max_;
  std::string line_;  // of the line that is being read
  std::string type_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a LF that follows belongs to the line end before it
  bool at_start_ = true;   // a byte order mark may come
  bool failed_ = false;
};

}  // namespace nextgate::gateway
