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
  void Fail(int ms) {
    ASSERT_TRUE(breaker_.Admit(At(ms)));
    breaker_.OnFailure(At(ms));
  }
  Breaker breaker_{kOptions};
};

TEST_F(BreakerTest, OpensAfterFailuresInARowOnly) {
  Fail(0);
  Fail(0);
  EXPECT_FALSE(breaker_.OnSuccess());  // nothing changed
  Fail(0);
  Fail(0);
  EXPECT_EQ(breaker_.state(), State::kClosed);
  Fail(0);
  EXPECT_EQ(breaker_.state(), State::kOpen);
  EXPECT_FALSE(breaker_.Admit(At(99)));
  EXPECT_EQ(breaker_.UntilAdmitted(At(40)), milliseconds(60));
}

TEST_F(BreakerTest, LetsOneTryAndClosesIfItWorks) {
  for (int i = 0; i < 3; ++i) Fail(0);
  EXPECT_TRUE(breaker_.MayAdmit(At(100)));
  EXPECT_TRUE(breaker_.Admit(At(100)));
  EXPECT_FALSE(breaker_.Admit(At(100))) << "only one at a time";
  EXPECT_EQ(breaker_.state(), State::kHalfOpen);
  EXPECT_TRUE(breaker_.OnSuccess());
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
  ASSERT_TRUE(breaker_.Admit(At(100)));
  breaker_.OnAbandoned();
  EXPECT_TRUE(breaker_.Admit(At(100)));
}

}  // namespace
}  // namespace nextgate::gateway
