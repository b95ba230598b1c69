// The pairs that the binary carries, and the counting of a comparator's errors on them.
#include "cache/semantic/labelled_answers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace nextgate::cache {
namespace {

class Judge final : public AnswerJudge {
 public:
  using Answer = std::function<Result<bool>(std::string_view, std::string_view, std::string_view)>;
  explicit Judge(Answer answer) : answer_(std::move(answer)) {}
  Result<bool> Same(std::string_view question, std::string_view stored, std::string_view generated,
                    Deadline) override {
    ++calls;
    return answer_(question, stored, generated);
  }
  std::atomic<int> calls = 0;

 private:
  const Answer answer_;
};

ComparatorTrial Try(Judge& judge) {
  AnswerComparator comparator({}, nullptr, &judge);
  return TryComparator(comparator, HandWrittenAnswers(), std::chrono::seconds(10),
                       [] { return false; });
}

TEST(HandWrittenAnswers, AreEnoughOfEachAndWellFormed) {
  std::map<std::pair<std::string_view, bool>, int> counts;
  std::set<std::pair<std::string_view, std::string_view>> seen;
  std::map<int64_t, std::string_view> questions;
  for (const LabelledAnswers& pair : HandWrittenAnswers()) {
    ++counts[{pair.language, pair.same}];
    EXPECT_TRUE(seen.insert({pair.first, pair.second}).second) << pair.first;
    EXPECT_NE(pair.first, pair.second);
    EXPECT_FALSE(pair.question.empty()) << pair.subject;
    const auto [known, fresh] = questions.try_emplace(pair.subject, pair.question);
    EXPECT_EQ(known->second, pair.question) << pair.subject;
  }
  EXPECT_EQ((counts[{"en", true}]), 164);
  EXPECT_EQ((counts[{"en", false}]), 164);
  EXPECT_EQ((counts[{"zh", true}]), 40);
  EXPECT_EQ((counts[{"zh", false}]), 40);
  EXPECT_EQ(counts.size(), 4u);
  EXPECT_EQ(questions.size(), 204u);
}

TEST(TryComparator, CountsBothErrorsOfAJudgeThatSaysTheSameOfEverything) {
  Judge judge([](auto...) { return true; });
  const ComparatorTrial trial = Try(judge);
  EXPECT_EQ(judge.calls, 408);
  EXPECT_EQ(trial.error.num_right, 204);
  EXPECT_EQ(trial.error.num_wrong, 204);
  EXPECT_EQ(trial.error.false_different, 0);
  EXPECT_GT(trial.error.false_same, 100);  // numbers and names are seen without a judge
  EXPECT_LT(trial.error.false_same, 204);
  EXPECT_EQ(trial.no_label, 0);
  EXPECT_FALSE(trial.broken_off);
}

TEST(TryComparator, AJudgeThatKnowsIsNeverWrong) {
  Judge judge([](std::string_view question, std::string_view first, std::string_view second) {
    for (const LabelledAnswers& pair : HandWrittenAnswers())
      if (pair.question == question && pair.first == first && pair.second == second)
        return pair.same;
    ADD_FAILURE() << first;
    return false;
  });
  const ComparatorTrial trial = Try(judge);
  for (size_t i = 0; i < trial.verdicts.size(); ++i) {
    const LabelledAnswers& pair = HandWrittenAnswers()[i];
    ASSERT_TRUE(trial.verdicts[i]);
    EXPECT_EQ(trial.verdicts[i]->label == AnswerVerdict::Label::kSame, pair.same)
        << NameOf(trial.verdicts[i]->reason) << ": " << pair.first << " | " << pair.second;
  }
  EXPECT_EQ(trial.error.false_same, 0);
  EXPECT_EQ(trial.error.false_different, 0);
}

TEST(TryComparator, PairsWithoutALabelCountInNeitherRate) {
  std::atomic<int> asked = 0;
  Judge judge([&](auto...) -> Result<bool> {
    if (asked++ % 4 == 0) return MakeError(ErrorCode::kUnavailable, "away");
    return false;
  });
  const ComparatorTrial trial = Try(judge);
  EXPECT_EQ(trial.no_label, 102);
  EXPECT_EQ(trial.error.num_right + trial.error.num_wrong, 306);
  EXPECT_EQ(trial.error.false_same, 0);
  EXPECT_EQ(trial.error.false_different, trial.error.num_right);
  EXPECT_FALSE(trial.broken_off);
}

TEST(TryComparator, AJudgeThatIsAwayIsNotAskedFourHundredTimes) {
  Judge judge([](auto...) -> Result<bool> { return MakeError(ErrorCode::kUnavailable, "away"); });
  const ComparatorTrial trial = Try(judge);
  EXPECT_TRUE(trial.broken_off);
  EXPECT_LT(judge.calls, 20);
  EXPECT_EQ(trial.no_label, judge.calls);
  EXPECT_EQ(trial.error, ComparatorError{});
}

}  // namespace
}  // namespace nextgate::cache
