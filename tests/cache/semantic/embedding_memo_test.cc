#include "cache/semantic/embedding_memo.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <map>
#include <random>
#include <thread>

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kEver = Embedder::Deadline::max();

// Embeds a text as its length; counts what it is asked for, waits while the gate is shut, fails if told to.
class CountingEmbedder final : public Embedder {
 public:
  const EmbedderInfo& info() const override { return info_; }
  Result<std::vector<Embedding>> Embed(std::span<const std::string> texts,
                                       Deadline deadline) override {
    std::unique_lock lock(mutex_);
    ++calls;
    for (const std::string& text : texts) ++asked[text];
    changed_.notify_all();
    const auto go = [this] { return open_; };
    if (deadline == kEver)
      changed_.wait(lock, go);
    else if (!changed_.wait_until(lock, deadline, go))
      return MakeError(ErrorCode::kDeadlineExceeded, "late");
    if (error) return std::unexpected(*error);
    std::vector<Embedding> embeddings;
    for (const std::string& text : texts)
      embeddings.push_back({.values = {static_cast<float>(text.size()), 1},
                            .num_tokens = static_cast<int64_t>(text.size()),
                            .num_unknown = 1,
                            .truncated = true,
                            .num_spelled = 2});
    return embeddings;
  }
  void Set(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }
  void WaitForCalls(int n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return calls >= n; });
  }

  int calls = 0;
  std::map<std::string, int> asked;
  std::optional<Error> error;

 private:
  const EmbedderInfo info_{"counting", "1", 2};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
};

struct Memo {
  explicit Memo(const EmbeddingMemo::Options& options = {}) {
    auto owned = std::make_unique<CountingEmbedder>();
    embedder = owned.get();
    memo = std::make_unique<EmbeddingMemo>(std::move(owned), options);
  }
  Result<std::vector<Embedding>> Embed(const std::vector<std::string>& texts,
                                       Embedder::Deadline deadline = kEver) const {
    return memo->Embed(texts, deadline);
  }
  CountingEmbedder* embedder;
  std::unique_ptr<EmbeddingMemo> memo;
};

TEST(EmbeddingMemo, EqualTextsAreEmbeddedOnceAndAllOfTheEmbeddingIsKept) {
  const Memo m;
  EXPECT_EQ(m.memo->info().id, "counting");
  const auto first = m.Embed({"a", "bb", "a"});
  ASSERT_TRUE(first);
  ASSERT_EQ(first->size(), 3u);
  EXPECT_EQ((*first)[1].values, (std::vector<float>{2, 1}));
  EXPECT_EQ((*first)[2].values, (*first)[0].values);
  const auto second = m.Embed({"bb", "ccc"});
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)[0].values, (std::vector<float>{2, 1}));
  EXPECT_EQ((*second)[0].num_tokens, 2);
  EXPECT_EQ((*second)[0].num_unknown, 1);
  EXPECT_EQ((*second)[0].num_spelled, 2);
  EXPECT_TRUE((*second)[0].truncated);
  EXPECT_EQ((*second)[1].values, (std::vector<float>{3, 1}));
  EXPECT_EQ(m.embedder->asked, (std::map<std::string, int>{{"a", 1}, {"bb", 1}, {"ccc", 1}}));
  const EmbeddingMemoStats stats = m.memo->stats();
  EXPECT_EQ(stats.misses, 3);
  EXPECT_EQ(stats.coalesced, 1);
  EXPECT_EQ(stats.hits, 1);
  EXPECT_EQ(stats.entries, 3);
  EXPECT_EQ(static_cast<size_t>(stats.bytes),
            m.memo->ChargeBytes("a") + m.memo->ChargeBytes("bb") + m.memo->ChargeBytes("ccc"));
  const auto none = m.Embed({});
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST(EmbeddingMemo, TheLeastRecentlyUsedGoesAndTheBytesHold) {
  const size_t three = 3 * EmbeddingMemo(std::make_unique<CountingEmbedder>()).ChargeBytes("a");
  const Memo m({.bytes_max = three, .num_shards = 1});
  ASSERT_TRUE(m.Embed({"a"}) && m.Embed({"b"}) && m.Embed({"c"}) && m.Embed({"a"}));
  ASSERT_TRUE(m.Embed({"d"}));  // b goes
  EXPECT_EQ(m.memo->stats().entries, 3);
  EXPECT_LE(static_cast<size_t>(m.memo->stats().bytes), three);
  ASSERT_TRUE(m.Embed({"a"}) && m.Embed({"c"}));
  EXPECT_EQ(m.embedder->asked["a"], 1);
  EXPECT_EQ(m.embedder->asked["c"], 1);
  ASSERT_TRUE(m.Embed({"b"}));
  EXPECT_EQ(m.embedder->asked["b"], 2);
  ASSERT_TRUE(m.Embed({std::string(three, 'x')})) << "too large to be kept, but embedded";
  EXPECT_EQ(m.memo->stats().entries, 3);
}

