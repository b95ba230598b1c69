// What the engine says of its prefix cache: it tells beforehand what happens then, and looking leaves no trace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/errands.h"
#include "tests/support/engine_client.h"

namespace nextgate::engine {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<int32_t> Joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

PrefixExplanation Explained(Engine& engine, const GenerationRequest& request) {
  const auto explained = engine.ExplainPrefix(request);
  EXPECT_TRUE(explained) << explained.error().message;
  return explained.value_or(PrefixExplanation{});
}
std::vector<PrefixNode> MapOf(Engine& engine, int32_t nodes_max = 1000) {
  const auto map = engine.PrefixMap(nodes_max);
  EXPECT_TRUE(map) << map.error().message;
  return map.value_or(std::vector<PrefixNode>());
}

TEST(PrefixReport, TellsBeforehandWhatARequestResumes) {
  EngineConfig config = RoomyConfig();
  config.kv_tokens = 100'000;
  config.prefix_checkpoints = 1000;
  const auto engine = Open(config);
  std::mt19937 random(1);
  std::vector<std::vector<int32_t>> known = {{}};
  for (int round = 0; round < 60; ++round) {
    const std::vector<int32_t>& old = known[random() % known.size()];
    GenerationRequest request = Greedy(old, 1 + static_cast<int32_t>(random() % 90));
    request.prompt.resize(random() % (old.size() + 1));
    request.prompt =
        Joined(request.prompt, Tokens(static_cast<uint32_t>(round), 1 + random() % 300));
    request.prompt.resize(std::min<size_t>(request.prompt.size(), 1200));
    request.message_borders = {static_cast<int32_t>(request.prompt.size() / 2)};
    if (random() % 5 == 0) request.num_prompt_logprobs = 0;
    const PrefixExplanation explained = Explained(*engine, request);
    const Collected got = Collect(*Submit(*engine, request));
    EXPECT_EQ(explained.resumed_tokens, got.start.cached_tokens) << round;
    EXPECT_EQ(explained.prompt_tokens, static_cast<int32_t>(request.prompt.size()));
    EXPECT_LE(explained.resumed_tokens, explained.matched_tokens);
    EXPECT_LE(explained.matched_tokens, explained.resume_max);
    EXPECT_LE(explained.matched_tokens, explained.known_tokens);
    std::vector<int32_t> there;
    for (const PrefixCheckpoint& checkpoint : Explained(*engine, request).checkpoints)
      there.push_back(checkpoint.tokens);
    for (const PlacedCheckpoint& placed : explained.leaves)
      EXPECT_THAT(there, Contains(placed.position)) << round;
    known.push_back(Joined(request.prompt, got.tokens));
  }
}

TEST(PrefixReport, SaysWhichCheckpointsThereAreAndWhereOthersWouldBeLeft) {
  const auto engine = Open(RoomyConfig());
  GenerationRequest first = Greedy(Tokens(1, 700), 1);
  first.message_borders = {200};
  first.marked_borders = {400};
  const PrefixExplanation nothing = Explained(*engine, first);
  EXPECT_EQ(nothing.known_tokens, 0);
  EXPECT_THAT(nothing.checkpoints, IsEmpty());
  using enum CheckpointKind;
  EXPECT_THAT(nothing.leaves,
              ElementsAre(PlacedCheckpoint{192, kBorder}, PlacedCheckpoint{256, kSpaced},
                          PlacedCheckpoint{384, kMarked}, PlacedCheckpoint{512, kSpaced},
                          PlacedCheckpoint{640, kEnd}));
  Collect(*Submit(*engine, first));

  const GenerationRequest second = Greedy(Joined(Tokens(1, 500), Tokens(2, 100)), 1);
  PrefixExplanation explained = Explained(*engine, second);
  EXPECT_EQ(explained.resume_max, 576);
  EXPECT_EQ(explained.known_tokens, 448);
  EXPECT_EQ(explained.matched_tokens, 448);
  EXPECT_EQ(explained.resumed_tokens, 384);
  EXPECT_THAT(explained.checkpoints,
              ElementsAre(PrefixCheckpoint{192, kBorder, 0}, PrefixCheckpoint{256, kSpaced, 0},
                          PrefixCheckpoint{384, kMarked, 0}));
  EXPECT_THAT(explained.leaves,
              ElementsAre(PlacedCheckpoint{448, kMissed}, PlacedCheckpoint{512, kSpaced},
                          PlacedCheckpoint{576, kEnd}));
  Collect(*Submit(*engine, second));
  explained = Explained(*engine, second);
  EXPECT_EQ(explained.resumed_tokens, 576);
  EXPECT_THAT(explained.checkpoints,
              ElementsAre(PrefixCheckpoint{192, kBorder, 0}, PrefixCheckpoint{256, kSpaced, 0},
                          PrefixCheckpoint{384, kMarked, 1}, PrefixCheckpoint{448, kMissed, 0},
                          PrefixCheckpoint{512, kSpaced, 0}, PrefixCheckpoint{576, kEnd, 0}));
  EXPECT_THAT(explained.leaves, IsEmpty());

  // A prompt that ends at a block's end has a checkpoint there which itself cannot use.
  explained = Explained(*engine, Greedy(Joined(Tokens(1, 500), Tokens(2, 76)), 1));
  EXPECT_EQ(explained.prompt_tokens, 576);
  EXPECT_EQ(explained.resume_max, 512);
  EXPECT_EQ(explained.known_tokens, 576);
  EXPECT_EQ(explained.resumed_tokens, 512);
  EXPECT_EQ(explained.checkpoints.back(), (PrefixCheckpoint{576, kEnd, 0}));

  GenerationRequest other = second;
  other.cache_salt = "tenant";
  EXPECT_EQ(Explained(*engine, other).known_tokens, 0);
  other = second;
  other.num_prompt_logprobs = 1;
  explained = Explained(*engine, other);
  EXPECT_EQ(explained.resume_max, 0);
  EXPECT_TRUE(explained.limited);
  EXPECT_EQ(explained.known_tokens, 576);
  EXPECT_EQ(explained.resumed_tokens, 0);
}

TEST(PrefixReport, LookingLeavesNoTrace) {
  const auto engine = Open(RoomyConfig());
  const GenerationRequest request = Greedy(Tokens(1, 300), 70);
  Collect(*Submit(*engine, request));
  const PrefixStats before = engine->Stats().prefix;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Explained(*engine, request).resumed_tokens, 256);
    for (const PrefixNode& node : MapOf(*engine))
      EXPECT_EQ(node.checkpoint ? node.checkpoint->hits : 0, 0u);
  }
  const PrefixStats after = engine->Stats().prefix;
  EXPECT_EQ(after.lookups, before.lookups);
  EXPECT_EQ(after.queried_tokens, before.queried_tokens);
  EXPECT_EQ(after.checkpoints_used, before.checkpoints_used);
}

