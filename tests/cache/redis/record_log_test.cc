// A log that several instances fold in one order, against a real Redis that is there, away, and another.
#include "cache/redis/record_log.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/redis_instance.h"
#include "tests/support/redis_server.h"
#include "tests/support/until.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::RedisServer;
using test::Until;

// What one process folds: the records it was told, less what was trimmed.
struct Instance {
  explicit Instance(int port, size_t records_max = 1000, RecordLog::Place resume = {})
      : client(test::PatientClient(port)),
        tail({.endpoint = {.host = "127.0.0.1", .port = port},
              .slices = 200,
              .connect_timeout = milliseconds(5000),
              .retry = milliseconds(10)}) {
    client.WaitAvailable(milliseconds(20'000));
    log = std::make_unique<RecordLog>(
        RecordLog::Options{.name_space = "test",
                           .name = "log",
                           .records_max = records_max,
                           .check = milliseconds(20),
                           .budget = milliseconds(5000)},
        &client, &tail,
        RecordLog::Listener{.heard =
                                [this](std::string_view record, int64_t position) {
                                  const std::lock_guard lock(mutex);
                                  EXPECT_GT(position, told.empty() ? 0 : told.back().second);
                                  told.emplace_back(record, position);
                                },
                            .trimmed =
                                [this](int64_t first) {
                                  const std::lock_guard lock(mutex);
                                  std::erase_if(
                                      told, [&](const auto& one) { return one.second < first; });
                                },
                            .lost =
                                [this] {
                                  const std::lock_guard lock(mutex);
                                  told.clear();
                                }},
        std::move(resume));
  }
  std::vector<std::string> Told() const {
    const std::lock_guard lock(mutex);
    std::vector<std::string> texts;
    for (const auto& one : told) texts.push_back(one.first);
    return texts;
  }

  RedisClient client;
  RedisTail tail;
  mutable std::mutex mutex;
  std::vector<std::pair<std::string, int64_t>> told;
  std::unique_ptr<RecordLog> log;
};

std::vector<std::string> Numbers(int first, int last) {
  std::vector<std::string> texts;
  for (int i = first; i <= last; ++i) texts.push_back(std::to_string(i));
  return texts;
}

TEST(RecordLog, AllHearAllInOneOrderAndWhoComesLaterHearsItFromTheBeginning) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(a.log->Append("a" + std::to_string(i)));
    EXPECT_TRUE(b.log->Append("b" + std::to_string(i)));
  }
  ASSERT_TRUE(Until([&] { return a.Told().size() == 200 && b.Told().size() == 200; }));
  EXPECT_EQ(a.Told(), b.Told());
  Instance c(server.port());
  EXPECT_TRUE(c.log->WaitCaughtUp(milliseconds(20'000)));
  EXPECT_EQ(c.Told(), a.Told());
}

TEST(RecordLog, WhatIsTrimmedIsForgottenByAll) {
  RedisServer server;
  Instance a(server.port(), 10), b(server.port(), 10);
  for (const std::string& text : Numbers(1, 60)) a.log->Append(text);
  const auto last_ten = Numbers(51, 60);
  EXPECT_TRUE(Until([&] { return a.Told() == last_ten && b.Told() == last_ten; }));
  const Instance late(server.port(), 10);
  EXPECT_TRUE(Until([&] { return late.Told() == last_ten; }));
}

TEST(RecordLog, WhatIsSaidWhileRedisIsAwayWaitsForIt) {
  RedisServer server({"--appendonly", "yes", "--appendfsync", "always"});
  Instance a(server.port()), b(server.port());
  a.log->Append("1");
  ASSERT_TRUE(Until([&] { return b.Told() == Numbers(1, 1); }));
  server.Kill();
  a.log->Append("2");
  server.Start();
  // The same Redis: nothing was lost, nothing told twice.
  EXPECT_TRUE(Until([&] { return a.Told() == Numbers(1, 2) && b.Told() == Numbers(1, 2); }));
  EXPECT_EQ(b.log->stats().losses, 0);
}

TEST(RecordLog, ARedisThatLostItsRecordsIsReadAgain) {
  RedisServer server;  // in memory only
  Instance a(server.port()), b(server.port());
  for (const std::string& text : Numbers(1, 5)) a.log->Append(text);
  ASSERT_TRUE(Until([&] { return b.Told().size() == 5; }));
  server.Kill();
  server.Start();
  EXPECT_TRUE(Until([&] { return a.Told().empty() && b.Told().empty(); }));
  a.log->Append("6");
  EXPECT_TRUE(Until([&] { return a.Told() == Numbers(6, 6) && b.Told() == Numbers(6, 6); }));
}

TEST(RecordLog, ADeletedStreamIsAnEmptyOne) {
  RedisServer server;
  Instance a(server.port());
  a.log->Append("1");
  ASSERT_TRUE(Until([&] { return a.Told().size() == 1; }));
  const RedisCommand del[] = {{"DEL", "{test}:log"}};
  ASSERT_TRUE(a.client.Run(del, steady_clock::now() + milliseconds(20'000)));
  EXPECT_TRUE(Until([&] { return a.Told().empty(); }));
}

TEST(RecordLog, OneThatGoesOnWhereAnotherLeftOffHearsTheRest) {
  RedisServer server;
  RecordLog::Place place;
  {
    Instance a(server.port());
    for (const std::string& text : Numbers(1, 5)) a.log->Append(text);
    ASSERT_TRUE(Until([&] { return a.Told().size() == 5; }));
    ASSERT_TRUE(Until([&] { return (place = a.log->place()).last_id != ""; }));
    a.log->Append("6");
    ASSERT_TRUE(Until([&] { return a.Told().size() == 6; }));
  }
  const Instance b(server.port(), 1000, place);
  EXPECT_TRUE(Until([&] { return b.Told() == Numbers(6, 6); }));
  // A place that this Redis does not know: everything, from the beginning.
  const Instance c(server.port(), 1000, {.generation = "", .last_id = "99-0"});
  EXPECT_TRUE(Until([&] { return c.Told() == Numbers(1, 6); }));
}

TEST(RecordLog, WithoutRedisItTellsItself) {
  std::vector<std::string> told;
  RecordLog log({.name = "log"}, nullptr, nullptr,
                {.heard = [&](std::string_view record, int64_t) { told.emplace_back(record); }});
  for (const std::string& text : Numbers(1, 3)) EXPECT_TRUE(log.Append(text));
  EXPECT_EQ(told, Numbers(1, 3));
  EXPECT_TRUE(log.WaitCaughtUp(milliseconds(0)));
}

}  // namespace
}  // namespace nextgate::cache
