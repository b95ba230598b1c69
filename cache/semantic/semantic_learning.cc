// What happens behind a request's back: Finish, and the folding of the logs.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <thread>
#include <utility>

#include "base/log.h"
#include "cache/hmac.h"
#include "cache/semantic/semantic_cache.h"

namespace nextgate::cache {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kWait(1000);
constexpr std::chrono::seconds kSweepInterval(30);  // of expired questions

uint64_t RandomId() {
  const Hash128 hash = HashBytes(RandomBytes(16));
  return hash.low;
}

}  // namespace

std::optional<std::string> SemanticCache::OnlyText(const Answer& answer) {
  if (answer.choices().size() != 1 || answer.choices()[0].finish_reason != "stop")
    return std::nullopt;
  std::string text = answer.ChoiceText(0);
  return text.empty() ? std::nullopt : std::optional(std::move(text));
}

bool SemanticCache::Finish(Finished finished) {
  {
    const std::lock_guard lock(flush_mutex_);
    if (queue_.TryPush(std::move(finished))) {
      ++accepted_;
      return true;
    }
  }
  const std::lock_guard lock(mutex_);
  ++counts_.dropped;
  return false;
}

bool SemanticCache::Remember(const Hash128& id, const StoredAnswer& entry) {
  return !OnlyText(*entry.answer) || Announce(id, entry.material, entry.expires_unix_ms);
}

bool SemanticCache::Flush(milliseconds timeout) {
  std::unique_lock lock(flush_mutex_);
  const int64_t target = accepted_;
  return progress_.wait_for(lock, timeout, [&] { return done_ >= target; });
}

void SemanticCache::Work() {
  auto sweep_at = steady_clock::now() + kSweepInterval;
  while (!stopping_.load(std::memory_order_relaxed)) {
    std::optional<Finished> job = queue_.Pop(kWait);
    if (steady_clock::now() >= sweep_at) {
      index_.RemoveExpired(s_.clock.UnixMs());
      sweep_at = steady_clock::now() + kSweepInterval;
    }
    if (!job && queue_.closed()) return;
    if (!job) continue;
    Do(*job);
  }
}

void SemanticCache::CountDone() {
  {
    const std::lock_guard lock(flush_mutex_);
    ++done_;
  }
  progress_.notify_all();
}

void SemanticCache::Do(Finished& finished) {
  if (finished.generated && finished.plan.semantic == SemanticMode::kShadow) {
    finished.match = Look(finished.key, finished.plan, options_.background_budget);
    if (finished.match->outcome == SemanticOutcome::kServed)
      finished.match->outcome = SemanticOutcome::kWouldServe;
    if (finished.counts != nullptr) CountMatch(*finished.counts, *finished.match);
  }
  if (finished.stored && OnlyText(*finished.answer))
    Announce(finished.key.hash, finished.key.material, s_.clock.UnixMs() + finished.plan.ttl_ms);
  if (const auto observe = WantsLabel(finished)) {
    if (comparisons_.TryPush({.finished = std::move(finished), .observe = *observe})) return;
    const std::lock_guard lock(mutex_);
    ++counts_.uncompared;
  }
  CountDone();
}

// With which probability this came to be compared; nothing if it is not to be. That a hit is observed
// was drawn by Lookup; what is generated anyway costs a comparison only.
std::optional<double> SemanticCache::WantsLabel(const Finished& finished) {
  if (!finished.match || !finished.match->candidate || finished.match->entry == nullptr)
    return std::nullopt;
  const SemanticMatch& match = *finished.match;
  // Twice not served: it says nothing about either.
  if (!match.refused.empty() && !match.ruling.serve) return std::nullopt;
  if (!OnlyText(*match.entry->answer) || !OnlyText(*finished.answer)) return std::nullopt;
  if (match.outcome == SemanticOutcome::kObserved) return match.ruling.observe;
  const double observe = s_.verifier.options().observe_unserved;
  return Chance(observe) ? std::optional(observe) : std::nullopt;
}

void SemanticCache::Compare() {
  while (!stopping_.load(std::memory_order_relaxed)) {
    std::optional<Comparison> comparison = comparisons_.Pop(kWait);
    if (!comparison && comparisons_.closed()) return;
    if (!comparison) continue;
    Learn(*comparison);
    comparison.reset();
    CountDone();
  }
}

// Would the stored answer have been right? What was generated says.
void SemanticCache::Learn(const Comparison& comparison) {
  const Finished& finished = comparison.finished;
  const SemanticMatch& match = *finished.match;
  const AnswerVerdict verdict = s_.comparator.Compare(
      match.asked, *OnlyText(*match.entry->answer), *OnlyText(*finished.answer),
      steady_clock::now() + options_.compare_budget);
  const bool labelled = verdict.label != AnswerVerdict::Label::kNone;
  {
    const std::lock_guard lock(mutex_);
    ++counts_.comparisons;
    if (!labelled) ++counts_.comparison_failures;
  }
  if (!labelled) return;
  const bool right = verdict.label == AnswerVerdict::Label::kSame;
  const bool gated = !match.refused.empty();
  const bool would_serve = !gated && match.outcome != SemanticOutcome::kUnproven;
  if (finished.counts != nullptr)
    finished.counts->CountSemanticLabel(would_serve ? Labelled::kServed
                                        : gated     ? Labelled::kGated
                                                    : Labelled::kUnproven,
                                        right);
  if (gated) return;  // the verifier is about what passes them
  const EvidenceRecord record{.id = RandomId(),
                              .evidence = {.candidate = *match.candidate,
                                           .served = would_serve,
                                           .observe = comparison.observe,
                                           .right = right,
                                           .source = Verifier::Evidence::Source::kShadow}};
  evidence_->Append(codec_.Seal(evidence_log_, record));
}

