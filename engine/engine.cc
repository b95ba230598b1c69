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
#include "engine/errands.h"
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
constexpr int32_t kPutOffMax = 1024;  // sequences that a step looks at in vain
constexpr int64_t kLogIntervalNs = 10'000'000'000;
constexpr int64_t kClearWaitNs = 5'000'000'000;  // for a disk to delete what was forgotten

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(EngineParts parts)
      : config_(std::move(parts.config)),
        info_(std::move(parts.info)),
        limits_(parts.limits),
        model_(std::move(parts.model)),
        kv_(std::move(parts.kv)),
        states_(std::move(parts.states)),
        checkpoints_(std::move(parts.checkpoints)),
        logits_memory_(std::move(parts.logits)),
        prefix_(config_.enable_prefix_caching, kv_.get(), checkpoints_.get(), EvictByReplayCost(),
                std::move(parts.tiers)),
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
    errands_.Close();
    stop_.store(true);
  }  // thread_ joins first: it is the last member

  Result<std::unique_ptr<Generation>> Submit(GenerationRequest request) override;
  const ModelInfo& info() const override { return info_; }
  EngineStats Stats() const override;
  int64_t HeartbeatAgeMs() const override {
    return (Clock::System().MonotonicNs() - heartbeat_ns_.load()) / 1'000'000;
  }
  Result<PrefixExplanation> ExplainPrefix(const GenerationRequest& request) override;
  Result<int32_t> ResetPrefixCache() override;
  Result<std::vector<PrefixNode>> PrefixMap(int32_t nodes_max) override;

 private:
  void Loop();
  void Step();
  void Beat() { heartbeat_ns_.store(Clock::System().MonotonicNs()); }

  void TakeSubmitted();
  void DropCancelled();
  bool Schedule();
  void Preempt(Sequence* sequence);
  bool Awaits(const Sequence& leader, Sequence* sequence);
  // Not everybody who runs can have another block.
  bool BlocksAreShort() const { return prefix_.blocks_available() < states_->slots_used(); }
  bool StillAwaits(Sequence* sequence);
  bool AwaitsAnother(Sequence* sequence);
  void CountFreedBlocks();
  void DropWhatDoesNotFit();
  void Admit(Sequence* sequence);
  void AddToBatch(Sequence* sequence, const StepPlan::Work& work);
  void Commit(const BatchItem& item);
  bool CollectPromptLogprobs(const BatchItem& item);
  void CommitToken(Sequence* sequence, SampledToken sampled);
  void EndIfComplete(Sequence* sequence);
  void Start(Sequence* sequence);
  void Finish(Sequence* sequence, GenerationEvent::Finished finished);
  void FinishWorthless(Sequence* sequence, std::string error);
  void Release(Sequence* sequence, int32_t kept, bool maybe_cut);
  void Deliver();
  void CheckIntegrity() const;
  void PublishStats();
  void LogProgress();
  View<float, 2> LogitsOf(int64_t rows) {
    return {logits_memory_.floats(), {rows, info_.vocab_size}};
  }
  bool IsStop(const Sequence& sequence, int32_t token) const;
  Status Check(const GenerationRequest& request) const;
  std::unique_ptr<Sequence> NewSequence(GenerationRequest request, uint64_t arrival) const;

  const EngineConfig config_;
  const ModelInfo info_;
  const SchedulerLimits limits_;
  const std::unique_ptr<Qwen3Next> model_;
  const std::unique_ptr<KvPool> kv_;
  const std::unique_ptr<StatePool> states_;
  const std::unique_ptr<CheckpointPool> checkpoints_;
  const LazyBuffer logits_memory_;  // [logit_rows_max, V]

  // Of the engine thread alone.
  PrefixCache prefix_;
  Sampler sampler_;
  StepBatch batch_;
  StepPlan plan_;
  std::vector<Sequence*> scheduled_;  // what the plan's indices mean
  std::vector<SequenceView> views_;
  std::vector<std::unique_ptr<Sequence>> sequences_;  // running and waiting, by RunsBefore
  EngineStats counters_;
  EngineStats logged_;
  int64_t logged_ns_ = 0;

  // Between threads.
  BoundedQueue<std::unique_ptr<Sequence>> submitted_;
  Errands errands_;
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
  prefix_.PollTiers();
  DropCancelled();

  // 11. Schedule. The victims first: their blocks and slots are given to those who run.
  if (!Schedule()) return prefix_.WaitForTiers();  // somebody's beginning may be on its way
  for (const int32_t index : plan_.preempted) Preempt(scheduled_[index]);
  batch_.Clear();
  DropWhatDoesNotFit();
  // 10. What was found in the prefix cache is leased before anybody takes blocks from it.
  for (const StepPlan::Work& work : plan_.work)
    if (work.admitted) Admit(scheduled_[work.sequence]);
  // And all blocks are taken before states may have what is left.
  for (const StepPlan::Work& work : plan_.work)
    prefix_.TakeBlocks(work.blocks_new, &scheduled_[work.sequence]->block_table);
  for (const StepPlan::Work& work : plan_.work) AddToBatch(scheduled_[work.sequence], work);
  if (batch_.empty() && plan_.preempted.empty()) {
    CHECK(!prefix_.tiers_idle(), "nothing can run");
    return prefix_.WaitForTiers();  // then the blocks that are being copied come free
  }

  // 12. Forward.
  if (!batch_.empty())
    model_->Forward(batch_.input(), kv_->storage(), states_->storage(), checkpoints_->storage(),
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
    errands_.Run();
    TakeSubmitted();
    if (sequences_.empty()) {
      logged_ns_ = 0;  // an average over idle time tells nothing
      prefix_.PollTiers();
      PublishStats();
      continue;
    }
    Step();
    Deliver();
    LogProgress();
  }
  errands_.Run();
  // Requests that were accepted still get their one Finished.
  while (auto sequence = submitted_.TryPop()) sequences_.push_back(std::move(*sequence));
  for (const auto& sequence : sequences_)
    Finish(sequence.get(), {.reason = FinishReason::kCancelled});
  Deliver();
  prefix_.DrainTiers();
  CheckIntegrity();
}

