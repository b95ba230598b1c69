// What the two ends of a generation's channel tell each other.
#include "engine/generation_channel.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace nextgate::engine {
namespace {

TEST(GenerationChannel, WhoLeavesSaysNoCount) {
  const auto channel = std::make_shared<GenerationChannel>();
  { const ChannelGeneration generation(channel); }
  EXPECT_TRUE(channel->cancelled());
  EXPECT_EQ(channel->tokens_kept(), -1);
}

TEST(GenerationChannel, ACountStaysWhenTheConsumerLeavesAfterwards) {
  const auto channel = std::make_shared<GenerationChannel>();
  EXPECT_FALSE(channel->cancelled());
  {
    ChannelGeneration channel_end(channel);
    Generation& generation = channel_end;
    generation.Cancel(7);
    EXPECT_TRUE(channel->cancelled());
    EXPECT_EQ(channel->tokens_kept(), 7);
    generation.Cancel();
  }
  EXPECT_EQ(channel->tokens_kept(), 7);
}

TEST(GenerationChannel, NoTokenMayCount) {
  const auto channel = std::make_shared<GenerationChannel>();
  ChannelGeneration(channel).Cancel(0);
  EXPECT_EQ(channel->tokens_kept(), 0);
}

TEST(GenerationChannel, WhoSeesTheCancelSeesItsCount) {
  for (int32_t i = 0; i < 1000; ++i) {
    const auto channel = std::make_shared<GenerationChannel>();
    const std::jthread consumer([&] { channel->Cancel(i); });
    while (!channel->cancelled()) std::this_thread::yield();
    ASSERT_EQ(channel->tokens_kept(), i);
  }
}

}  // namespace
}  // namespace nextgate::engine
