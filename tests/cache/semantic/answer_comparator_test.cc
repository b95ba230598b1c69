// What the texts decide, what the embedder and the judge decide, and when there is no label.
#include "cache/semantic/answer_comparator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

namespace nextgate::cache {
namespace {

using Label = AnswerVerdict::Label;
using Reason = AnswerVerdict::Reason;

const AnswerComparator::Deadline kLater = std::chrono::steady_clock::now() + std::chrono::hours(1);

// Unit vectors in the plane: a text's angle is given, or 0.
class FakeEmbedder final : public Embedder {
 public:
  const EmbedderInfo& info() const override { return info_; }
  Result<std::vector<Embedding>> Embed(std::span<const std::string> texts, Deadline) override {
    ++calls;
    if (away) return MakeError(ErrorCode::kDeadlineExceeded, "late");
    std::vector<Embedding> out;
    for (const std::string& text : texts) {
      const float angle = angles.contains(text) ? angles.at(text) : 0;
      out.push_back(
          {.values = {std::cos(angle), std::sin(angle)}, .num_tokens = 10, .num_unknown = unknown});
    }
    return out;
  }

  std::map<std::string, float> angles;
  bool away = false;
  int64_t unknown = 0;
  int calls = 0;

 private:
  EmbedderInfo info_{.id = "fake", .revision = "1", .dimension = 2};
};

class FakeJudge final : public AnswerJudge {
 public:
  Result<bool> Same(std::string_view, std::string_view, std::string_view, Deadline) override {
    return verdict;
  }
  Result<bool> verdict = true;
};

class AnswerComparatorTest : public testing::Test {
 protected:
  AnswerVerdict Compare(std::string_view stored, std::string_view generated) {
    return comparator_.Compare("q", stored, generated, kLater);
  }
  FakeEmbedder embedder_;
  AnswerComparator comparator_{{.cosine_min = 0.8f}, &embedder_, nullptr};
};

TEST_F(AnswerComparatorTest, CaseSpacesPunctuationAndMarkdownAreNoDifference) {
  for (const auto& [stored, generated] : std::map<std::string, std::string>{
           {"Go to **Settings**, then *Cards*.", "go to settings then  cards"},
           {"# Fees\n- 2 euros", "Fees: 2 euros!"},
           {"It costs 1,000 euros", "It costs 1000 euros."},
           {"可以。", "可以！"},
           {"Don't.", "don’t"}}) {
    const AnswerVerdict verdict = Compare(stored, generated);
    EXPECT_EQ(verdict.label, Label::kSame) << stored;
    EXPECT_EQ(verdict.reason, Reason::kEqual) << stored;
  }
}

TEST_F(AnswerComparatorTest, FactsThatDoNotAgreeAreDifferentHoweverAlikeTheTexts) {
  struct Case {
    std::string stored, generated;
    Reason reason;
  };
  for (const Case& c : {Case{"It takes 5 days.", "It takes 10 days.", Reason::kNumbers},
                        Case{"It takes five days.", "It takes six days.", Reason::kNumbers},
                        Case{"It costs 2.5 euros.", "It costs 25 euros.", Reason::kNumbers},
                        Case{"需要5天。", "需要10天。", Reason::kNumbers},
                        Case{"等三天", "等四天", Reason::kNumbers},
                        Case{"Send it to Berlin.", "Send it to Hamburg.", Reason::kNames},
                        Case{"You can change it.", "You cannot change it.", Reason::kNegation},
                        Case{"It is open.", "It isn't open.", Reason::kNegation},
                        Case{"可以修改", "不可以修改", Reason::kNegation},
                        Case{"Turn the light on.", "Turn the light off.", Reason::kOpposites},
                        Case{"在入口左边", "在入口右边", Reason::kOpposites}}) {
    const AnswerVerdict verdict = Compare(c.stored, c.generated);
    EXPECT_EQ(verdict.label, Label::kDifferent) << c.stored;
    EXPECT_EQ(verdict.reason, c.reason) << c.stored << ": " << NameOf(verdict.reason);
  }
}

TEST_F(AnswerComparatorTest, APossessiveIsTheSameName) {
  EXPECT_EQ(
      Compare("The capital of Australia is Canberra.", "Canberra is Australia's capital.").label,
      Label::kSame);
  EXPECT_EQ(Compare("It is Peru's.", "It is Chile’s.").reason, Reason::kNames);
}

TEST_F(AnswerComparatorTest, NumbersInWordsAndDigitsAgree) {
  EXPECT_EQ(Compare("It takes five days.", "You need 5 days.").reason, Reason::kCosine);
  EXPECT_EQ(Compare("The fee is 2.50 euros.", "You pay 2.5 euros.").reason, Reason::kCosine);
}

TEST_F(AnswerComparatorTest, TheCosineDecidesTheRest) {
  embedder_.angles = {{"a near answer", 0.3f}, {"a far answer", 1.0f}};
  const AnswerVerdict near = Compare("an answer", "a near answer");
  EXPECT_EQ(near.label, Label::kSame);
  EXPECT_NEAR(*near.cosine, std::cos(0.3f), 1e-6);
  EXPECT_EQ(Compare("an answer", "a far answer").label, Label::kDifferent);
}

TEST_F(AnswerComparatorTest, OneParagraphTooManyIsADifference) {
  const std::string head = std::string(AnswerComparator::kPieceBytes - 2, 'x') + ".";
  const std::string tail = "another matter";
  embedder_.angles = {{tail, 1.5f}};
  EXPECT_EQ(Compare("y", head).label, Label::kSame);
  EXPECT_EQ(Compare("y", head + tail).label, Label::kDifferent);
  EXPECT_EQ(Compare(head + tail, "y").label, Label::kDifferent);
}

TEST_F(AnswerComparatorTest, WhetherThereIsALabelDoesNotDependOnWhatItWouldSay) {
  const auto expect_none = [&](Reason reason) {
    for (const std::string generated : {"You can.", "you can", "You cannot.", "It is possible."}) {
      const AnswerVerdict verdict = Compare("You can.", generated);
      EXPECT_EQ(verdict.label, Label::kNone) << generated;
      EXPECT_EQ(verdict.reason, reason) << generated;
    }
    EXPECT_EQ(comparator_.count(reason), 4);
  };
  embedder_.away = true;
  expect_none(Reason::kNotEmbedded);
  embedder_.away = false;
  embedder_.unknown = 2;
  expect_none(Reason::kUnsupported);
}

TEST_F(AnswerComparatorTest, TooLongAnAnswerHasNoLabelAndIsNotEmbedded) {
  EXPECT_EQ(Compare("y", std::string(40 * AnswerComparator::kPieceBytes, 'x')).reason,
            Reason::kTooLong);
  EXPECT_EQ(embedder_.calls, 0);
}

TEST_F(AnswerComparatorTest, AJudgeDecidesWhatTheTextsDoNot) {
  FakeJudge judge;
  AnswerComparator comparator({}, nullptr, &judge);
  const auto compare = [&](std::string_view a, std::string_view b) {
    return comparator.Compare("q", a, b, kLater);
  };
  EXPECT_EQ(compare("a b", "c d").label, Label::kSame);
  judge.verdict = false;
  EXPECT_EQ(compare("a b", "c d").label, Label::kDifferent);
  EXPECT_EQ(compare("a b", "c d").reason, Reason::kJudge);
  EXPECT_EQ(compare("a b", "A b.").label, Label::kSame);
  EXPECT_EQ(compare("It takes 5 days.", "It takes 5 days, then it is there.").reason,
            Reason::kJudge);
  judge.verdict = true;
  EXPECT_EQ(compare("It takes 5 days.", "It takes 6 days.").reason, Reason::kNumbers);
  EXPECT_EQ(compare("Send it to Berlin.", "Send it to Hamburg.").reason, Reason::kNames);
  EXPECT_EQ(compare("It is not open before 9.", "It opens at 9.").label, Label::kSame);
  EXPECT_EQ(compare("Turn the light on.", "Do not leave the light off.").label, Label::kSame);
  judge.verdict = MakeError(ErrorCode::kUnavailable, "away");
  EXPECT_EQ(compare("a b", "c d").reason, Reason::kNotJudged);
  EXPECT_EQ(compare("a b", "A b.").label, Label::kNone);
}

TEST_F(AnswerComparatorTest, WithoutEmbedderAndJudgeThereAreNoLabels) {
  AnswerComparator comparator({}, nullptr, nullptr);
  EXPECT_EQ(comparator.Compare("q", "a", "a", kLater).reason, Reason::kNoEmbedder);
}

TEST_F(AnswerComparatorTest, AnyBytesAreAnAnswer) {
  for (const std::string bytes : {"", "\xff\xfe", "。", "1.", "1..2", "'", "0", "00.00", "\xe4"}) {
    const StatedFacts facts = FactsOf(bytes);
    EXPECT_FALSE(ClashOf(facts, facts)) << bytes;
    EXPECT_EQ(Compare(bytes, bytes).label, Label::kSame);
  }
}

}  // namespace
}  // namespace nextgate::cache
