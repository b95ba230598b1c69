#include "gateway/upstream/breaker.h"

#include <gtest/gtest.h>

namespace nextgate::gateway {
namespace {

using std::chrono::milliseconds;
using State = Breaker::State;

const Breaker::Options kOptions{
    .failures_max = 3, .open_min = milliseconds(100), .open_max = milliseconds(300)};

class BreakerTest : public ::testing::Test {
 protected:
  Breaker::Instant At(int ms) { return Breaker::Instant{} + milliseconds(ms); }
  Breaker::Attempt Begin(int ms) {
    const auto attempt = breaker_.Admit(At(ms));
    EXPECT_TRUE(attempt);
    return attempt.value_or(-1);
  }
  void Fail(int ms) { breaker_.OnFailure(Begin(ms), At(ms)); }
  Breaker breaker_{kOptions};
};

TEST_F(BreakerTest, OpensAfterFailuresInARowOnly) {
  Fail(0);
  Fail(0);
  EXPECT_FALSE(breaker_.OnSuccess(Begin(0)));  // nothing changed
  Fail(0);
  Fail(0);
  EXPECT_EQ(breaker_.state(), State::kClosed);
  EXPECT_TRUE(breaker_.OnFailure(Begin(0), At(0)));
  EXPECT_EQ(breaker_.state(), State::kOpen);
  EXPECT_FALSE(breaker_.Admit(At(99)));
  EXPECT_EQ(breaker_.UntilAdmitted(At(40)), milliseconds(60));
}

TEST_F(BreakerTest, LetsOneTryAndClosesIfItWorks) {
  for (int i = 0; i < 3; ++i) Fail(0);
  EXPECT_TRUE(breaker_.MayAdmit(At(100)));
  const Breaker::Attempt trial = Begin(100);
  EXPECT_FALSE(breaker_.Admit(At(100))) << "only one at a time";
  EXPECT_EQ(breaker_.state(), State::kHalfOpen);
  EXPECT_TRUE(breaker_.OnSuccess(trial));
  EXPECT_TRUE(breaker_.Admit(At(100)) && breaker_.Admit(At(100)));
}

TEST_F(BreakerTest, StaysAwayTwiceAsLongEachTimeUpToTheMost) {
  for (int i = 0; i < 3; ++i) Fail(0);
  int at = 0;
  for (const int open : {100, 200, 300, 300}) {
    EXPECT_FALSE(breaker_.Admit(At(at + open - 1)));
    at += open;
    Fail(at);
  }
}

TEST_F(BreakerTest, OneThatGaveUpLeavesTheTryToTheNext) {
  for (int i = 0; i < 3; ++i) Fail(0);
  breaker_.OnAbandoned(Begin(100));
  EXPECT_TRUE(breaker_.Admit(At(100)));
}

// They were sent before it opened, and end while another one tries.
TEST_F(BreakerTest, OnlyTheOneThatTriesSaysHowItIsNow) {
  const Breaker::Attempt old = Begin(0);
  for (int i = 0; i < 3; ++i) Fail(0);
  EXPECT_FALSE(breaker_.OnSuccess(old));
  EXPECT_EQ(breaker_.state(), State::kOpen) << "how it was before it opened";
  const Breaker::Attempt trial = Begin(100);
  EXPECT_FALSE(breaker_.OnSuccess(old));
  EXPECT_EQ(breaker_.state(), State::kHalfOpen);
  EXPECT_FALSE(breaker_.OnFailure(old, At(150)));
  breaker_.OnAbandoned(old);
  EXPECT_EQ(breaker_.state(), State::kHalfOpen);
  EXPECT_FALSE(breaker_.Admit(At(400))) << "the one that tries is still on its way";

  EXPECT_FALSE(breaker_.OnFailure(trial, At(400))) << "open as before";
  EXPECT_FALSE(breaker_.Admit(At(599))) << "for twice as long";
  EXPECT_FALSE(breaker_.OnSuccess(trial)) << "its answer broke off, or it says so twice";
  const Breaker::Attempt next = Begin(600);
  breaker_.OnAbandoned(trial);
  EXPECT_FALSE(breaker_.Admit(At(600)));
  EXPECT_TRUE(breaker_.OnSuccess(next));
  EXPECT_EQ(breaker_.state(), State::kClosed);
}

TEST_F(BreakerTest, FailuresOfBeforeItClosedAreNotCountedAfterwards) {
  const Breaker::Attempt old = Begin(0);
  for (int i = 0; i < 3; ++i) Fail(0);
  breaker_.OnSuccess(Begin(100));
  for (int i = 0; i < 3; ++i) breaker_.OnFailure(old, At(101));
  EXPECT_EQ(breaker_.state(), State::kClosed);
  Fail(102);
  Fail(102);
  EXPECT_EQ(breaker_.state(), State::kClosed);
}

}  // namespace
}  // namespace nextgate::gateway
