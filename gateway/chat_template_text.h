// Text with provenance: what the Jinja engine's strings need to behave as Python's do (code points,
// Unicode spaces) without ever losing which part of them a request wrote.
//
// A mark is the engine's `is_input`: kTemplateMark for what the template wrote, kInputMark for
// input that belongs to no message (tools, kwargs), kFirstMessageMark + i for text of message i.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/string.h"

namespace nextgate::gateway {

inline constexpr int kTemplateMark = 0;
inline constexpr int kInputMark = 1;
inline constexpr int kFirstMessageMark = 2;

// Copies ranges of a marked string, keeping marks. Ascending ranges cost no more than their length.
class Slicer {
 public:
  explicit Slicer(const jinja::string& source) : source_(&source) {}
  // Appends bytes [begin, end) to `out`.
  void Append(jinja::string& out, size_t begin, size_t end);
  jinja::string Slice(size_t begin, size_t end);

 private:
  const jinja::string* source_;
  size_t part_ = 0;        // the part that holds the last position looked at
  size_t part_begin_ = 0;  // its offset
};

// Appends text under a mark; neighbours of one mark become one part.
void AppendMarked(jinja::string& out, std::string_view text, int mark);

// Bytes of the code point that starts at text[at] (1 for a byte that starts none).
size_t CodePointLength(std::string_view text, size_t at);
size_t CountCodePoints(std::string_view text);

// The range that Python's strip leaves: of Unicode white space, or of the code points in `chars`.
struct StripRange {
  size_t begin;
  size_t end;
};
StripRange Strip(std::string_view text, bool left, bool right);
StripRange Strip(std::string_view text, bool left, bool right, std::string_view chars);

// Python's str.split and str.rsplit as ranges [begin, end): at a non-empty separator, or at runs of
// white space. maxsplit < 0: all.
using Ranges = std::vector<std::pair<size_t, size_t>>;
Ranges Split(std::string_view text, std::string_view separator, int64_t maxsplit);
Ranges RSplit(std::string_view text, std::string_view separator, int64_t maxsplit);
Ranges SplitSpaces(std::string_view text, int64_t maxsplit);

// Python's repr of a float, which is also its JSON: the shortest digits that read back.
std::string PythonFloat(double value);

}  // namespace nextgate::gateway
