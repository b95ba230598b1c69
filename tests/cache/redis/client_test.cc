#include "cache/redis/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/redis_server.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using test::RedisServer;

Deadline In(int ms) { return std::chrono::steady_clock::now() + milliseconds(ms); }
Deadline Soon() { return In(20'000); }

const RedisCommand kPing[] = {{"PING"}};

RedisClient::Options For(const RedisServer& server) {
  return {.endpoint = {.host = "127.0.0.1", .port = server.port()},
          .retry_first = milliseconds(5),
          .retry_max = milliseconds(20),
          .probe_timeout = milliseconds(2000)};
}

bool BecomesAvailable(const RedisClient& client, bool available = true) {
  for (int i = 0; i < 2000 && client.stats().available != available; ++i)
    std::this_thread::sleep_for(milliseconds(5));
  return client.stats().available == available;
}

TEST(RedisClient, ManyThreadsShareFewConnections) {
  RedisServer server;
  RedisClient::Options options = For(server);
  options.connections_max = 3;
  RedisClient client(options);
  ASSERT_TRUE(client.WaitAvailable(milliseconds(20'000)));
  std::atomic<int> answered = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 12; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        // Every thread must get the reply to its own question.
        const std::string word = std::to_string(t) + ":" + std::to_string(i);
        const RedisCommand echo[] = {{"ECHO", word}};
        const auto replies = client.Run(echo, Soon());
        if (replies && replies->front().text == word) ++answered;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, 12 * 200);
  const RedisClientStats stats = client.stats();
  EXPECT_LE(stats.connections, 3);
  EXPECT_EQ(stats.runs, 12 * 200);
  EXPECT_EQ(stats.failures, 0);
}

TEST(RedisClient, StopsAskingAServerThatHangsAndComesBackWhenItDoes) {
  RedisServer server;
  RedisClient::Options options = For(server);
  options.probe_timeout = milliseconds(20);
  options.connect_timeout = milliseconds(20);
  RedisClient client(options);
  ASSERT_TRUE(BecomesAvailable(client));
  server.Pause();
  for (int i = 0; i < options.failures_max; ++i) EXPECT_FALSE(client.Run(kPing, In(10)));
  EXPECT_EQ(client.stats().failures, options.failures_max);
  EXPECT_FALSE(client.stats().available);
  EXPECT_EQ(client.stats().connections, 0);
  // Refused at once: a deadline that is far away is not waited for.
  EXPECT_FALSE(client.Run(kPing, In(1'000'000)));
  EXPECT_EQ(client.stats().refusals, 1);
  EXPECT_EQ(client.stats().openings, 1);
  server.Resume();
  ASSERT_TRUE(BecomesAvailable(client));
  EXPECT_TRUE(client.Run(kPing, Soon()));
}

TEST(RedisClient, SurvivesARestartWithoutAFailedRun) {
  RedisServer server;
  RedisClient client(For(server));
  ASSERT_TRUE(client.WaitAvailable(milliseconds(20'000)));
  ASSERT_TRUE(client.Run(kPing, Soon()));
  server.Kill();
  server.Start();
  // The pooled connection is known to be closed; a new one is made.
  EXPECT_TRUE(client.Run(kPing, Soon()));
  EXPECT_EQ(client.stats().failures, 0);
}

TEST(RedisClient, StartsWithoutAServerAndFindsItLater) {
  RedisServer server;
  server.Kill();
  RedisClient client(For(server));
  EXPECT_FALSE(client.WaitAvailable(milliseconds(20'000)));
  EXPECT_FALSE(client.Run(kPing, Soon()));
  server.Start();
  EXPECT_TRUE(BecomesAvailable(client));
  EXPECT_TRUE(client.Run(kPing, Soon()));
}

TEST(RedisClient, AReplicaThatCannotWriteCountsAsAway) {
  RedisServer server;
  RedisClient client(For(server));
  ASSERT_TRUE(BecomesAvailable(client));
  const RedisCommand demote[] = {{"REPLICAOF", "127.0.0.1", std::to_string(test::FreePort())}};
  ASSERT_TRUE(client.Run(demote, Soon()));
  const RedisCommand set[] = {{"SET", "k", "v"}};
  const auto replies = client.Run(set, Soon());
  ASSERT_FALSE(replies);
  EXPECT_THAT(replies.error().message, ::testing::HasSubstr("READONLY"));
  EXPECT_EQ(client.stats().failures, 1);
}

TEST(RedisClient, AWrongPasswordNeverBecomesAvailable) {
  RedisServer server({"--requirepass", "right"});
  RedisClient::Options options = For(server);
  options.endpoint.password = "wrong";
  RedisClient client(options);
  EXPECT_FALSE(client.WaitAvailable(milliseconds(20'000)));
  EXPECT_FALSE(client.Run(kPing, Soon()));
}

}  // namespace
}  // namespace nextgate::cache