// REQUIRES: no sequence is left.
void EngineImpl::CheckIntegrity() const {
  prefix_.check_integrity(/*held_blocks=*/0, /*held_slots=*/0);
  states_->check_integrity();
  CHECK(states_->slots_used() == 0 && prefix_.blocks_in_use() == 0, "idle, but something is held");
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
  scheduled_.clear();
  views_.clear();
  int32_t admissible = states_->slots_free();  // no more than that can be admitted
  int32_t put_off = 0;                         // they wait for what others compute or copy
  for (const auto& sequence : sequences_) {
    if (sequence->finished) continue;
    if (!sequence->running()) {
      if (admissible == 0 || put_off == kPutOffMax) continue;
      ++put_off;
      if (StillAwaits(sequence.get())) continue;
      prefix_.Lookup(sequence->prefix_view(), &sequence->prefix);
      if (AwaitsAnother(sequence.get())) continue;
      if (prefix_.Loads(sequence->prefix_view(), states_->slots_used() + 1, &sequence->prefix))
        continue;
      --put_off;
      --admissible;
    }
    scheduled_.push_back(sequence.get());
  }
  for (Sequence* sequence : scheduled_) {
    // A load that began for another may have pushed out what was found.
    if (!sequence->running()) prefix_.Lookup(sequence->prefix_view(), &sequence->prefix);
    views_.push_back(sequence->view());
  }
  for (size_t i = scheduled_.size(); i-- > 0 && BlocksAreShort();)
    if (scheduled_[i]->running()) prefix_.GiveUpAnswers(&scheduled_[i]->prefix);
  if (BlocksAreShort()) CountFreedBlocks();
  Scheduler::Plan({.limits = limits_,
                   .blocks_free = prefix_.blocks_available(),
                   .slots_free = states_->slots_free(),
                   .sequences = views_},
                  &plan_);
  return !views_.empty();
}

bool EngineImpl::Awaits(const Sequence& leader, Sequence* sequence) {
  return prefix_.Awaits(sequence->prefix_view().resume_max, leader.prefix,
                        leader.view().tokens_computed, &sequence->prefix);
}

// A step has no time to look hundreds up and compare them with everybody: most still wait for the same one.
bool EngineImpl::StillAwaits(Sequence* sequence) {
  const auto leader = std::ranges::find(scheduled_, sequence->awaited);
  return leader != scheduled_.end() && Awaits(**leader, sequence);
}

// Somebody before it is about to compute what it begins with.
bool EngineImpl::AwaitsAnother(Sequence* sequence) {
  const auto leader = std::ranges::find_if(
      scheduled_, [&](const Sequence* other) { return Awaits(*other, sequence); });
  sequence->awaited = leader == scheduled_.end() ? nullptr : *leader;
  return sequence->awaited != nullptr;
}

