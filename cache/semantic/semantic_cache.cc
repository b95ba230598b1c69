#include "cache/semantic/semantic_cache.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "cache/hmac.h"
#include "cache/semantic/eligibility.h"
#include "cache/semantic/rival.h"

namespace nextgate::cache {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr size_t kNeighbours = 8;           // asked of the index at once
constexpr int kSearches = 4;                // again, if all that was near is gone
constexpr size_t kQuestionBytesMax = 8192;  // longer ones are no paraphrases of each other
constexpr milliseconds kDrain(1000);        // for what is queued, at the end

std::string KeyText(const EmbedderInfo& info) {
  return fmt::format("{}\n{}\n{}", info.id, info.revision, info.dimension);
}

SemanticOutcome Failed(const Error& error) {
  if (error.code == ErrorCode::kDeadlineExceeded) return SemanticOutcome::kDeadline;
  if (error.code == ErrorCode::kResourceExhausted) return SemanticOutcome::kBusy;
  return SemanticOutcome::kEmbedderError;
}

SemanticOutcome WithoutQuestion(NoQuestion why) {
  switch (why) {
    case NoQuestion::kNotOneText:
      return SemanticOutcome::kNotOneText;
    case NoQuestion::kPromptMatters:
      return SemanticOutcome::kPromptMatters;
    case NoQuestion::kNotChat:
      break;
  }
  return SemanticOutcome::kNotChat;
}

SemanticOutcome WithoutVector(SemanticIneligible why) {
  switch (why) {
    case SemanticIneligible::kTooLong:
      return SemanticOutcome::kTooLong;
    case SemanticIneligible::kEmpty:
      return SemanticOutcome::kEmpty;
    case SemanticIneligible::kUnsupportedScript:
      break;
  }
  return SemanticOutcome::kUnsupportedScript;
}

}  // namespace

SemanticCache::SemanticCache(Options options, const Services& services)
    : options_(std::move(options)),
      s_(services),
      codec_(options_.secret, s_.keys),
      embedder_key_(KeyText(s_.embedder.info())),
      questions_log_("questions:" + HashBytes(embedder_key_).Hex().substr(0, 16)),
      evidence_log_("evidence:" + HashBytes(options_.comparator).Hex().substr(0, 16)),
      index_({.dimension = s_.embedder.info().dimension, .entries_max = options_.entries_max}),
      random_(std::random_device{}()),
      queue_(options_.queue_max),
      comparisons_(options_.compare_queue_max) {
  const std::string snapshot = SnapshotPath();
  RecordLog::Place resume;
  if (!snapshot.empty()) resume = LoadSnapshot(index_, snapshot, embedder_key_);
  questions_ =
      OpenLog({.name = questions_log_,
               .records_max = static_cast<size_t>(options_.entries_max),
               .expiry = options_.questions_expiry},
              {.heard = [this](std::string_view record, int64_t at) { HearQuestion(record, at); },
               .trimmed = [this](int64_t first) { index_.EraseBefore(first); },
               .lost = [this] { index_.Clear(); }},
              std::move(resume));
  if (!snapshot.empty())
    snapshots_ = std::make_unique<SnapshotKeeper>(index_, *questions_, snapshot, embedder_key_);
  // What was learned stays true whatever Redis forgets.
  evidence_ =
      OpenLog({.name = evidence_log_, .records_max = kEvidenceMax},
              {.heard = [this](std::string_view record, int64_t /*at*/) { HearEvidence(record); }});
  rejections_ =
      OpenLog({.name = std::string(kRejectionsLog), .records_max = kRejectionsMax},
              {.heard = [this](std::string_view record, int64_t at) { HearRejection(record, at); },
               .trimmed = [this](int64_t first) { TrimRejections(first); }});
  thread_ = std::thread([this] { Work(); });
  pthread_setname_np(thread_.native_handle(), "semantic");
  compare_thread_ = std::thread([this] { Compare(); });
  pthread_setname_np(compare_thread_.native_handle(), "compare");
}

SemanticCache::~SemanticCache() {
  queue_.Close();
  s_.comparator.Close();
  Flush(kDrain);
  stopping_.store(true, std::memory_order_relaxed);
  comparisons_.Close();
  thread_.join();
  compare_thread_.join();
  snapshots_.reset();
  questions_.reset();  // they write out what waits, and tell nothing afterwards
  evidence_.reset();
  rejections_.reset();
}

