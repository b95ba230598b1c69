// An engine whose answers a test decides: it records what was submitted and says what the script
// says. For tests of what stands above the engine.
//
// Threads: Submit and the generations from any thread; what is no atomic is set before.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace nextgate::engine {

class FakeEngine final : public Engine {
 public:
  // The events of one generation, one per Next. A script without Finished falls silent at its end,
  // as an engine does that is still computing.
  using Script = std::function<std::vector<GenerationEvent>(const GenerationRequest&)>;

  Script script;
  std::function<Status(const GenerationRequest&)> submit_error;  // an error refuses the request
  std::atomic<int64_t> heartbeat_age_ms = 0;
  std::atomic<int32_t> waiting = 0;
  std::atomic<size_t> events_allowed = SIZE_MAX;  // of each generation; it is silent after these
  std::atomic<int> open_generations = 0;          // created and not destroyed yet
  std::atomic<int> cut_short = 0;                 // destroyed before their Finished was taken
  EngineStats stats{.prefix = {.block_tokens = 64}};  // but for `waiting`
  std::function<Result<PrefixExplanation>(const GenerationRequest&)> explain =
      [](const GenerationRequest&) { return PrefixExplanation{}; };
  std::function<Result<int32_t>()> reset = [] { return 0; };
  std::function<Result<std::vector<PrefixNode>>(int32_t nodes_max)> map = [](int32_t) {
    return std::vector<PrefixNode>();
  };

  explicit FakeEngine(std::vector<int32_t> eos_token_ids = {}) {
    info_ = {.vocab_size = 8192,
             .max_model_len = 4096,
             .eos_token_ids = std::move(eos_token_ids),
             .fingerprint = "fa4e"};
  }

  std::vector<GenerationRequest> Requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  // What each Cancel was told, in order.
  std::vector<int32_t> Cancels() const {
    const std::lock_guard lock(mutex_);
    return cancels_;
  }

  Result<std::unique_ptr<Generation>> Submit(GenerationRequest request) override {
    if (submit_error)
      if (Status status = submit_error(request); !status) return std::unexpected(status.error());
    std::vector<GenerationEvent> events = script(request);
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
    return std::make_unique<ScriptedGeneration>(*this, std::move(events));
  }
  const ModelInfo& info() const override { return info_; }
  EngineStats Stats() const override {
    EngineStats now = stats;
    now.waiting = waiting.load();
    return now;
  }
  int64_t HeartbeatAgeMs() const override { return heartbeat_age_ms.load(); }
  Result<PrefixExplanation> ExplainPrefix(const GenerationRequest& request) override {
    return explain(request);
  }
  Result<int32_t> ResetPrefixCache() override { return reset(); }
  Result<std::vector<PrefixNode>> PrefixMap(int32_t nodes_max) override { return map(nodes_max); }

 private:
  class ScriptedGeneration final : public Generation {
   public:
    ScriptedGeneration(FakeEngine& engine, std::vector<GenerationEvent> events)
        : engine_(engine), events_(std::move(events)) {
      ++engine_.open_generations;
    }
    ~ScriptedGeneration() override {
      --engine_.open_generations;
      if (!finished_) ++engine_.cut_short;
    }
    GenerationEvent Next(std::chrono::milliseconds timeout) override {
      if (next_ == events_.size() || next_ >= engine_.events_allowed) {
        std::this_thread::sleep_for(std::min(timeout, std::chrono::milliseconds(5)));
        return {};
      }
      finished_ = events_[next_].finished.has_value();
      return std::move(events_[next_++]);
    }
    void Cancel(int32_t tokens_kept) override {
      const std::lock_guard lock(engine_.mutex_);
      engine_.cancels_.push_back(tokens_kept);
    }

   private:
    FakeEngine& engine_;
    std::vector<GenerationEvent> events_;
    size_t next_ = 0;
    bool finished_ = false;
  };

  ModelInfo info_;
  mutable std::mutex mutex_;
  std::vector<GenerationRequest> requests_;
  std::vector<int32_t> cancels_;
};

// The events of a generation that says `tokens`, each in an event of its own, and ends.
inline std::vector<GenerationEvent> Says(const GenerationRequest& request,
                                         const std::vector<int32_t>& tokens,
                                         FinishReason reason = FinishReason::kStop) {
  std::vector<GenerationEvent> events(1);
  events[0].started = GenerationEvent::Started{
      .prompt_tokens = static_cast<int32_t>(request.prompt.size()), .prompt_logprobs = {}};
  for (const int32_t token : tokens) {
    events.emplace_back();
    events.back().tokens.push_back({.id = token, .logprobs = std::nullopt});
  }
  events.emplace_back();
  events.back().finished = GenerationEvent::Finished{.reason = reason, .error = {}};
  return events;
}

}  // namespace nextgate::engine
