#include "gateway/encoder_embedder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

namespace nextgate::gateway {
namespace {

using Deadline = cache::Embedder::Deadline;
using Clock = std::chrono::steady_clock;

std::unique_ptr<cache::Embedder> Small() {
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
