#include "cache/semantic/rival.h"

#include <gtest/gtest.h>

#include <array>

namespace nextgate::cache {
namespace {

using Vector = std::array<float, 2>;
constexpr Vector kHere = {1, 0}, kClose = {0.96F, 0.28F}, kFar = {0.6F, 0.8F};

constexpr std::string_view kText = "How can I cancel my order?";
constexpr std::string_view kSame = "how do I cancel my order", kOther = "How do I cancel my card?";
constexpr NearQuestion kBest{.cosine = 0.95F, .text = kText, .answer = "a", .vector = kHere};

std::optional<float> With(std::string_view text, std::string_view answer, const Vector& vector) {
  return CosineOfRival(std::array{
      kBest, NearQuestion{.cosine = 0.9F, .text = text, .answer = answer, .vector = vector}});
}

TEST(Rival, IsWhatSaysSomethingElseThanTheNearestByWordsVectorAndAnswer) {
  ASSERT_TRUE(TextsMatch(kText, kSame));
  ASSERT_FALSE(TextsMatch(kText, kOther));
  EXPECT_EQ(With(kOther, "b", kFar), 0.9F);
  EXPECT_EQ(With(kSame, "b", kFar), std::nullopt);
  EXPECT_EQ(With(kOther, "a", kFar), std::nullopt);
  EXPECT_EQ(With(kOther, "b", kClose), std::nullopt);
}

TEST(Rival, TheFirstOfSeveralCounts) {
  const NearQuestion same{.cosine = 0.94F, .text = kSame, .answer = "b", .vector = kClose};
  const NearQuestion one{.cosine = 0.92F, .text = kOther, .answer = "c", .vector = kFar};
  const NearQuestion two{.cosine = 0.91F, .text = kOther, .answer = "d", .vector = kFar};
  EXPECT_EQ(CosineOfRival(std::array{kBest, same, one, two}), 0.92F);
}

TEST(Rival, OneAloneHasNone) {
  EXPECT_EQ(CosineOfRival(std::array{kBest}), std::nullopt);
  EXPECT_EQ(CosineOfRival({}), std::nullopt);
}

}  // namespace
}  // namespace nextgate::cache