// Somebody may have to be preempted: what that would yield.
void EngineImpl::CountFreedBlocks() {
  std::vector<const PrefixHold*> holds;
  std::vector<int32_t> table_blocks;
  std::vector<int32_t> freed;
  for (size_t i = 0; i < views_.size(); ++i) {
    holds.push_back(&scheduled_[i]->prefix);
    table_blocks.push_back(static_cast<int32_t>(scheduled_[i]->block_table.size()));
  }
  prefix_.CountFreed(holds, table_blocks, &freed);
  for (size_t i = 0; i < views_.size(); ++i) views_[i].blocks_freed = freed[i];
}

// Blocks that are being copied to a lower tier come free later than the plan counts on: who would have
// had them waits for a later step.
void EngineImpl::DropWhatDoesNotFit() {
  int32_t available = prefix_.blocks_available();
  std::erase_if(plan_.work, [&](const StepPlan::Work& work) {
    const int32_t idle = work.admitted ? views_[work.sequence].blocks_idle : 0;
    const bool fits = work.blocks_new + idle <= available;
    if (fits) available -= work.blocks_new + idle;
    return !fits;
  });
}

void EngineImpl::Admit(Sequence* sequence) {
  sequence->state_slot = states_->Take();
  const bool first = !std::exchange(sequence->was_admitted, true);
  const int32_t checkpoint = prefix_.Resume(sequence->prefix_view(), &sequence->prefix,
                                            &sequence->block_table, /*counted=*/first);
  if (checkpoint != kNoCheckpoint) {
    sequence->tokens_computed = sequence->prefix.match.resume_tokens;
    batch_.AddLoad({.state_slot = sequence->state_slot, .checkpoint = checkpoint});
  }
  if (!first) return;
  --never_ran_;
  sequence->tokens_cached = std::min(sequence->tokens_computed, sequence->prompt_tokens());
}

void EngineImpl::AddToBatch(Sequence* sequence, const StepPlan::Work& work) {
  prefix_.PlanEmits(sequence->prefix_view(), &sequence->prefix, batch_.sequences(),
                    sequence->tokens_computed, sequence->tokens_computed + work.token_count,
                    batch_.emits());
  batch_.Add(sequence, work.token_count);
}

void EngineImpl::Preempt(Sequence* sequence) {
  Release(sequence, sequence->tokens_computed, /*maybe_cut=*/false);
  sequence->tokens_computed = 0;
  ++counters_.preemptions;
}

// Of its tokens the first `kept` count; with `maybe_cut` fewer may.
void EngineImpl::Release(Sequence* sequence, int32_t kept, bool maybe_cut) {
  if (!sequence->running()) return;
  prefix_.Close(kept, maybe_cut, &sequence->prefix, &sequence->block_table);
  states_->GiveBack(std::exchange(sequence->state_slot, kNoSlot));
}

void EngineImpl::Commit(const BatchItem& item) {
  Sequence* sequence = item.sequence;
  sequence->tokens_computed += item.token_count;
  prefix_.Commit(sequence->prefix_view(), &sequence->prefix, sequence->tokens_computed,
                 &sequence->block_table);
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
    if (sampled.error().code == ErrorCode::kDataLoss)
      return FinishWorthless(sequence, std::move(sampled.error().message));
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
      FinishWorthless(sequence, "the model's logits are not finite");
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
                             .cached_tokens = sequence->tokens_cached,
                             .prompt_logprobs = std::move(sequence->prompt_logprobs)};
}

// Whatever made its logits worthless may be in what it computed, and in what it resumed from.
void EngineImpl::FinishWorthless(Sequence* sequence, std::string error) {
  Release(sequence, /*kept=*/0, /*maybe_cut=*/false);
  prefix_.Reset();
  Finish(sequence, {.reason = FinishReason::kError, .error = std::move(error)});
}

void EngineImpl::Finish(Sequence* sequence, GenerationEvent::Finished finished) {
  if (std::exchange(sequence->finished, true)) return;
  Start(sequence);
  // A stop string ends an answer at the gateway, some tokens ago, and so does a user.
  const int32_t said = sequence->channel->tokens_kept();
  const int32_t kept = said < 0 ? sequence->tokens_computed : sequence->prompt_tokens() + said;
  Release(sequence, kept,
          /*maybe_cut=*/said < 0 &&
              (sequence->request.may_be_cut || finished.reason == FinishReason::kCancelled));
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
  if (sequences_.empty() && prefix_.tiers_idle()) CheckIntegrity();
#endif
}

