#include "engine/engine.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "engine/engine_parts.h"
#include "engine/request_check.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/step_batch.h"
#include "kernels/sampling/philox.h"

namespace nextgate::engine {
namespace {

using kernels::View;

constexpr auto kIdleWait = std::chrono::milliseconds(100);
constexpr int64_t kLogIntervalNs = 10'000'000'000;

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(EngineParts parts)
      : config_(std::move(parts.config)),
        info_(std::move(parts.info)),
        limits_(parts.limits),
        model_(std::move(parts.model)),
        kv_(std::move(parts.kv)),
        states_(std::move(parts.states)),
        logits_memory_(std::move(parts.logits)),
        sampler_(info_.vocab_size),
        batch_(limits_),
        submitted_(static_cast<size_t>(config_.queue_capacity)),
        heartbeat_ns_(Clock::System().MonotonicNs()) {
    PublishStats();
    model_->SetHeartbeat([this] { Beat(); });
    thread_ = std::jthread([this] { Loop(); });
  }

  ~EngineImpl() override {
    submitted_.Close();  // first: whatever was pushed is seen by the loop before it ends
    stop_.store(true);
  }  // thread_ joins first: it is the last member

  Result<std::unique_ptr<Generation>> Submit(GenerationRequest request) override;
  const ModelInfo& info() const override { return info_; }
  EngineStats Stats() const override;
  int64_t HeartbeatAgeMs() const override {
    return (Clock::System().MonotonicNs() - heartbeat_ns_.load()) / 1'000'000;
  }

 private:
  void Loop();
  void Step();
  void Beat() { heartbeat_ns_.store(Clock::System().MonotonicNs()); }

  void TakeSubmitted();
  void DropCancelled();
  bool Schedule();
  void Preempt(Sequence* sequence);
  void Admit(Sequence* sequence);
  void Commit(const BatchItem& item);
  bool CollectPromptLogprobs(const BatchItem& item);
  void CommitToken(Sequence* sequence, SampledToken sampled);
  void EndIfComplete(Sequence* sequence);
  void Start(Sequence* sequence);
  void Finish(Sequence* sequence, GenerationEvent::Finished finished);
  void Release(Sequence* sequence);
  void Deliver();
  void PublishStats();
  void LogProgress();
  View<float, 2> LogitsOf(int64_t rows) {
    return {logits_memory_.floats(), {rows, info_.vocab_size}};
  }
  bool IsStop(const Sequence& sequence, int32_t token) const;

  const EngineConfig config_;
  const ModelInfo info_;
  const SchedulerLimits limits_;
  const std::unique_ptr<Qwen3Next> model_;
  const std::unique_ptr<KvPool> kv_;
  const std::unique_ptr<StatePool> states_;
  const LazyBuffer logits_memory_;  // [logit_rows_max, V]

  // Of the engine thread alone.
  Sampler sampler_;
  StepBatch batch_;
  StepPlan plan_;
  std::vector<SequenceView> views_;
  std::vector<std::unique_ptr<Sequence>> sequences_;  // running and waiting, by RunsBefore
  EngineStats counters_;
  EngineStats logged_;
  int64_t logged_ns_ = 0;

  // Between threads.
  BoundedQueue<std::unique_ptr<Sequence>> submitted_;
  std::atomic<uint64_t> arrivals_ = 0;
  std::atomic<int32_t> never_ran_ = 0;  // accepted, neither admitted nor finished yet
  std::atomic<int64_t> heartbeat_ns_;
  std::atomic<bool> stop_ = false;
  mutable std::mutex stats_mutex_;
  EngineStats stats_;  // GUARDED_BY(stats_mutex_)

