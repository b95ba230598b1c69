#include "cache/redis/locator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/support/redis_server.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using test::RedisServer;
using ::testing::HasSubstr;

Deadline Soon() { return std::chrono::steady_clock::now() + milliseconds(20'000); }

RedisReply ErrorReply(std::string text) {
  return {.type = RedisReply::Type::kError, .text = std::move(text)};
}

// Nodes of one cluster that have not met; each is told by hand who has which slots.
struct Node : RedisServer {
  Node()
      : RedisServer(
            {"--cluster-enabled", "yes", "--cluster-port", std::to_string(test::FreePort())}) {}
  RedisReply Run(RedisCommand command) const {
    const RedisEndpoint endpoint{.host = "127.0.0.1", .port = port()};
    const auto connection =
        RedisConnection::Open(endpoint, *ResolveRedis(endpoint, Soon()), Soon());
    return (*connection)->Run(std::span(&command, 1), Soon())->front();
  }
  void Serve(int from, int to) const {
    ASSERT_EQ(Run({"CLUSTER", "ADDSLOTSRANGE", std::to_string(from), std::to_string(to)}).text,
              "OK");
    for (int i = 0; i < 2000; ++i) {
      if (Run({"CLUSTER", "INFO"}).text.find("cluster_state:ok") != std::string::npos) return;
      std::this_thread::sleep_for(milliseconds(5));
    }
    FAIL() << "the cluster is not ready";
  }
};

RedisEndpoint ClusterAt(std::initializer_list<int> ports) {
  RedisEndpoint endpoint{.kind = RedisEndpoint::Kind::kCluster, .key = "{test}:k"};
  for (const int port : ports) endpoint.known.push_back({"127.0.0.1", port});
  return endpoint;
}

TEST(RedisRedirection, NamesTheNodeAndWhetherItIsForOnce) {
  const RedisNode from{"10.0.0.1", 7000};
  const auto moved = ParseRedirection(ErrorReply("MOVED 3999 10.0.0.2:6381"), from);
  ASSERT_TRUE(moved);
  EXPECT_FALSE(moved->ask);
  EXPECT_EQ(moved->node, (RedisNode{"10.0.0.2", 6381}));
  const auto ask = ParseRedirection(ErrorReply("ASK 3999 ::1:6381"), from);
  ASSERT_TRUE(ask);
  EXPECT_TRUE(ask->ask);
  EXPECT_EQ(ask->node, (RedisNode{"::1", 6381}));
  const auto same_host = ParseRedirection(ErrorReply("MOVED 3999 :6381"), from);
  ASSERT_TRUE(same_host);
  EXPECT_EQ(same_host->node, (RedisNode{"10.0.0.1", 6381}));
  for (const char* other : {"ERR no", "MOVED", "MOVED 3999 host", "MOVED 3999 host:0", "TRYAGAIN"})
    EXPECT_FALSE(ParseRedirection(ErrorReply(other), from)) << other;
  EXPECT_FALSE(ParseRedirection({.type = RedisReply::Type::kString, .text = "MOVED 1 a:1"}, from));
}

TEST(RedisLocator, FindsTheNodeOfOurKeysThroughWhicheverNodeAnswers) {
  Node node;
  node.Serve(0, 16383);
  RedisLocator locator(ClusterAt({test::FreePort(), node.port()}));
  const auto found = locator.Locate(milliseconds(5000));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ((*found)->endpoint.node(), (RedisNode{"127.0.0.1", node.port()}));
}

TEST(RedisLocator, SaysThatNobodyServesOurSlot) {
  Node node;
  ASSERT_EQ(node.Run({"CLUSTER", "ADDSLOTS", "1"}).text, "OK");
  RedisLocator locator(ClusterAt({node.port()}));
  const auto found = locator.Locate(milliseconds(5000));
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("serves no slot"));
}

TEST(RedisLocator, AServerThatIsNoSentinelIsNone) {
  RedisServer server;
  RedisLocator locator({.kind = RedisEndpoint::Kind::kSentinel,
                        .known = {{"127.0.0.1", server.port()}},
                        .master = "ours"});
  const auto found = locator.Locate(milliseconds(5000));
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("the Sentinel 127.0.0.1:"));
}

}  // namespace
}  // namespace nextgate::cache
