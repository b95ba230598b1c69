// How an upstream's answer lies in a cache::Answer: every event of its stream, or its body, as it came,
// byte by byte, in AnswerDelta::extras (which stays JSON):
//
//   {…}                   a chunk as it came; later chunks are written against it
//   ["diff", p, s, "m"]   a chunk: the first p and the last s bytes of that one, with m between
//   ["body", {…}]         a whole response, of a request that was not streamed
//   ["error", {…}]        an event that says what went wrong; such an answer is never stored
//
// Chunks of one stream differ in a few bytes, so what is kept of each is about its text.
//
// Threads: one at a time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nextgate::gateway {

class ChunkRecorder {
 public:
  // The form of `chunk`, a JSON object in valid UTF-8.
  std::string Chunk(std::string_view chunk);
  static std::string Body(std::string_view body);
  static std::string ErrorEvent(std::string_view event);

 private:
  std::string reference_;
};

class ChunkReader {
 public:
  enum class Kind { kChunk, kBody, kError };
  struct Part {
    Kind kind = Kind::kChunk;
    std::string text;  // JSON as it came
  };
  // The next part in the order it was recorded in. Nothing if `extras` is not one.
  std::optional<Part> Next(std::string_view extras);

 private:
  std::string reference_;
};

}  // namespace nextgate::gateway
