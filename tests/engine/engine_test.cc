// The engine over a model whose logits are a hash of everything it was given (tests/support/
// fake_model.h): any mistake in tables, slots, positions or tokens changes what comes out.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <limits>
#include <mutex>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "engine/sampling/sampler.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/engine_client.h"
#include "tests/support/fake_model.h"

namespace nextgate::engine {
namespace {

using std::chrono::milliseconds;

TEST(Engine, EveryRequestGetsWhatItWouldGetAlone) {
  uint64_t preemptions = 0;
  for (uint32_t seed = 0; seed < 24; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    EngineConfig config = SmallConfig();
    config.max_num_seqs = 3 + static_cast<int32_t>(random() % 6);
    config.max_num_batched_tokens =
        config.max_num_seqs + kBlockTokens + static_cast<int32_t>(random() % 200);
    config.kv_tokens = static_cast<int64_t>(6 + random() % 4) * kBlockTokens;
    config.enable_chunked_prefill = seed % 3 != 0;
    const auto engine = Open(config);
    struct Client {
      GenerationRequest request;
      std::unique_ptr<Generation> generation;
      bool leaves = false;
    };
    std::vector<Client> clients;
    for (int i = 0; i < 40; ++i) {
      Client client{.request = RandomRequest(random)};
      client.leaves = random() % 5 == 0;
      client.generation = Submit(*engine, client.request);
      clients.push_back(std::move(client));
      if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
      if (random() % 6 == 0) clients[random() % clients.size()].leaves = true;
    }
    uint64_t left = 0;
    for (Client& client : clients) {
      if (!client.leaves) continue;
      if (random() % 2) client.generation->Next(milliseconds(1));
      client.generation.reset();
      ++left;
    }
    for (Client& client : clients) {
      if (client.leaves) continue;
      const Collected got = Collect(*client.generation);
      ExpectEqual(got, Expected(client.request), client.request);
    }
    while (engine->Stats().requests_finished < clients.size())
      std::this_thread::sleep_for(milliseconds(1));
    const EngineStats stats = engine->Stats();
    ExpectNothingHeld(stats);
    EXPECT_EQ(stats.requests_submitted, clients.size());
    EXPECT_LE(stats.requests_cancelled, left);
    preemptions += stats.preemptions;
  }
  RecordProperty("preemptions", static_cast<int>(preemptions));
  EXPECT_GT(preemptions, 20u) << "the pools were too large to show anything";
}

TEST(Engine, APreemptedRequestGivesTheSameTokensAndPromptLogprobs) {
  EngineConfig config = SmallConfig();
  config.kv_tokens = 6 * kBlockTokens;
  std::latch submitted(1);  // all of them, before the first goes on: or they never meet
  const auto engine = Open(config, [&](const StepInput&) { submitted.wait(); });
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 3; ++i) {
    GenerationRequest request = Greedy(std::vector<int32_t>(60, 5 + i), 200);
    request.sampling.temperature = 1;
    request.sampling.seed = 40 + i;
    request.num_prompt_logprobs = 1;
    requests.push_back(request);
  }
  std::vector<std::unique_ptr<Generation>> generations;
  for (const auto& request : requests) generations.push_back(Submit(*engine, request));
  submitted.count_down();
  for (size_t i = 0; i < requests.size(); ++i)
    ExpectEqual(Collect(*generations[i]), Expected(requests[i]), requests[i]);
  EXPECT_GT(engine->Stats().preemptions, 0u);
  ExpectNothingHeld(engine->Stats());
}

// Somebody else said the beginning: what follows is what would have followed.
TEST(Engine, GoesOnFromForcedTokensAsIfItHadGeneratedThem) {
  const auto engine = Open(SmallConfig());
  for (uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    GenerationRequest request = RandomRequest(random);
    request.num_prompt_logprobs = -1;
    Collected expected = Expected(request);
    const size_t cut = random() % (expected.tokens.size() + 1);
    request.forced.assign(expected.tokens.begin(),
                          expected.tokens.begin() + static_cast<int64_t>(cut));
    expected.tokens.erase(expected.tokens.begin(),
                          expected.tokens.begin() + static_cast<int64_t>(cut));
    expected.logprobs.erase(expected.logprobs.begin(),
                            expected.logprobs.begin() + static_cast<int64_t>(cut));
    ExpectEqual(Collect(*Submit(*engine, request)), expected, request);
  }
  ExpectNothingHeld(engine->Stats());

  GenerationRequest request = Greedy({1, 2}, 2);
  request.forced = {1, 2, 3};
  EXPECT_EQ(engine->Submit(request).error().message,
            "forced: 3 tokens are more than max_tokens = 2");
  request.forced = {kFakeVocab};
  EXPECT_EQ(engine->Submit(request).error().param, "forced");
}

TEST(Engine, TheSameSeedGivesTheSameTokensWhateverElseRuns) {
  GenerationRequest request = Greedy({1, 2, 3}, 40);
  request.sampling.temperature = 1;
  request.sampling.seed = 77;
  std::vector<int32_t> alone;
  {
    const auto engine = Open(SmallConfig());
    alone = Collect(*Submit(*engine, request)).tokens;
  }
  const auto engine = Open(SmallConfig());
  std::vector<std::unique_ptr<Generation>> others;
  for (int i = 0; i < 3; ++i) others.push_back(Submit(*engine, Greedy({4, i}, 60)));
  EXPECT_EQ(Collect(*Submit(*engine, request)).tokens, alone);
  request.sampling.seed = 78;
  EXPECT_NE(Collect(*Submit(*engine, request)).tokens, alone);
}

TEST(Engine, RequestsWithoutASeedDifferFromEachOther) {
  const auto engine = Open(SmallConfig());
  GenerationRequest request = Greedy({1, 2, 3}, 30);
  request.sampling.temperature = 1;
  EXPECT_NE(Collect(*Submit(*engine, request)).tokens, Collect(*Submit(*engine, request)).tokens);
}

TEST(Engine, PriorityRunsBeforeArrival) {
  std::binary_semaphore first_step(0);
  std::binary_semaphore go_on(0);
  std::mutex mutex;
  std::vector<int32_t> order;  // first prompt token of each sequence when it first runs
  std::atomic<int> steps = 0;
  EngineConfig config = SmallConfig();
  config.max_num_seqs = 1;
  const auto engine = Open(config, [&](const StepInput& input) {
    if (steps++ == 0) {
      first_step.release();
      go_on.acquire();
    }
    std::lock_guard lock(mutex);
    for (const auto& s : input.sequences)
      if (s.context_len == 0) order.push_back(input.token_ids[s.token_begin]);
  });
  std::vector<std::unique_ptr<Generation>> generations;
  generations.push_back(Submit(*engine, Greedy({10}, 1)));
  first_step.acquire();
  for (const auto& [token, priority] :
       std::vector<std::pair<int32_t, int32_t>>{{11, 5}, {12, -1}, {13, 5}, {14, 0}}) {
    GenerationRequest request = Greedy({token}, 1);
    request.priority = priority;
    generations.push_back(Submit(*engine, request));
  }
  go_on.release();
  for (auto& generation : generations) Collect(*generation);
  EXPECT_EQ(order, (std::vector<int32_t>{10, 12, 14, 11, 13}));
}

// Lets each forward start only when the test says so.
struct Gate {
  std::counting_semaphore<1000> entered{0};
  std::counting_semaphore<1000> pass{0};
  std::atomic<int> steps = 0;
  std::atomic<bool> open = false;
  FakeModel::OnForward Hook() {
    return [this](const StepInput&) {
      ++steps;
      if (open) return;
      entered.release();
      pass.acquire();
    };
  }
  void Open() {
    open = true;
    pass.release(100);
  }
};

TEST(Engine, AClientThatLeavesIsInNoFurtherStep) {
  Gate gate;
  const auto engine = Open(SmallConfig(), gate.Hook());
  auto generation = Submit(*engine, Greedy({1, 2}, 300));
  gate.entered.acquire();
  gate.pass.release();
  gate.entered.acquire();  // the second step has begun
  generation.reset();
  gate.Open();
  while (engine->Stats().requests_finished == 0) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(gate.steps, 2);
  EXPECT_EQ(engine->Stats().requests_cancelled, 1u);
  ExpectNothingHeld(engine->Stats());
  EXPECT_EQ(Collect(*Submit(*engine, Greedy({1, 2}, 3))).tokens,
            Expected(Greedy({1, 2}, 3)).tokens);
}

TEST(Engine, CancelEndsWithExactlyOneFinished) {
  Gate gate;
  const auto engine = Open(SmallConfig(), gate.Hook());
  auto generation = Submit(*engine, Greedy({1, 2}, 300));
  gate.entered.acquire();
  generation->Cancel();
  gate.Open();
  const Collected got = Collect(*generation);
  EXPECT_EQ(got.end.reason, FinishReason::kCancelled);
  EXPECT_LE(got.tokens.size(), 1u);
  EXPECT_EQ(gate.steps, 1);
}

TEST(Engine, StoppingFinishesEverythingThatWasAccepted) {
  Gate gate;
  auto engine = Open(SmallConfig(), gate.Hook());
  std::vector<std::unique_ptr<Generation>> generations;
  for (int i = 0; i < 9; ++i) generations.push_back(Submit(*engine, Greedy({i}, 500)));
  gate.entered.acquire();
  // The engine may begin another step before it hears that it is to stop, but not 500.
  std::atomic<bool> gone = false;
  std::jthread opener([&] {
    for (; !gone; std::this_thread::sleep_for(milliseconds(5))) gate.pass.release();
  });
  engine.reset();
  gone = true;
  for (auto& generation : generations)
    EXPECT_EQ(Collect(*generation).end.reason, FinishReason::kCancelled);
}

TEST(Engine, RefusesWhenTooManyWait) {
  Gate gate;
  EngineConfig config = SmallConfig();
  config.max_num_seqs = 1;
  config.queue_capacity = 2;
  const auto engine = Open(config, gate.Hook());
  std::vector<std::unique_ptr<Generation>> generations;
  generations.push_back(Submit(*engine, Greedy({1}, 2)));
  gate.entered.acquire();  // it runs, so it no longer waits
  generations.push_back(Submit(*engine, Greedy({2}, 2)));
  generations.push_back(Submit(*engine, Greedy({3}, 2)));
  const auto refused = engine->Submit(Greedy({4}, 2));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(engine->Stats().waiting, 2);
  gate.Open();
  for (auto& generation : generations)
    EXPECT_EQ(Collect(*generation).end.reason, FinishReason::kLength);
  generations.push_back(Submit(*engine, Greedy({4}, 2)));
  EXPECT_EQ(Collect(*generations.back()).tokens.size(), 2u);
}

TEST(Engine, BrokenLogitsEndOneRequestAndNoOther) {
  const auto engine = Open(SmallConfig(), {}, [](auto history, auto logits) {
    if (history[0] == 66 && history.size() > 4)
      logits[12] = std::numeric_limits<float>::quiet_NaN();
  });
  auto good = Submit(*engine, Greedy({1, 2}, 30));
  auto bad = Submit(*engine, Greedy({66, 2}, 30));
  GenerationRequest bad_prompt = Greedy({66, 2, 3, 4, 5, 6, 7, 8}, 30);
  bad_prompt.num_prompt_logprobs = 0;
  auto worse = Submit(*engine, bad_prompt);
  const Collected failed = Collect(*bad);
  EXPECT_EQ(failed.end.reason, FinishReason::kError);
  EXPECT_EQ(failed.tokens.size(), 3u);
  EXPECT_NE(failed.end.error.find("not finite"), std::string::npos);
  EXPECT_EQ(Collect(*worse).end.reason, FinishReason::kError);
  EXPECT_EQ(Collect(*good).tokens, Expected(Greedy({1, 2}, 30)).tokens);
  ExpectNothingHeld(engine->Stats());
}

TEST(Engine, RefusesWhatCouldNeverRunWithTheArithmetic) {
  EngineConfig config = SmallConfig();
  config.kv_tokens = 2 * kBlockTokens;  // fewer than max_model_len
  const auto engine = Open(config);
  const auto message = [&](const GenerationRequest& request) {
    const auto refused = engine->Submit(request);
    if (refused) return std::string("accepted");
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    return refused.error().message;
  };
  const std::vector<int32_t> prompt(100, 1);
  EXPECT_EQ(message(Greedy(prompt, 29)), "accepted");  // 128 tokens are computed
  EXPECT_EQ(message(Greedy(prompt, 30)),
            "100 tokens of prompt + 30 max_tokens need 3 KV blocks of 64 tokens; there are 2");
  EXPECT_EQ(message(Greedy(prompt, 413)),
            "This model's maximum context length is 512 tokens: 100 tokens of prompt + 413 "
            "max_tokens = 513");
  EXPECT_EQ(message(Greedy({}, 3)), "the prompt has no tokens");
  EXPECT_EQ(message(Greedy({kFakeVocab}, 3)), "token id 97 is outside the vocabulary of 97");
  EXPECT_EQ(message(Greedy({-1}, 3)), "token id -1 is outside the vocabulary of 97");
  EXPECT_EQ(message(Greedy({1}, -1)), "max_tokens must be >= 0, not -1");
  GenerationRequest request = Greedy({1}, 3);
  request.sampling.logit_bias = {{97, 1.0f}};
  EXPECT_EQ(message(request), "logit_bias: token id 97 is outside the vocabulary of 97");
  request = Greedy({1}, 3);
  request.min_tokens = 4;
  EXPECT_EQ(message(request), "min_tokens must be between 0 and max_tokens = 3, not 4");
  request = Greedy({1}, 3);
  request.sampling.temperature = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(message(request), "temperature must be a finite number >= 0, not nan");
}

TEST(Engine, MaxTokensZeroComputesThePromptOnly) {
  std::atomic<int> steps = 0;
  const auto engine = Open(SmallConfig(), [&](const StepInput&) { ++steps; });
  GenerationRequest request = Greedy({4, 5, 6, 7}, 0);
  request.num_prompt_logprobs = 2;
  ExpectEqual(Collect(*Submit(*engine, request)), Expected(request), request);
  EXPECT_EQ(steps, 1);
}

TEST(Engine, TheHeartbeatStopsWhileAStepHangsAndGoesOnAfterIt) {
  Gate gate;
  const auto engine = Open(SmallConfig(), gate.Hook());
  auto generation = Submit(*engine, Greedy({1}, 2));
  gate.entered.acquire();
  while (engine->HeartbeatAgeMs() < 250) std::this_thread::sleep_for(milliseconds(5));
  gate.Open();
  Collect(*generation);
  // Idle it comes round every 100 ms.
  while (engine->HeartbeatAgeMs() >= 200) std::this_thread::sleep_for(milliseconds(5));
}

TEST(Engine, TheHeartbeatGoesOnThroughAForwardThatTakesLong) {
  Gate gate;
  auto owned = std::make_unique<FakeModel>(gate.Hook());
  FakeModel* model = owned.get();
  const auto engine = *Engine::Open(SmallConfig(), std::move(owned));
  auto generation = Submit(*engine, Greedy({1}, 2));
  gate.entered.acquire();
  while (engine->HeartbeatAgeMs() < 250) std::this_thread::sleep_for(milliseconds(5));
  model->Beat();  // another layer is done; the step is not
  EXPECT_LT(engine->HeartbeatAgeMs(), 250);
  gate.Open();
  Collect(*generation);
}

TEST(Engine, NextReturnsEmptyWhenNothingComesInTime) {
  Gate gate;
  const auto engine = Open(SmallConfig(), gate.Hook());
  auto generation = Submit(*engine, Greedy({1}, 2));
  const GenerationEvent event = generation->Next(milliseconds(1));
  EXPECT_FALSE(event.started || event.finished || !event.tokens.empty());
  gate.Open();
  EXPECT_EQ(Collect(*generation).tokens.size(), 2u);
}

TEST(Engine, TokensThatEndAnAnswerComeFromTheNamedGenerationConfig) {
  const nextgate::testing::TempDir models, named;
  nextgate::testing::WriteText(models / "generation_config.json", R"({"eos_token_id": 11})");
  nextgate::testing::WriteText(named / "generation_config.json", R"({"eos_token_id": [12, 13]})");
  EngineConfig config = SmallConfig();
  config.model_dir = models.path();
  const auto own = Open(config);
  EXPECT_EQ(own->info().eos_token_ids, (std::vector<int32_t>{kFakeEos, 11}));
  config.generation_config_dir = named.path();
  const auto other = Open(config);
  EXPECT_EQ(other->info().eos_token_ids, (std::vector<int32_t>{kFakeEos, 12, 13}));
  config.generation_config_dir = named.path() + "/none";
  const auto none = Engine::Open(config, std::make_unique<FakeModel>());
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("none: no such directory"), std::string::npos);
}

TEST(Engine, RefusesConfigurationsItCannotRun) {
  const auto message = [](auto change) {
    EngineConfig config = SmallConfig();
    change(config);
    const auto engine = Engine::Open(config, std::make_unique<FakeModel>());
    return engine ? std::string("opened") : engine.error().message;
  };
  EXPECT_NE(message([](EngineConfig& c) { c.max_num_seqs = 0; }).find("--max-num-seqs"),
            std::string::npos);
  EXPECT_NE(message([](EngineConfig& c) { c.max_num_batched_tokens = 67; })
                .find("--max-num-batched-tokens must be between 68 (a token for each of "
                      "--max-num-seqs 4 + a block of 64 for a prompt) and 1048576, not 67"),
            std::string::npos);
  EXPECT_NE(message([](EngineConfig& c) {
              c.max_model_len = 4096;
            }).find("more than the checkpoint's max_position_embeddings 2048"),
            std::string::npos);
  EXPECT_NE(
      message([](EngineConfig& c) { c.memory_utilization = 0; }).find("--gpu-memory-utilization"),
      std::string::npos);
  EXPECT_EQ(message([](EngineConfig&) {}), "opened");
}

}  // namespace
}  // namespace nextgate::engine
