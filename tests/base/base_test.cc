#include <gtest/gtest.h>

#include <thread>

#include "base/clock.h"
#include "base/hash.h"
#include "base/queue.h"
#include "base/status.h"

namespace nextgate {
namespace {

using std::chrono::milliseconds;

Result<int> Half(int x) {
  if (x % 2 != 0) return InvalidArgument("x must be even, got an odd one", "x");
  return x / 2;
}

Result<int> Quarter(int x) {
  ASSIGN_OR_RETURN(int half, Half(x));
  RETURN_IF_ERROR(Half(half));
  return half / 2;
}

TEST(Status, MacrosReturnTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(3).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Quarter(6).error().param, "x");
}

TEST(Queue, KeepsOrderRefusesWhenFullAndDrainsAfterClose) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_FALSE(queue.TryPush(3));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(4));
  EXPECT_EQ(queue.Pop(milliseconds(0)), 1);
  EXPECT_EQ(queue.TryPop(), 2);
  EXPECT_EQ(queue.Pop(milliseconds(0)), std::nullopt);
}

TEST(Queue, PopWaitsForAProducer) {
  BoundedQueue<int> queue(1);
  std::jthread producer([&] { ASSERT_TRUE(queue.TryPush(7)); });
  EXPECT_EQ(queue.Pop(std::chrono::seconds(30)), 7);
}

TEST(Hash, IsXxh3AndPrintsHighFirst) {
  // The reference value of XXH3_128bits("") from the xxHash specification.
  EXPECT_EQ(HashBytes("").Hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_NE(HashBytes("a"), HashBytes("b"));
}

TEST(ManualClock, MovesOnlyWhenTold) {
  ManualClock clock(1000);
  const int64_t before = clock.MonotonicNs();
  clock.AdvanceMs(5);
  EXPECT_EQ(clock.UnixMs(), 1005);
  EXPECT_EQ(clock.MonotonicNs() - before, 5'000'000);
}

}  // namespace
}  // namespace nextgate