TEST(PrefixReport, TheMapHasOneRunForBlocksWithoutABranch) {
  const auto engine = Open(RoomyConfig());
  EXPECT_THAT(MapOf(*engine), IsEmpty());
  GenerationRequest request = Greedy(Joined(Tokens(1, 128), Tokens(2, 100)), 1);
  request.message_borders = {128};
  Collect(*Submit(*engine, request));
  std::vector<PrefixNode> map = MapOf(*engine);
  ASSERT_EQ(map.size(), 2u);  // to the border, to the end of the prompt
  EXPECT_EQ(map[0].parent, -1);
  EXPECT_EQ(map[0].begin, 0);
  EXPECT_EQ(map[0].tokens, 128);
  EXPECT_EQ(map[0].blocks_below, 1);
  EXPECT_EQ(map[0].checkpoint, (PrefixCheckpoint{128, CheckpointKind::kBorder, 0}));
  EXPECT_EQ(map[1].parent, 0);
  EXPECT_EQ(map[1].begin, 128);
  EXPECT_EQ(map[1].tokens, 64);
  EXPECT_EQ(map[1].checkpoint, (PrefixCheckpoint{192, CheckpointKind::kEnd, 0}));

  request.prompt = Joined(Tokens(1, 128), Tokens(3, 100));
  Collect(*Submit(*engine, request));
  request.cache_salt = "tenant";
  Collect(*Submit(*engine, request));
  map = MapOf(*engine);
  ASSERT_EQ(map.size(), 5u);
  int32_t tokens = 0;
  for (size_t i = 0; i < map.size(); ++i) {
    EXPECT_LT(map[i].parent, static_cast<int32_t>(i));
    EXPECT_EQ(map[i].users, 0);
    tokens += map[i].tokens;
  }
  EXPECT_EQ(tokens, engine->Stats().prefix.blocks_cached * kBlockTokens);
  EXPECT_EQ(map[0].checkpoint->hits, 1u);
  EXPECT_EQ(map[0].blocks_below, 2);

  map = MapOf(*engine, 2);  // the two on which most hangs
  ASSERT_EQ(map.size(), 2u);
  EXPECT_EQ(map[0].blocks_below, 2);
  EXPECT_EQ(map[1].blocks_below, 1);
}