  std::jthread thread_;
};

// Steps 10 to 14 of a request's way (engine/README.md): one forward over what the scheduler chose.
void EngineImpl::Step() {
  DropCancelled();

  // 11. Schedule. The victims first: their blocks and slots are given to those who run.
  if (!Schedule()) return;
  for (const int32_t index : plan_.preempted) Preempt(sequences_[index].get());
  batch_.Clear();
  for (const StepPlan::Work& work : plan_.work) {
    Sequence* sequence = sequences_[work.sequence].get();
    // 10. Prefix lookup belongs to admission: what is found here need not be computed.
    if (work.admitted) Admit(sequence);
    kv_->Take(work.blocks_new, &sequence->block_table);
    batch_.Add(sequence, work.token_count);
  }
  CHECK(!batch_.empty() || !plan_.preempted.empty(), "nothing can run");

  // 12. Forward.
  if (!batch_.empty())
    model_->Forward(batch_.input(), kv_->storage(), states_->storage(), {},
                    LogitsOf(batch_.logit_rows()));

  // 13, 14. Sample and commit, each sequence for itself.
  for (const BatchItem& item : batch_.items()) {
    Commit(item);
    Beat();
  }

  ++counters_.steps;
}

void EngineImpl::Loop() {
  pthread_setname_np(pthread_self(), "engine");
  while (!stop_.load()) {
    Beat();
    TakeSubmitted();
    if (sequences_.empty()) {
      logged_ns_ = 0;  // an average over idle time tells nothing
      continue;
    }
    Step();
    Deliver();
    LogProgress();
  }
  // Requests that were accepted still get their one Finished.
  while (auto sequence = submitted_.TryPop()) sequences_.push_back(std::move(*sequence));
  for (const auto& sequence : sequences_)
    Finish(sequence.get(), {.reason = FinishReason::kCancelled});
  Deliver();
}

void EngineImpl::TakeSubmitted() {
  auto next = sequences_.empty() ? submitted_.Pop(kIdleWait) : submitted_.TryPop();
  for (; next; next = submitted_.TryPop()) {
    const auto place =
        std::upper_bound(sequences_.begin(), sequences_.end(), *next,
                         [](const auto& a, const auto& b) { return RunsBefore(*a, *b); });
    Sequence* sequence = next->get();
    sequences_.insert(place, std::move(*next));
    // What was forced may be the whole answer.
    if (!sequence->request.forced.empty()) EndIfComplete(sequence);
  }
}

void EngineImpl::DropCancelled() {
  for (const auto& sequence : sequences_)
    if (sequence->channel->cancelled())
      Finish(sequence.get(), {.reason = FinishReason::kCancelled});
  // Only views of live sequences are scheduled; Deliver tells the others and removes them.
  std::stable_partition(sequences_.begin(), sequences_.end(),
                        [](const auto& sequence) { return !sequence->finished; });
}

// False if nobody is left.
bool EngineImpl::Schedule() {
  views_.clear();
  for (const auto& sequence : sequences_)
    if (!sequence->finished) views_.push_back(sequence->view());
  Scheduler::Plan({.limits = limits_,
                   .blocks_free = kv_->blocks_free(),
                   .slots_free = states_->slots_free(),
                   .sequences = views_},
                  &plan_);
  return !views_.empty();
}

void EngineImpl::Admit(Sequence* sequence) {
  sequence->state_slot = states_->Take();
  if (!std::exchange(sequence->was_admitted, true)) --never_ran_;
}

void EngineImpl::Preempt(Sequence* sequence) {
  Release(sequence);
  sequence->tokens_computed = 0;
  ++counters_.preemptions;
}

void EngineImpl::Release(Sequence* sequence) {
  if (!sequence->running()) return;
  kv_->GiveBack(&sequence->block_table);
  states_->GiveBack(std::exchange(sequence->state_slot, kNoSlot));
}

void EngineImpl::Commit(const BatchItem& item) {
  Sequence* sequence = item.sequence;
  sequence->tokens_computed += item.token_count;
  counters_.prompt_tokens += item.token_count - (sequence->generated() > 0 && item.samples ? 1 : 0);
  if (!CollectPromptLogprobs(item) || !item.completes) return;
  if (!item.samples) {  // max_tokens 0: the prompt was all
    Finish(sequence, {.reason = FinishReason::kLength});
    return;
  }
  const int64_t row = item.logit_begin + item.prompt_row_count;
  auto sampled =
      sampler_.Sample({LogitsOf(row + 1).at(row), {info_.vocab_size}}, sequence->sampling,
                      sequence->tokens_total(), sequence->request.num_logprobs);
  if (!sampled) {
    Finish(sequence, {.reason = FinishReason::kError, .error = std::move(sampled.error().message)});
    return;
  }
  CommitToken(sequence, std::move(*sampled));
}

// False if the sequence ended with an error.
bool EngineImpl::CollectPromptLogprobs(const BatchItem& item) {
  Sequence* sequence = item.sequence;
  for (int32_t i = 0; i < item.prompt_row_count; ++i) {
    const int64_t row = item.logit_begin + i;
    const int32_t token = sequence->request.prompt[item.prompt_row_begin + i + 1];
    PositionLogprobs logprobs = sampler_.LogprobsOf({LogitsOf(row + 1).at(row), {info_.vocab_size}},
                                                    token, sequence->request.num_prompt_logprobs);
    if (!std::isfinite(logprobs.chosen.logprob)) {
      Finish(sequence,
             {.reason = FinishReason::kError, .error = "the model's logits are not finite"});
      return false;
    }
    sequence->prompt_logprobs.push_back(std::move(logprobs));
  }
  return true;
}

void EngineImpl::CommitToken(Sequence* sequence, SampledToken sampled) {
  const int32_t token = sampled.token;
  Start(sequence);
  sequence->tokens.push_back(token);
  sequence->sampling.Accept(token);
  sequence->event.tokens.push_back({.id = token, .logprobs = std::move(sampled.logprobs)});
  ++counters_.generated_tokens;
  EndIfComplete(sequence);
}

// After each token. REQUIRES: one was generated.
void EngineImpl::EndIfComplete(Sequence* sequence) {
  const int32_t token = sequence->tokens.back();
  if (IsStop(*sequence, token)) {
    Finish(sequence, {.reason = FinishReason::kStop, .stop_token = token});
  } else if (sequence->generated() >= sequence->request.max_tokens) {
    Finish(sequence, {.reason = FinishReason::kLength});
  }
}

bool EngineImpl::IsStop(const Sequence& sequence, int32_t token) const {
  const GenerationRequest& request = sequence.request;
  if (sequence.generated() < request.min_tokens) return false;
  const auto is_in = [token](const std::vector<int32_t>& ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  return (!request.ignore_eos && is_in(info_.eos_token_ids)) || is_in(request.stop_token_ids);
}

void EngineImpl::Start(Sequence* sequence) {
  if (std::exchange(sequence->was_started, true)) return;
  sequence->event.started = {.prompt_tokens = sequence->prompt_tokens(),
                             .cached_tokens = 0,
                             .prompt_logprobs = std::move(sequence->prompt_logprobs)};
}

void EngineImpl::Finish(Sequence* sequence, GenerationEvent::Finished finished) {
  if (std::exchange(sequence->finished, true)) return;
  Start(sequence);
  Release(sequence);
  if (!std::exchange(sequence->was_admitted, true)) --never_ran_;
  counters_.requests_cancelled += finished.reason == FinishReason::kCancelled;
  ++counters_.requests_finished;
  sequence->event.finished = std::move(finished);
}

// Publishes the counters, then the events: who has seen a Finished sees it counted.
void EngineImpl::Deliver() {
  PublishStats();
  for (const auto& sequence : sequences_)
    if (sequence->has_event()) sequence->channel->Push(std::exchange(sequence->event, {}));
  std::erase_if(sequences_, [](const auto& sequence) { return sequence->finished; });
#ifndef NDEBUG
  if (sequences_.empty()) {
    kv_->check_integrity();
    states_->check_integrity();
    CHECK(kv_->blocks_used() == 0 && states_->slots_used() == 0, "idle, but something is held");
  }
#endif
}

void EngineImpl::PublishStats() {
  const auto alive = std::count_if(sequences_.begin(), sequences_.end(),
                                   [](const auto& sequence) { return !sequence->finished; });
  counters_.running = states_->slots_used();
  counters_.waiting = static_cast<int32_t>(alive) - counters_.running;
  counters_.kv_blocks_used = kv_->blocks_used();
  counters_.kv_blocks_total = kv_->blocks_total();
  counters_.state_slots_used = states_->slots_used();
  counters_.state_slots_total = states_->slots_total();
  std::lock_guard lock(stats_mutex_);
  stats_ = counters_;
}

EngineStats EngineImpl::Stats() const {
  EngineStats stats;
  {
    std::lock_guard lock(stats_mutex_);
    stats = stats_;
  }
  stats.requests_submitted = arrivals_.load();
  stats.waiting += static_cast<int32_t>(submitted_.size());
  return stats;
}

void EngineImpl::LogProgress() {
  const int64_t now_ns = heartbeat_ns_.load(std::memory_order_relaxed);
  if (now_ns - logged_ns_ < kLogIntervalNs) return;
  if (logged_ns_ != 0 && LogEnabled(LogLevel::kInfo)) {
    const double seconds = static_cast<double>(now_ns - logged_ns_) * 1e-9;
    LogInfo(
        "engine: steps/s={:.1f} generated/s={:.1f} prompt/s={:.1f} running={} waiting={} "
        "kv_blocks={}/{} preemptions={}",
        static_cast<double>(counters_.steps - logged_.steps) / seconds,
        static_cast<double>(counters_.generated_tokens - logged_.generated_tokens) / seconds,
        static_cast<double>(counters_.prompt_tokens - logged_.prompt_tokens) / seconds,
        counters_.running, counters_.waiting, counters_.kv_blocks_used, counters_.kv_blocks_total,
        counters_.preemptions);
  }
  logged_ = counters_;
  logged_ns_ = now_ns;
}

Result<std::unique_ptr<Generation>> EngineImpl::Submit(GenerationRequest request) {
  if (stop_.load()) return MakeError(ErrorCode::kUnavailable, "the engine is stopping");
  RETURN_IF_ERROR(CheckRequest(request, {.vocab_size = info_.vocab_size,
                                         .max_model_len = info_.max_model_len,
                                         .blocks_total = kv_->blocks_total()}));
  if (never_ran_.fetch_add(1) >= config_.queue_capacity) {
    --never_ran_;
    return MakeError(ErrorCode::kResourceExhausted,
                     fmt::format("{} requests are waiting already", config_.queue_capacity));
  }
  const uint64_t arrival = arrivals_.fetch_add(1);
  const uint64_t seed =
      request.sampling.seed.value_or(kernels::PhiloxWord(config_.seed, arrival, /*stream=*/1));
  RequestSampling sampling(request, info_.eos_token_ids, info_.vocab_size, seed);
  auto sequence = std::make_unique<Sequence>(std::move(request), std::move(sampling), arrival);
  auto generation = std::make_unique<ChannelGeneration>(sequence->channel);
  if (!submitted_.TryPush(std::move(sequence))) {
    --never_ran_;
    return MakeError(ErrorCode::kUnavailable, "the engine is stopping");
  }
  return generation;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Open(const EngineConfig& config) {
  ASSIGN_OR_RETURN(auto model, LoadModel(config));
  return Open(config, std::move(model));
}

Result<std::unique_ptr<Engine>> Engine::Open(const EngineConfig& config,
                                             std::unique_ptr<Qwen3Next> model) {
  ASSIGN_OR_RETURN(EngineParts parts, BuildParts(config, std::move(model)));
  return std::make_unique<EngineImpl>(std::move(parts));
}

}  // namespace nextgate::engine