std::unique_ptr<RecordLog> SemanticCache::OpenLog(RecordLog::Options log,
                                                  RecordLog::Listener listener,
                                                  RecordLog::Place resume) const {
  log.name_space = options_.name_space;
  return std::make_unique<RecordLog>(std::move(log), s_.client, s_.tail, std::move(listener),
                                     std::move(resume));
}

// "": none.
std::string SemanticCache::SnapshotPath() const {
  if (options_.snapshot_dir.empty() || s_.client == nullptr) return "";
  const Hash128 which = HashBytes(options_.name_space + '\n' + embedder_key_);
  return fmt::format("{}/questions-{}.index", options_.snapshot_dir, which.Hex().substr(0, 16));
}

Hash128 SemanticCache::GroupOf(std::string_view rest) const {
  return HashBytes(fmt::format("{}\n{}", embedder_key_, rest));
}

std::expected<SemanticCache::Asked, SemanticOutcome> SemanticCache::Ask(
    std::string_view material, Embedder::Deadline deadline) {
  auto question = TakeLastQuestion(material);
  if (!question) return std::unexpected(WithoutQuestion(question.error()));
  if (question->text.size() > kQuestionBytesMax) return std::unexpected(SemanticOutcome::kTooLong);
  const auto embeddings = s_.embedder.Embed(std::span(&question->text, 1), deadline);
  if (!embeddings) return std::unexpected(Failed(embeddings.error()));
  const Embedding& embedding = embeddings->front();
  if (const auto why = IneligibleFor(question->text, embedding))
    return std::unexpected(WithoutVector(*why));
  const MaterialParts parts = SplitMaterial(material);
  Asked asked{
      .question = std::move(*question), .group = {}, .partition = {}, .vector = embedding.values};
  asked.group = GroupOf(asked.question.rest);
  asked.partition =
      HashBytes(fmt::format("{}\n{}\n{}", embedder_key_, parts.scope_id, parts.fingerprint));
  return asked;
}

// The stored questions nearest to `asked`, best first: as many as say what the best is and which other
// answer is next, at most `max`. `own`: the request's entry, which is not another's. `dry`: nothing is
// moved by looking.
SemanticCache::Found SemanticCache::FindNear(const Asked& asked, const Hash128& own,
                                             const CachePlan& plan, size_t max, bool dry) {
  const Deadline deadline = steady_clock::now() + options_.fetch_budget;
  Found found;
  for (int searches = 0; searches < kSearches && found.near.empty(); ++searches) {
    bool erased = false;
    for (auto& neighbour :
         index_.Search(asked.group, asked.vector, kNeighbours, s_.clock.UnixMs())) {
      if (neighbour.cosine < options_.look_from || found.near.size() == max) break;
      if (steady_clock::now() >= deadline) {
        found.gone = found.near.empty();
        return found;
      }
      if (neighbour.id == own) continue;
      auto fetched = s_.exact.Fetch(neighbour.id, plan, deadline, dry);
      if (fetched.gone && !dry) erased = index_.Erase(neighbour.id) || erased;
      found.gone = found.gone || !fetched.hit;
      if (!fetched.hit) continue;
      auto stored = TakeLastQuestion(fetched.hit->entry->material);
      if (!stored || stored->rest != asked.question.rest) continue;
      auto answer = OnlyText(*fetched.hit->answer);
      if (!answer) continue;
      if (Rejected({.asked = own, .entry = neighbour.id})) {
        found.rejected = true;
        continue;
      }
      found.near.push_back({.cosine = neighbour.cosine,
                            .hit = std::move(*fetched.hit),
                            .text = std::move(stored->text),
                            .answer = std::move(*answer),
                            .vector = std::move(neighbour.vector)});
    }
    if (!erased) break;
  }
  return found;
}

// Of near.front().
std::optional<float> SemanticCache::RivalOf(std::span<const Near> near) {
  std::vector<NearQuestion> questions;
  for (const Near& one : near)
    questions.push_back(
        {.cosine = one.cosine, .text = one.text, .answer = one.answer, .vector = one.vector});
  return CosineOfRival(questions);
}

