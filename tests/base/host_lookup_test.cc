#include "base/host_lookup.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace nextgate {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

steady_clock::time_point In(int ms) { return steady_clock::now() + milliseconds(ms); }

// Answers once it is let go.
struct SlowResolver {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  std::shared_ptr<std::atomic<int>> calls = std::make_shared<std::atomic<int>>(0);

  Resolver resolver() const {
    return [gone = gone, calls = calls](const std::string& host, int port) {
      ++*calls;
      gone.wait();
      return Result<SocketAddresses>({host + ":" + std::to_string(port)});
    };
  }
};

TEST(HostLookup, AnAddressIsThereAtOnceWithoutAResolver) {
  const Resolver never = [](const std::string&, int) -> Result<SocketAddresses> {
    ADD_FAILURE() << "asked";
    return SocketAddresses{};
  };
  for (const std::string host : {"127.0.0.1", "::1"}) {
    const auto found = HostLookup(host, 80, never).Wait(In(-1));
    ASSERT_TRUE(found && *found) << host;
    EXPECT_EQ((*found)->size(), 1u);
    EXPECT_EQ(**found, *NumericAddress(host, 80));
  }
  EXPECT_FALSE(NumericAddress("localhost", 80));
}

TEST(HostLookup, TheSystemKnowsLocalhostAndNotWhatIsInvalid) {
  const auto found = HostLookup("localhost", 80).Wait(In(20'000));
  ASSERT_TRUE(found);
  ASSERT_TRUE(*found) << found->error().message;
  EXPECT_FALSE((*found)->empty());
  const auto unknown = HostLookup(std::string(70, 'x'), 80).Wait(In(20'000));  // too long a label
  ASSERT_TRUE(unknown);
  EXPECT_FALSE(*unknown);
}

TEST(HostLookup, AResolverThatHangsIsNotWaitedFor) {
  SlowResolver slow;
  HostLookup lookup("hangs.test", 1, slow.resolver());
  const auto began = steady_clock::now();
  EXPECT_FALSE(lookup.Wait(In(30)));
  EXPECT_GE(steady_clock::now() - began, milliseconds(30));
  slow.go.set_value();
  const auto found = lookup.Wait(In(20'000));
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(**found, SocketAddresses{"hangs.test:1"});
}

TEST(HostLookup, AHostThatIsAskedForIsAskedForOnce) {
  SlowResolver slow;
  HostLookup first("once.test", 1, slow.resolver());
  HostLookup second("once.test", 1, slow.resolver());
  HostLookup other_port("once.test", 2, slow.resolver());
  slow.go.set_value();
  EXPECT_EQ(**first.Wait(In(20'000)), SocketAddresses{"once.test:1"});
  EXPECT_EQ(**second.Wait(In(20'000)), SocketAddresses{"once.test:1"});
  EXPECT_EQ(**other_port.Wait(In(20'000)), SocketAddresses{"once.test:2"});
  EXPECT_EQ(*slow.calls, 2);
  EXPECT_TRUE(HostLookup("once.test", 1, slow.resolver()).Wait(In(20'000)));
  EXPECT_EQ(*slow.calls, 3) << "an answer that is known is not kept: it may be another one now";
}

TEST(HostLookup, AnAnswerThatNobodyWaitsForIsDropped) {
  SlowResolver slow;
  { HostLookup lookup("left.test", 1, slow.resolver()); }
  slow.go.set_value();
}

TEST(TryUntil, LeavesTheOthersTheirShare) {
  const auto deadline = In(3000);
  const auto left = [&](size_t addresses) {
    return std::chrono::duration<double>(deadline - TryUntil(deadline, addresses)).count();
  };
  EXPECT_EQ(TryUntil(deadline, 1), deadline);
  EXPECT_NEAR(left(3), 2, 0.5);
  EXPECT_NEAR(left(2), 1.5, 0.5);
}

}  // namespace
}  // namespace nextgate
