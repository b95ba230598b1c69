#include "gateway/encoder_embedder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <optional>
#include <thread>

namespace nextgate::gateway {
namespace {

using Deadline = cache::Embedder::Deadline;
using Clock = std::chrono::steady_clock;

std::unique_ptr<EncoderEmbedder> Small() {
  auto encoder =
      engine::SentenceEncoder::Open(NEXTGATE_SOURCE_DIR "/tests/golden/data/encoder/small", 1);
  EXPECT_TRUE(encoder) << encoder.error().message;
  return std::make_unique<EncoderEmbedder>("small", std::move(*encoder));
}

TEST(EncoderEmbedder, GivesOneUnitVectorATextInTheirOrder) {
  const auto embedder = Small();
  EXPECT_EQ(embedder->info().id, "small");
  EXPECT_EQ(embedder->info().revision.size(), 32u);
  EXPECT_EQ(embedder->info().dimension, 24);
  const std::vector<std::string> texts = {"how do i reset my password", "", "好"};
  const auto embeddings = embedder->Embed(texts, Deadline::max());
  ASSERT_TRUE(embeddings) << embeddings.error().message;
  ASSERT_EQ(embeddings->size(), 3u);
  for (const cache::Embedding& embedding : *embeddings) {
    double squares = 0;
    for (const float x : embedding.values) squares += static_cast<double>(x) * x;
    EXPECT_EQ(embedding.values.size(), 24u);
    EXPECT_NEAR(squares, 1, 1e-6);
  }
  EXPECT_GT((*embeddings)[0].num_tokens, (*embeddings)[1].num_tokens);
  const auto last = embedder->Embed(std::span(texts).last(1), Deadline::max());
  ASSERT_TRUE(last);
  EXPECT_EQ((*last)[0].values, (*embeddings)[2].values);
  const auto none = embedder->Embed({}, Deadline::max());
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST(EncoderEmbedder, NobodyWaitsPastTheDeadlineAndTheNextOneIsAnswered) {
  const auto embedder = Small();
  // Seconds of work, in one call.
  const std::vector<std::string> many(100'000, "what is the capital of france?");
  const auto late = embedder->Embed(many, Clock::now() + std::chrono::milliseconds(20));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  const auto past = embedder->Embed(std::span(many).first(1), Clock::now());
  ASSERT_FALSE(past);
  EXPECT_EQ(past.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(embedder->Embed(std::span(many).first(1), Deadline::max()));
}

// Whether `what` came to be in a second.
bool Soon(const std::function<bool()>& what) {
  const auto until = Clock::now() + std::chrono::seconds(1);
  while (!what() && Clock::now() < until) std::this_thread::yield();
  return what();
}

// While the thread is busy documents arrive, then a question. Nothing: it did not come to that, by the
// machine's scheduling; else whether the question was answered before the documents, which are as much work again.
std::optional<bool> QuestionWasFirst(EncoderEmbedder& embedder) {
  const std::vector<std::string> many(5'000, "what is the capital of france?");
  std::atomic<bool> busy_done = false, busy_first = false, documents_done = false, first = false;
  std::vector<std::thread> threads;
  const auto ask = [&](int hours, size_t count, const std::function<void()>& then) {
    threads.emplace_back([&, hours, count, then] {
      const auto deadline = Clock::now() + std::chrono::hours(hours);
      EXPECT_TRUE(embedder.Embed(std::span(many).first(count), deadline));
      then();
    });
  };
  ask(1, many.size(), [&] {
    busy_first = !documents_done;
    busy_done = true;
  });
  bool arranged = Soon([&] { return embedder.num_waiting() == 0; });
  ask(3, many.size(), [&] { documents_done = true; });
  arranged = arranged && Soon([&] { return embedder.num_waiting() == 1; });
  ask(2, 1, [&] { first = !documents_done; });
  arranged = arranged && Soon([&] { return embedder.num_waiting() == 2; }) && !busy_done;
  for (std::thread& thread : threads) thread.join();
  return arranged && busy_first ? std::optional<bool>(first) : std::nullopt;
}

TEST(EncoderEmbedder, WhoseDeadlineIsNearestIsNext) {
  const auto embedder = Small();
  std::optional<bool> first;
  for (int i = 0; i < 10 && !first; ++i) first = QuestionWasFirst(*embedder);
  EXPECT_EQ(first, true);
}

TEST(EncoderEmbedder, ManyThreadsGetWhatOneGets) {
  const auto embedder = Small();
  const std::vector<std::string> texts = {"a", "reset my password", "capital of france"};
  const auto alone = embedder->Embed(texts, Deadline::max());
  ASSERT_TRUE(alone);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const auto one = embedder->Embed(std::span(texts).subspan(t % 3, 1), Deadline::max());
        ASSERT_TRUE(one);
        ASSERT_EQ((*one)[0].values, (*alone)[t % 3].values);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace nextgate::gateway
