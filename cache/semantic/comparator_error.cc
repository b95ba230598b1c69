#include "cache/semantic/comparator_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

namespace nextgate::cache {
namespace {

bool ParseCount(std::string_view text, int64_t& count) {
  const char* const end = text.data() + text.size();
  const auto [read, error] = std::from_chars(text.data(), end, count);
  return error == std::errc() && read == end;
}

// "3/204"
bool ParseShare(std::string_view text, int64_t& hits, int64_t& of) {
  const size_t slash = text.find('/');
  return slash != std::string_view::npos && ParseCount(text.substr(0, slash), hits) &&
         ParseCount(text.substr(slash + 1), of) && hits >= 0 && hits <= of && of > 0;
}

}  // namespace

std::string ComparatorError::Text() const {
  return fmt::format("{}/{},{}/{}", false_same, num_wrong, false_different, num_right);
}

Result<ComparatorError> ComparatorError::Parse(std::string_view text) {
  ComparatorError error;
  const size_t comma = std::min(text.find(','), text.size());
  const std::string_view second = text.substr(std::min(text.size(), comma + 1));
  if (!ParseShare(text.substr(0, comma), error.false_same, error.num_wrong) ||
      !ParseShare(second, error.false_different, error.num_right))
    return InvalidArgument(
        fmt::format("expected W/N,D/M: of N pairs of answers that differ W were called the same, "
                    "and of M that say "
                    "the same D different; got '{}'",
                    text));
  return error;
}

}  // namespace nextgate::cache
