#include "cache/redis/tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/redis_instance.h"
#include "tests/support/redis_server.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using test::RedisServer;
using ::testing::ElementsAre;
using ::testing::SizeIs;

// Keeps what it hears.
class Heard {
 public:
  RedisTail::Listener Listener() {
    return {.records =
                [this](std::vector<RedisTail::Record> records) {
                  const std::lock_guard lock(mutex_);
                  for (const auto& record : records) words_.push_back(record.fields.at(1));
                },
            .lost =
                [this](RedisTail::Loss loss) {
                  ++(loss == RedisTail::Loss::kSilent ? silences : breaks);
                }};
  }
  std::vector<std::string> words() const {
    const std::lock_guard lock(mutex_);
    return words_;
  }
  bool WaitFor(size_t count) const {
    for (int i = 0; i < 20'000 && words().size() < count; ++i)
      std::this_thread::sleep_for(milliseconds(1));
    return words().size() >= count;
  }
  std::atomic<int> silences = 0;
  std::atomic<int> breaks = 0;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> words_;
};

void Until(const std::function<bool()>& condition) {
  for (int i = 0; i < 20'000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_TRUE(condition());
}

class RedisTailTest : public ::testing::Test {
 protected:
  void Add(const std::string& key, const std::string& word, const std::string& id = "*") {
    ASSERT_FALSE(client_.Run({"XADD", key, id, "word", word}).is_error());
  }
  RedisServer server_;
  test::RedisInstance client_{server_.port()};
  RedisTail tail_{{.endpoint = {.host = "127.0.0.1", .port = server_.port()},
                   .connect_timeout = milliseconds(2000),
                   .retry = milliseconds(10)}};
};

TEST_F(RedisTailTest, TellsWhatIsThereAndWhatComes) {
  Add("a", "one");
  Heard heard;
  const auto following = tail_.Follow("a", "0", heard.Listener());
  ASSERT_TRUE(heard.WaitFor(1));
  Add("a", "two");
  Add("a", "three");
  ASSERT_TRUE(heard.WaitFor(3));
  EXPECT_THAT(heard.words(), ElementsAre("one", "two", "three"));
}

TEST_F(RedisTailTest, BeginsBehindTheGivenRecord) {
  Add("a", "one", "5-1");
  Add("a", "two", "5-2");
  Add("a", "three", "10-0");
  Heard heard;
  const auto following = tail_.Follow("a", "5-1", heard.Listener());
  ASSERT_TRUE(heard.WaitFor(2));
  EXPECT_THAT(heard.words(), ElementsAre("two", "three"));
}

TEST_F(RedisTailTest, FollowsManyStreamsAtOnceEachOnceAndInOrder) {
  constexpr int kStreams = 50, kWords = 40;
  std::vector<Heard> heard(kStreams);
  std::vector<std::unique_ptr<RedisTail::Following>> followings;
  for (int s = 0; s < kStreams; ++s)
    followings.push_back(tail_.Follow("s" + std::to_string(s), "0", heard[s].Listener()));
  for (int w = 0; w < kWords; ++w)
    for (int s = 0; s < kStreams; ++s) Add("s" + std::to_string(s), std::to_string(w));
  for (int s = 0; s < kStreams; ++s) {
    ASSERT_TRUE(heard[s].WaitFor(kWords));
    ASSERT_THAT(heard[s].words(), SizeIs(kWords));
    for (int w = 0; w < kWords; ++w) EXPECT_EQ(heard[s].words()[w], std::to_string(w));
  }
}

TEST_F(RedisTailTest, TwoMayFollowOneStreamFromDifferentPlaces) {
  Add("a", "one", "1-0");
  Add("a", "two", "2-0");
  Heard all, rest;
  const auto first = tail_.Follow("a", "1-0", rest.Listener());
  const auto second = tail_.Follow("a", "0", all.Listener());
  Add("a", "three", "3-0");
  ASSERT_TRUE(all.WaitFor(3));
  ASSERT_TRUE(rest.WaitFor(2));
  EXPECT_THAT(all.words(), ElementsAre("one", "two", "three"));
  EXPECT_THAT(rest.words(), ElementsAre("two", "three"));
}

TEST_F(RedisTailTest, SaysNothingMoreOnceItIsLetGo) {
  Heard heard, other;
  auto following = tail_.Follow("a", "0", heard.Listener());
  const auto second = tail_.Follow("a", "0", other.Listener());
  Add("a", "one");
  ASSERT_TRUE(heard.WaitFor(1));
  following.reset();
  Add("a", "two");
  ASSERT_TRUE(other.WaitFor(2));
  EXPECT_THAT(heard.words(), SizeIs(1));
}

TEST_F(RedisTailTest, GoesOnWhereItWasWhenTheConnectionBreaks) {
  Heard heard;
  const auto following = tail_.Follow("a", "0", heard.Listener());
  Add("a", "one");
  ASSERT_TRUE(heard.WaitFor(1));
  ASSERT_GE(client_.Run({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}).integer, 1);
  ASSERT_FALSE(client_.Run({"XADD", "a", "*", "word", "two"}).is_error());
  ASSERT_TRUE(heard.WaitFor(2));
  EXPECT_THAT(heard.words(), ElementsAre("one", "two"));
}

TEST_F(RedisTailTest, TellsThatTheServerDiedAndFollowsTheNextOne) {
  Heard heard;
  const auto following = tail_.Follow("a", "0", heard.Listener());
  server_.Kill();
  Until([&] { return heard.breaks > 0; });
  server_.Start();
  Until([&] { return client_.client.stats().available; });
  Until([&] { return !client_.Run({"XADD", "a", "*", "word", "again"}).is_error(); });
  ASSERT_TRUE(heard.WaitFor(1));
}

TEST_F(RedisTailTest, TellsThatTheServerIsSilent) {
  Heard heard;
  const auto following = tail_.Follow("a", "0", heard.Listener());
  Add("a", "one");
  ASSERT_TRUE(heard.WaitFor(1));
  EXPECT_EQ(heard.breaks, 0);
  server_.Pause();
  Until([&] { return heard.silences > 0; });
  server_.Resume();
  Add("a", "two");
  ASSERT_TRUE(heard.WaitFor(2));
  EXPECT_THAT(heard.words(), ElementsAre("one", "two"));
}

TEST_F(RedisTailTest, AKeyThatIsNoStreamIsGivenUpAlone) {
  client_.Run({"SET", "b", "no stream"});
  Heard good, bad;
  const auto first = tail_.Follow("a", "0", good.Listener());
  const auto second = tail_.Follow("b", "0", bad.Listener());
  Until([&] { return bad.breaks > 0; });
  Add("a", "one");
  ASSERT_TRUE(good.WaitFor(1));
  EXPECT_EQ(good.breaks, 0);
}

}  // namespace
}  // namespace nextgate::cache