TEST(EmbeddingMemo, WithoutBytesNothingIsKept) {
  const Memo m({.bytes_max = 0, .num_shards = 1});
  ASSERT_TRUE(m.Embed({"a"}) && m.Embed({"a"}));
  EXPECT_EQ(m.embedder->asked["a"], 2);
  EXPECT_EQ(m.memo->stats().bytes, 0);
}

TEST(EmbeddingMemo, TextsAskedForAtTheSameTimeAreEmbeddedOnce) {
  const Memo m;
  m.embedder->Set(false);
  std::vector<std::future<Result<std::vector<Embedding>>>> others;
  auto first = std::async(std::launch::async, [&] { return m.Embed({"a", "bb"}); });
  m.embedder->WaitForCalls(1);
  for (int i = 0; i < 5; ++i)
    others.push_back(std::async(std::launch::async, [&] { return m.Embed({"bb"}); }));
  while (m.memo->stats().coalesced < 5) std::this_thread::yield();
  m.embedder->Set(true);
  ASSERT_TRUE(first.get());
  for (auto& other : others) {
    const auto embeddings = other.get();
    ASSERT_TRUE(embeddings);
    EXPECT_EQ((*embeddings)[0].values, (std::vector<float>{2, 1}));
  }
  EXPECT_EQ(m.embedder->calls, 1);
}

TEST(EmbeddingMemo, TwoCallsThatWaitForEachOthersTextsBothEnd) {
  const Memo m({.bytes_max = 0, .num_shards = 1});
  const auto ask = [&](const std::vector<std::string>& texts) {
    for (int i = 0; i < 500; ++i) EXPECT_TRUE(m.Embed(texts));
  };
  std::thread one([&] { ask({"a", "b", "c"}); });
  std::thread two([&] { ask({"c", "b", "a"}); });
  one.join();
  two.join();
}

TEST(EmbeddingMemo, WhoFollowsOneThatGaveUpAsksItself) {
  const Memo m;
  m.embedder->Set(false);
  auto hasty = std::async(std::launch::async,
                          [&] { return m.Embed({"a"}, steady_clock::now() + milliseconds(200)); });
  m.embedder->WaitForCalls(1);
  auto patient = std::async(std::launch::async, [&] { return m.Embed({"a"}); });
  const auto given_up = hasty.get();
  ASSERT_FALSE(given_up);
  EXPECT_EQ(given_up.error().code, ErrorCode::kDeadlineExceeded);
  m.embedder->WaitForCalls(2);
  m.embedder->Set(true);
  EXPECT_TRUE(patient.get());
  EXPECT_EQ(m.memo->stats().deadlines, 1);
  EXPECT_EQ(m.memo->stats().errors, 0);
}

TEST(EmbeddingMemo, WhoFollowsWaitsToItsOwnDeadlineOnly) {
  const Memo m;
  m.embedder->Set(false);
  auto patient = std::async(std::launch::async, [&] { return m.Embed({"a"}); });
  m.embedder->WaitForCalls(1);
  const auto late = m.Embed({"a"}, steady_clock::now() + milliseconds(20));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  m.embedder->Set(true);
  EXPECT_TRUE(patient.get());
}

TEST(EmbeddingMemo, AnErrorIsToldAndNotRemembered) {
  const Memo m;
  m.embedder->error = Error{ErrorCode::kUnavailable, "away", ""};
  const auto failed = m.Embed({"a", "b"});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(m.memo->stats().errors, 1);
  m.embedder->error.reset();
  EXPECT_TRUE(m.Embed({"a", "b"}));
  EXPECT_EQ(m.embedder->asked["a"], 2);
}

TEST(EmbeddingMemo, ManyThreadsGetWhatOneGetsWithinTheBytes) {
  const Memo m({.bytes_max = 20'000, .num_shards = 4});
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      for (int i = 0; i < 2000; ++i) {
        const std::vector<std::string> texts = {std::string(random() % 200, 'x'),
                                                std::string(random() % 200, 'x')};
        const auto embeddings = m.Embed(texts);
        ASSERT_TRUE(embeddings);
        for (size_t n = 0; n < 2; ++n)
          ASSERT_EQ((*embeddings)[n].values[0], static_cast<float>(texts[n].size()));
        ASSERT_LE(m.memo->stats().bytes, 20'000);
      }
    });
  for (std::thread& thread : threads) thread.join();
  const EmbeddingMemoStats stats = m.memo->stats();
  EXPECT_EQ(stats.hits + stats.coalesced + stats.misses, 16'000);
}

}  // namespace
}  // namespace nextgate::cache