SemanticMatch SemanticCache::Look(const CacheKey& key, const CachePlan& plan,
                                  milliseconds embed_budget, bool dry) {
  const auto asked = Ask(key.material, steady_clock::now() + embed_budget);
  if (!asked) return {.outcome = asked.error()};
  Found found = FindNear(*asked, key.hash, plan, kNearMax, dry);
  if (found.near.empty())
    return {.outcome = found.rejected ? SemanticOutcome::kRejected
                       : found.gone   ? SemanticOutcome::kGone
                                      : SemanticOutcome::kNoCandidate};
  Near& best = found.near.front();
  SemanticMatch match{.outcome = SemanticOutcome::kServed};
  match.candidate = {.partition = asked->partition, .entry = best.hit.id, .cosine = best.cosine};
  match.candidate->cosine_second = RivalOf(found.near);
  match.entry = best.hit.entry;
  match.asked = asked->question.text;
  match.refused = RefusedBy({.asked = asked->question.text,
                             .stored = best.text,
                             .cosine = best.cosine,
                             .cosine_second = match.candidate->cosine_second},
                            options_.gates);
  match.ruling = s_.verifier.Rule(*match.candidate);
  if (plan.threshold && best.cosine < *plan.threshold) match.ruling.serve = false;
  if (!match.ruling.serve) {
    match.outcome = SemanticOutcome::kUnproven;
  } else if (!match.refused.empty()) {
    match.outcome = SemanticOutcome::kGated;
  } else {
    match.hit = std::move(best.hit);
    match.hit->tier = Tier::kSemantic;
  }
  return match;
}

void CountMatch(StatsSeries& counts, const SemanticMatch& match) {
  std::optional<float> cosine;
  if (match.candidate) cosine = match.candidate->cosine;
  counts.CountSemantic(match.outcome, cosine, match.refused);
}

SemanticMatch SemanticCache::Lookup(const CacheKey& key, const CachePlan& plan) {
  CHECK(plan.read);
  SemanticMatch match = Look(key, plan, options_.embed_budget);
  if (match.outcome == SemanticOutcome::kServed && Chance(match.ruling.observe)) {
    match.outcome = SemanticOutcome::kObserved;
    match.hit.reset();
  }
  return match;
}

SemanticMatch SemanticCache::Peek(const CacheKey& key, const CachePlan& plan) {
  return Look(key, plan, options_.background_budget, /*dry=*/true);
}

std::vector<SemanticNeighbour> SemanticCache::Explain(const CacheKey& key, const CachePlan& plan,
                                                      size_t k) {
  const auto asked = Ask(key.material, steady_clock::now() + options_.background_budget);
  if (!asked) return {};
  const Found found = FindNear(*asked, key.hash, plan, std::max(k, kNearMax), /*dry=*/true);
  std::vector<SemanticNeighbour> out;
  for (size_t i = 0; i < std::min(k, found.near.size()); ++i) {
    const Near& near = found.near[i];
    out.push_back(
        {.id = near.hit.id,
         .cosine = near.cosine,
         .entry = near.hit.entry,
         .gates = JudgeGates({.asked = asked->question.text,
                              .stored = near.text,
                              .cosine = near.cosine,
                              .cosine_second = RivalOf(std::span(found.near).subspan(i))})});
  }
  return out;
}

bool SemanticCache::Rejected(const Rejection& pair) const {
  const std::lock_guard lock(mutex_);
  return !rejected_.empty() && rejected_.contains(pair.Hash());
}

bool SemanticCache::Chance(double probability) {
  const std::lock_guard lock(mutex_);
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

bool SemanticCache::WaitCaughtUp(milliseconds timeout) {
  const auto until = steady_clock::now() + timeout;
  const auto left = [&] {
    return std::max(milliseconds(0),
                    std::chrono::duration_cast<milliseconds>(until - steady_clock::now()));
  };
  return questions_->WaitCaughtUp(left()) && evidence_->WaitCaughtUp(left()) &&
         rejections_->WaitCaughtUp(left());
}

SemanticStats SemanticCache::stats() const {
  SemanticStats stats;
  {
    const std::lock_guard lock(mutex_);
    stats = counts_;
    stats.rejections = static_cast<int64_t>(rejected_.size());
  }
  stats.index = index_.stats();
  stats.questions = questions_->stats();
  stats.evidence = evidence_->stats();
  stats.queued = static_cast<int64_t>(queue_.size() + comparisons_.size());
  return stats;
}

}  // namespace nextgate::cache