Result<std::optional<float>> SemanticCache::Feedback(const CacheKey& asked, const CachePlan& plan,
                                                     const Hash128& entry, bool right) {
  const auto deadline = steady_clock::now() + options_.background_budget;
  const auto question = Ask(asked.material, deadline);
  if (!question)
    return InvalidArgument(fmt::format("there is no question to be matched in this request: {}",
                                       SemanticOutcomeCode(question.error())),
                           "request");
  const auto fetched = s_.exact.Fetch(entry, plan, deadline, /*dry=*/true);
  std::optional<float> cosine;
  if (fetched.hit) {
    const auto stored = Ask(fetched.hit->entry->material, deadline);
    if (!stored || stored->question.rest != question->question.rest)
      return InvalidArgument(
          "this entry's request differs in more than the last question, so it was never served for "
          "this one",
          "entry");
    cosine = std::inner_product(stored->vector.begin(), stored->vector.end(),
                                question->vector.begin(), 0.0F);
    const Verifier::Evidence evidence{
        .candidate = {.partition = question->partition, .entry = entry, .cosine = *cosine},
        .served = true,
        .observe = 1,
        .right = right,
        .source = Verifier::Evidence::Source::kFeedback};
    evidence_->Append(
        codec_.Seal(evidence_log_, EvidenceRecord{.id = RandomId(), .evidence = evidence}));
  }
  if (!right)
    rejections_->Append(
        codec_.Seal(kRejectionsLog, Rejection{.asked = asked.hash, .entry = entry}));
  return cosine;
}

// Puts the question of a stored answer into the index of all instances. False if the embedder failed.
bool SemanticCache::Announce(const Hash128& id, std::string_view material,
                             int64_t expires_unix_ms) {
  auto asked = Ask(material, steady_clock::now() + options_.background_budget);
  if (!asked) {
    const bool failed = asked.error() == SemanticOutcome::kDeadline ||
                        asked.error() == SemanticOutcome::kEmbedderError ||
                        asked.error() == SemanticOutcome::kBusy;
    const std::lock_guard lock(mutex_);
    if (failed) ++counts_.unembedded;
    return !failed;
  }
  const QuestionRecord record{.group = asked->group,
                              .id = id,
                              .expires_unix_ms = expires_unix_ms,
                              .vector = std::move(asked->vector)};
  // While Redis is away what is asked here is found here; it is told the others later.
  if (s_.client != nullptr && !s_.client->stats().available) Insert(record, kNotInTheLog);
  questions_->Append(codec_.Seal(questions_log_, record));
  return true;
}

void SemanticCache::Insert(const QuestionRecord& record, int64_t position) {
  index_.Insert({.group = record.group,
                 .id = record.id,
                 .vector = record.vector,
                 .expires_unix_ms = record.expires_unix_ms,
                 .position = position});
}

void SemanticCache::HearQuestion(std::string_view bytes, int64_t position) {
  const auto record = codec_.Open(questions_log_, bytes);
  const auto* question = record ? std::get_if<QuestionRecord>(&*record) : nullptr;
  if (question == nullptr ||
      static_cast<int64_t>(question->vector.size()) != s_.embedder.info().dimension)
    return CountCorrupt();
  if (question->expires_unix_ms > s_.clock.UnixMs()) Insert(*question, position);
}

void SemanticCache::HearEvidence(std::string_view bytes) {
  const auto record = codec_.Open(evidence_log_, bytes);
  const auto* evidence = record ? std::get_if<EvidenceRecord>(&*record) : nullptr;
  if (evidence == nullptr) return CountCorrupt();
  if (!HeardBefore(evidence->id)) s_.verifier.Observe(evidence->evidence);
}

void SemanticCache::HearRejection(std::string_view bytes, int64_t position) {
  const auto record = codec_.Open(kRejectionsLog, bytes);
  const auto* rejection = record ? std::get_if<Rejection>(&*record) : nullptr;
  if (rejection == nullptr) return CountCorrupt();
  const std::lock_guard lock(mutex_);
  rejected_[rejection->Hash()] = position;
}

void SemanticCache::TrimRejections(int64_t first) {
  const std::lock_guard lock(mutex_);
  std::erase_if(rejected_, [&](const auto& pair) { return pair.second < first; });
}

void SemanticCache::CountCorrupt() {
  const std::lock_guard lock(mutex_);
  ++counts_.corrupt;
}

bool SemanticCache::HeardBefore(uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (!heard_ids_.insert(id).second) return true;
  if (heard_order_.size() < kEvidenceMax) {
    heard_order_.push_back(id);
  } else {
    heard_ids_.erase(std::exchange(heard_order_[heard_next_], id));
    heard_next_ = (heard_next_ + 1) % kEvidenceMax;
  }
  return false;
}

}  // namespace nextgate::cache
