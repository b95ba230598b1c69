#include "cache/semantic/eligibility.h"

#include <gtest/gtest.h>

namespace nextgate::cache {
namespace {

using enum SemanticIneligible;

Embedding Of(int64_t tokens, int64_t unknown = 0, int64_t spelled = 0, bool truncated = false) {
  return {.values = {0.6f, 0.8f},
          .num_tokens = tokens,
          .num_unknown = unknown,
          .truncated = truncated,
          .num_spelled = spelled};
}

TEST(SemanticEligibility, ATenthOfStrangeTokensIsAllowedAndNotMore) {
  EXPECT_EQ(IneligibleFor("text", Of(20)), std::nullopt);
  EXPECT_EQ(IneligibleFor("text", Of(20, 2)), std::nullopt);
  EXPECT_EQ(IneligibleFor("text", Of(20, 3)), kUnsupportedScript);
  EXPECT_EQ(IneligibleFor("text", Of(20, 0, 3)), kUnsupportedScript);
  EXPECT_EQ(IneligibleFor("text", Of(20, 1, 1)), std::nullopt);
  EXPECT_EQ(IneligibleFor("text", Of(20, 2, 1)), kUnsupportedScript);
}

TEST(SemanticEligibility, AnEmbedderThatCountsNoTokensIsTakenAtItsWord) {
  EXPECT_EQ(IneligibleFor("好", Of(0)), std::nullopt);
}

TEST(SemanticEligibility, WhatWasCutOffIsTooLong) {
  EXPECT_EQ(IneligibleFor("text", Of(256, 0, 0, true)), kTooLong);
  EXPECT_EQ(IneligibleFor("text", Of(256, 200, 0, true)), kTooLong);
}

TEST(SemanticEligibility, NothingButSpaceAndPunctuationIsEmpty) {
  for (const char* text : {"", " \t\n", "?!", "...", "\u3000\u00a0\ufeff", " - \u2003(*) "})
    EXPECT_EQ(IneligibleFor(text, Of(2)), kEmpty) << text;
  for (const char* text : {"a", " 7", "…好", "é", "?x", "\xff"})
    EXPECT_EQ(IneligibleFor(text, Of(3)), std::nullopt) << text;
}

TEST(SemanticEligibility, AVectorOfZerosMeansNothing) {
  EXPECT_EQ(IneligibleFor("text", {.values = {0, 0}}), kEmpty);
}

TEST(SemanticEligibility, CodesAreStable) {
  EXPECT_EQ(Code(kEmpty), "empty");
  EXPECT_EQ(Code(kTooLong), "too_long");
  EXPECT_EQ(Code(kUnsupportedScript), "unsupported_script");
}

}  // namespace
}  // namespace nextgate::cache
