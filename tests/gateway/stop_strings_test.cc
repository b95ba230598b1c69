#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

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

// How many tokens count when `tokens` are said one by one to one who looks for `stop`.
int32_t TokensKept(const engine::Tokenizer& tokenizer, const std::vector<int32_t>& tokens,
                   const openai::ApiRequest& request, std::string* text = nullptr) {
  ChoiceStream stream(request, tokenizer);
  std::string said;
  for (size_t i = 0; i <= tokens.size() && !stream.ended(); ++i) {
    engine::GenerationEvent event;
    if (i < tokens.size()) event.tokens.push_back({.id = tokens[i], .logprobs = {}});
    if (i == tokens.size()) event.finished = {.reason = engine::FinishReason::kLength, .error = {}};
    stream.Add(event);
    if (const auto delta = stream.TakeDelta()) said += delta->text;
  }
  if (text != nullptr) *text = said;
  return stream.tokens_kept();
}

class TokensKeptTest : public ::testing::Test {
 protected:
  // One token for each byte: those of a character too.
  std::vector<int32_t> Bytes(std::string_view text) const {
    std::vector<int32_t> ids;
    for (const char byte : text)
      for (int32_t id = 0; id < tokenizer_->size(); ++id)
        if (tokenizer_->TokenBytes(id) == std::string_view(&byte, 1)) {
          ids.push_back(id);
          break;
        }
    EXPECT_EQ(ids.size(), text.size());
    return ids;
  }
  int32_t Kept(const std::vector<int32_t>& tokens, openai::ApiRequest request) const {
    return TokensKept(*tokenizer_, tokens, request);
  }
  std::unique_ptr<engine::Tokenizer> tokenizer_ =
      *engine::Tokenizer::Open(NEXTGATE_SOURCE_DIR "/models/dictionary");
};

TEST_F(TokensKeptTest, AreThoseBeforeTheStopString) {
  EXPECT_EQ(Kept(Bytes("abSTOPc"), {.stop = {"STOP"}}), 2);
  EXPECT_EQ(Kept(Bytes("STOPc"), {.stop = {"STOP"}}), 0);
  EXPECT_EQ(Kept(Bytes("abSTOPc"), {.stop = {"never", "TO"}}), 3);
  EXPECT_EQ(Kept(Bytes("aSTSTOP"), {.stop = {"STOP"}}), 3) << "held back, and then certain";
}

TEST_F(TokensKeptTest, NothingIsSaidUnlessItWasCut) {
  EXPECT_EQ(Kept(Bytes("abc"), {.stop = {"STOP"}}), -1);
  EXPECT_EQ(Kept(Bytes("abcSTO"), {.stop = {"STOP"}}), -1);
  EXPECT_EQ(Kept(Bytes("abcSTOP"), {}), -1);
}

TEST_F(TokensKeptTest, ATokenOfWhichPartIsCutOffDoesNotCount) {
  const auto tokens = tokenizer_->Encode("place for ships");
  ASSERT_LT(tokens.size(), 6u);
  EXPECT_EQ(Kept(tokens, {.stop = {"or"}}), Kept(tokens, {.stop = {" f"}}));
  EXPECT_EQ(Kept(tokens, {.stop = {"lace"}}), 0);
}

TEST_F(TokensKeptTest, HalfACharacterBelongsToWhatFollows) {
  EXPECT_EQ(Kept(Bytes("a€STOP"), {.stop = {"STOP"}}), 4);
  EXPECT_EQ(Kept(Bytes("a€STOP"), {.stop = {"€"}}), 1);
  EXPECT_EQ(Kept(Bytes("€"), {.stop = {"€"}}), 0);
}

TEST_F(TokensKeptTest, AStopStringThatIsToldCountsToo) {
  const openai::ApiRequest told = {.stop = {"STOP"}, .include_stop_str_in_output = true};
  EXPECT_EQ(Kept(Bytes("abSTOPc"), told), 6);
}

TEST_F(TokensKeptTest, WhatMinTokensLetsThroughCounts) {
  EXPECT_EQ(Kept(Bytes("STOPxSTOP"), {.min_tokens = 4, .stop = {"STOP"}}), 5);
}

// Whatever the tokens and the stop strings: as many count as say no more than was told.
TEST_F(TokensKeptTest, AreTheMostThatSayABeginningOfWhatWasTold) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto ids = Bytes("ab\xC2\xA2");
  int cut = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < 1 + random() % 12; ++i) tokens.push_back(ids[random() % 4]);
    const char* stops[] = {"ab", "aab", "ba\xC2\xA2", "\xC2\xA2",
                           "\xEF\xBF\xBD"
                           "a"};
    openai::ApiRequest request{.stop = {stops[random() % 5], stops[random() % 5]},
                               .include_stop_str_in_output = random() % 2 == 0};
    std::string text;
    const int32_t kept = TokensKept(*tokenizer_, tokens, request, &text);
    if (kept < 0) continue;
    ++cut;
    int32_t expected = 0;
    engine::Detokenizer detokenizer(*tokenizer_, true);
    std::string said;
    for (size_t i = 0; i < tokens.size(); ++i) {
      said += detokenizer.Add(tokens[i]);
      if (said.size() > text.size()) break;
      if (detokenizer.whole()) expected = static_cast<int32_t>(i + 1);
    }
    ASSERT_EQ(kept, expected) << text;
  }
  EXPECT_GT(cut, 300);
}

}  // namespace
}  // namespace nextgate::gateway
