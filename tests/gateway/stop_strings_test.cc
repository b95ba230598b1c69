#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "gateway/completion_stream.h"

namespace nextgate::gateway {
namespace {

TEST(StopStrings, HoldsBackOnlyWhatMayBecomeAStop) {
  StopStrings stops({"END", "\n\n"});
  EXPECT_EQ(stops.Feed("abcE").text, "abc");
  EXPECT_EQ(stops.Feed("N").text, "");
  EXPECT_EQ(stops.Feed("X").text, "ENX");
  EXPECT_EQ(stops.Feed("y\n").text, "y");
  const auto fed = stops.Feed("\nrest");
  EXPECT_EQ(fed.text, "");
  EXPECT_EQ(fed.stop, 1u);
}

TEST(StopStrings, FlushGivesWhatWasHeld) {
  StopStrings stops({"stop"});
  EXPECT_EQ(stops.Feed("see the st").text, "see the ");
  EXPECT_EQ(stops.Flush(), "st");
  EXPECT_EQ(stops.Flush(), "");
}

TEST(StopStrings, TheEarliestWinsThenTheFirstInTheList) {
  EXPECT_EQ(StopStrings({"cd", "bc"}).Feed("abcd").stop, 1u);
  EXPECT_EQ(StopStrings({"abc", "ab"}).Feed("xabc").stop, 0u);
}

// Whatever the pieces, the text before the stop is that of a plain search in the whole.
TEST(StopStrings, AnySplitEqualsASearchInTheWhole) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto word = [&](size_t longest) {
    std::string text(1 + random() % longest, 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    const std::string text = word(24);
    std::vector<std::string> stops;
    for (size_t i = 0; i <= random() % 3; ++i) stops.push_back(word(5));
    size_t expected = std::string::npos;
    for (const std::string& stop : stops) expected = std::min(expected, text.find(stop));

    StopStrings matcher(stops);
    std::string out;
    bool stopped = false;
    for (size_t at = 0; at < text.size() && !stopped;) {
      const size_t length = std::min(text.size() - at, size_t{1} + random() % 6);
      const auto fed = matcher.Feed(std::string_view(text).substr(at, length));
      out += fed.text;
      stopped = fed.stop.has_value();
      at += length;
    }
    if (!stopped) out += matcher.Flush();
    ASSERT_EQ(stopped, expected != std::string::npos) << text;
    // A stop found in an earlier piece may hide one that begins before it and ends after: both are
    // stops.
    if (stopped) {
      ASSERT_LE(expected, out.size()) << text;
      ASSERT_TRUE(text.starts_with(out));
    } else {
      ASSERT_EQ(out, text);
    }
  }
}

}  // namespace
}  // namespace nextgate::gateway