TEST(PrefixReport, AResetForgetsWhatNobodyUses) {
  std::counting_semaphore<> steps(0);
  std::atomic<bool> held = false;
  const auto engine = Open(RoomyConfig(), [&](const StepInput&) {
    if (held) steps.acquire();
  });
  Collect(*Submit(*engine, Greedy(Tokens(1, 300), 1)));
  ASSERT_EQ(engine->Stats().prefix.blocks_cached, 4);
  held = true;
  const GenerationRequest running = Greedy(Tokens(2, 130), 500);
  auto generation = Submit(*engine, running);
  // One step after the other, until what is asked between two of them is answered.
  const auto stepping = [&](auto ask) {
    auto answer = std::async(std::launch::async, ask);
    while (answer.wait_for(std::chrono::milliseconds(2)) != std::future_status::ready)
      steps.release();
    return answer.get();
  };
  while (engine->Stats().prefix.blocks_cached < 6) {  // until its prompt is computed
    steps.release();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const auto dropped = stepping([&] { return engine->ResetPrefixCache(); });
  ASSERT_TRUE(dropped) << dropped.error().message;
  EXPECT_EQ(*dropped, 4);
  const auto map = stepping([&] { return engine->PrefixMap(100); });
  ASSERT_TRUE(map && !map->empty());
  for (const PrefixNode& node : *map) EXPECT_EQ(node.users, 1);
  held = false;
  steps.release(1000);
  ExpectEqual(Collect(*generation), Expected(running), running);
  EXPECT_EQ(Explained(*engine, Greedy(Tokens(1, 300), 1)).known_tokens, 0);

  EXPECT_GT(*engine->ResetPrefixCache(), 0);
  EXPECT_EQ(engine->Stats().prefix.blocks_cached, 0);
  EXPECT_EQ(engine->Stats().prefix.checkpoints_used, 0);
  EXPECT_EQ(*engine->ResetPrefixCache(), 0);
}

TEST(PrefixReport, SwitchedOffThereIsNothingToTell) {
  EngineConfig config = RoomyConfig();
  config.enable_prefix_caching = false;
  const auto engine = Open(config);
  const GenerationRequest request = Greedy(Tokens(1, 300), 1);
  Collect(*Submit(*engine, request));
  const PrefixExplanation explained = Explained(*engine, request);
  EXPECT_EQ(explained.prompt_tokens, 300);
  EXPECT_EQ(explained.known_tokens, 0);
  EXPECT_THAT(explained.leaves, IsEmpty());
  EXPECT_THAT(MapOf(*engine), IsEmpty());
  EXPECT_EQ(*engine->ResetPrefixCache(), 0);
}

TEST(PrefixReport, ARequestThatCouldNeverRunIsRefused) {
  const auto engine = Open(RoomyConfig());
  const auto refused = engine->ExplainPrefix(Greedy(Tokens(1, 3000), 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST(Errands, ThoseThatWaitAreDoneBeforeTheEndAndNoneAfter) {
  Errands errands;
  std::thread asking([&] { EXPECT_EQ(*errands.Do<int>([] { return 7; }), 7); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  errands.Close();
  errands.Run();
  asking.join();
  const auto refused = errands.Do<int>([] { return 8; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
}

TEST(Errands, WhatWasGivenUpIsNotDoneAndTooManyAreRefused) {
  Errands errands(std::chrono::milliseconds(1));
  bool done = false;
  for (size_t i = 0; i < Errands::kWaitingMax; ++i) {
    const auto late = errands.Do<bool>([&] { return done = true; });
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  }
  const auto refused = errands.Do<bool>([&] { return done = true; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().message, HasSubstr("64 others"));
  errands.Run();
  EXPECT_FALSE(done);
}

}  // namespace
}  // namespace nextgate::engine