void EngineImpl::PublishStats() {
  const auto alive = std::count_if(sequences_.begin(), sequences_.end(),
                                   [](const auto& sequence) { return !sequence->finished; });
  counters_.running = states_->slots_used();
  counters_.waiting = static_cast<int32_t>(alive) - counters_.running;
  counters_.kv_blocks_used = prefix_.blocks_in_use();
  counters_.kv_blocks_total = kv_->blocks_total();
  counters_.state_slots_used = states_->slots_used();
  counters_.state_slots_total = states_->slots_total();
  counters_.prefix = prefix_.stats();
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
  RETURN_IF_ERROR(Check(request));
  if (never_ran_.fetch_add(1) >= config_.queue_capacity) {
    --never_ran_;
    return MakeError(ErrorCode::kResourceExhausted,
                     fmt::format("{} requests are waiting already", config_.queue_capacity));
  }
  auto sequence = NewSequence(std::move(request), arrivals_.fetch_add(1));
  auto generation = std::make_unique<ChannelGeneration>(sequence->channel);
  if (!submitted_.TryPush(std::move(sequence))) {
    --never_ran_;
    return MakeError(ErrorCode::kUnavailable, "the engine is stopping");
  }
  return generation;
}

Status EngineImpl::Check(const GenerationRequest& request) const {
  return CheckRequest(request, {.vocab_size = info_.vocab_size,
                                .max_model_len = info_.max_model_len,
                                .blocks_total = kv_->blocks_total()});
}

std::unique_ptr<Sequence> EngineImpl::NewSequence(GenerationRequest request,
                                                  uint64_t arrival) const {
  const uint64_t seed =
      request.sampling.seed.value_or(kernels::PhiloxWord(config_.seed, arrival, /*stream=*/1));
  RequestSampling sampling(request, info_.eos_token_ids, info_.vocab_size, seed);
  return std::make_unique<Sequence>(std::move(request), std::move(sampling), arrival);
}

// --- what others ask of the engine thread ---

Result<PrefixExplanation> EngineImpl::ExplainPrefix(const GenerationRequest& request) {
  RETURN_IF_ERROR(Check(request));
  const std::shared_ptr<const Sequence> sequence = NewSequence(request, /*arrival=*/0);
  return errands_.Do<PrefixExplanation>([this, sequence] {
    PrefixExplanation explained = engine::ExplainPrefix(prefix_.tree(), sequence->prefix_view());
    if (!config_.enable_prefix_caching) explained.leaves.clear();
    return explained;
  });
}

Result<int32_t> EngineImpl::ResetPrefixCache() {
  const auto dropped = errands_.Do<int32_t>([this] {
    const int32_t before = prefix_.tree().size();
    prefix_.Reset();
    PublishStats();
    return before - prefix_.tree().size();
  });
  if (!dropped) return dropped;
  const int64_t until_ns = Clock::System().MonotonicNs() + kClearWaitNs;
  for (;;) {
    ASSIGN_OR_RETURN(const bool cleared, errands_.Do<bool>([this] {
      prefix_.PollTiers();
      return prefix_.TiersCleared();
    }));
    if (cleared) return dropped;
    if (Clock::System().MonotonicNs() > until_ns)
      return MakeError(ErrorCode::kDeadlineExceeded,
                       "the prefix cache is empty, but what its tiers held is not deleted yet");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Result<std::vector<PrefixNode>> EngineImpl::PrefixMap(int32_t nodes_max) {
  return errands_.Do<std::vector<PrefixNode>>(
      [this, nodes_max] { return MapPrefixes(prefix_.tree(), nodes_max); });
}

}  // namespace

std::unique_ptr<Engine> StartEngine(EngineParts parts) {
  return std::make_unique<EngineImpl>(std::move(parts));
}

Result<std::unique_ptr<Engine>> Engine::Open(const EngineConfig& config) {
  ASSIGN_OR_RETURN(auto model, LoadModel(config));
  return Open(config, std::move(model));
}

Result<std::unique_ptr<Engine>> Engine::Open(const EngineConfig& config,
                                             std::unique_ptr<Qwen3Next> model) {
  ASSIGN_OR_RETURN(EngineParts parts, BuildParts(config, std::move(model)));
  return StartEngine(std::move(parts));
}

}  // namespace nextgate::engine
