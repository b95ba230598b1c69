// The semantic tier: a question asked in other words gets the answer that is stored, if everything
// else of the two requests is equal (cache/last_question.h), no gate refuses (gates.h) and the
// verifier lets it be served (verifier.h).
//
// One request, after the exact tiers have missed:
//
//   serve    Lookup → a hit is replayed; else it is generated
//   shadow   it is generated as ever
//   both     Finish, after the last byte: what shadow would have served is looked up, what the stored
//            answer says is compared with what was generated (evidence), and the new question goes
//            into the index
//
// What the instances know of questions and evidence are logs that all fold in one order
// (cache/redis/record_log.h): an index entry and the verifier's state are functions of what the logs
// hold. Evidence counts by what its labels' source is known to be wrong about, so every source (an embedder, a
// judge) has a log of its own. An index entry is a hint; the answer is fetched and proven on its material at every hit, so a
// stale one can only miss.
//
// Threads: all methods may be called from any thread. Two threads inside: "semantic" does what Finish
// wants but for comparing answers, which may take a judge's time and is done by "compare"; the logs'
// threads fold records.
// Invariants: (1) a served answer's request equals the asked one in all but the last user text, byte by
// byte, and is of the same scope and model; (2) Lookup returns at its deadline, but for what it takes
// to wake a thread; (3) whatever fails is an outcome that is counted, never an error.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/queue.h"
#include "cache/embedder.h"
#include "cache/exact_cache.h"
#include "cache/last_question.h"
#include "cache/redis/record_log.h"
#include "cache/semantic/answer_comparator.h"
#include "cache/semantic/gates.h"
#include "cache/semantic/outcome.h"
#include "cache/semantic/question_index.h"
#include "cache/semantic/records.h"
#include "cache/semantic/snapshot.h"
#include "cache/semantic/verifier.h"
#include "cache/stats.h"

namespace nextgate::cache {

// What a lookup found.
struct SemanticMatch {
  SemanticOutcome outcome = SemanticOutcome::kNoCandidate;
  std::optional<CacheHit> hit;                 // kServed; tier kSemantic
  std::optional<SemanticCandidate> candidate;  // the nearest, whatever became of it
  std::shared_ptr<const StoredAnswer> entry;   // its entry
  std::string asked;                           // the question
  GateSet refused;                             // the gates that are on and refuse it
  Verifier::Ruling ruling;
};

// For operators: a neighbour and what every gate says of it.
struct SemanticNeighbour {
  Hash128 id;
  float cosine = 0;
  std::shared_ptr<const StoredAnswer> entry;  // null: gone
  std::vector<GateVerdict> gates;
};

// Into the series of the request.
void CountMatch(StatsSeries& counts, const SemanticMatch& match);

struct SemanticStats {
  QuestionIndex::Stats index;
  RecordLogStats questions, evidence;
  int64_t queued = 0;               // of Finish, now
  int64_t unembedded = 0;           // stored questions that the embedder failed to make a vector of
  int64_t dropped = 0;              // of Finish: the queue was full
  int64_t uncompared = 0;           // were to be compared: that queue was full
  int64_t rejections = 0;           // pairs that feedback forbids
  int64_t corrupt = 0;              // records that were not ours, or damaged
  int64_t comparisons = 0;          // answers compared
  int64_t comparison_failures = 0;  // of these, without a verdict
};

class SemanticCache {
 public:
  struct Options {
    std::string name_space = "nextgate";
    std::string secret;      // of the records' digests
    std::string comparator;  // who compares answers: evidence of others is not read
    std::chrono::milliseconds embed_budget{20};  // of Lookup
    std::chrono::milliseconds fetch_budget{40};  // of Lookup, in Redis
    std::chrono::milliseconds background_budget{2000};
    std::chrono::milliseconds compare_budget{2000};  // of two answers
    int64_t entries_max = 200'000;                   // questions, of all instances together
    GateSet gates = GateSet::all();
    float look_from = 0.5F;  // cosine below which nothing is a candidate
    size_t queue_max = 1024;
    size_t compare_queue_max = 64;  // each holds two answers, for as long as a judge takes
    // Longer than any entry lives: what an embedder leaves behind that is not used any more.
    std::chrono::milliseconds questions_expiry = std::chrono::hours(24 * 8);
    std::string snapshot_dir;  // of the index' file (snapshot.h); "": none. Needs Redis
  };
  struct Services {
    Embedder& embedder;
    ExactCache& exact;
    Verifier& verifier;
    AnswerComparator& comparator;
    RedisClient* client = nullptr;  // both or none
    RedisTail* tail = nullptr;
    const Keyring& keys = Keyring::None();
    const Clock& clock = Clock::System();
  };
  // All services must outlive it.
  SemanticCache(Options options, const Services& services);
  // What Finish has queued is given up.
  ~SemanticCache();
  SemanticCache(const SemanticCache&) = delete;
  SemanticCache& operator=(const SemanticCache&) = delete;

  // The stored answer to a question that means the same, for plan.semantic == kServe.
  // REQUIRES: plan.read.
  SemanticMatch Lookup(const CacheKey& key, const CachePlan& plan);

  // A request that was generated, after its last byte.
  struct Finished {
    CacheKey key;
    CachePlan plan;
    std::shared_ptr<const Answer> answer;
    bool generated = false;              // for this request, which was to be looked up
    bool stored = false;                 // it was given to the writer
    std::optional<SemanticMatch> match;  // Lookup's, if there was one
    StatsSeries* counts = nullptr;       // where a shadow lookup is counted; may be null
  };
  // Never waits. False if it was dropped.
  bool Finish(Finished finished);

  // An entry that came some other way (import, another embedder's), to be found from now on. Waits for
  // the embedder; false if that failed, so that it may be tried again. An entry whose question has no
  // vector at all is done with.
  bool Remember(const Hash128& id, const StoredAnswer& entry);

  // Somebody's word on whether `entry` answers the request `asked`: evidence, and if it is wrong the
  // two are never matched again. The cosine of the two questions; nothing if the entry is gone, which
  // leaves only the ban. kInvalidArgument: the entry could never have been this request's.
  Result<std::optional<float>> Feedback(const CacheKey& asked, const CachePlan& plan,
                                        const Hash128& entry, bool right);

  // The nearest `k`, with every gate's verdict; counted nowhere.
  std::vector<SemanticNeighbour> Explain(const CacheKey& key, const CachePlan& plan, size_t k);
  // What a lookup would end in, counted nowhere.
  SemanticMatch Peek(const CacheKey& key, const CachePlan& plan);

  // Waits until the logs were read once.
  bool WaitCaughtUp(std::chrono::milliseconds timeout);
  // Waits until everything that Finish took before is done. For tests.
  bool Flush(std::chrono::milliseconds timeout);

  GateSet gates() const { return options_.gates; }                     // that are on
  const std::string& questions_log() const { return questions_log_; }  // of this embedder
  const std::string& evidence_log() const { return evidence_log_; }    // of this comparator
  // How far the log of questions was folded.
  RecordLog::Place place() const { return questions_->place(); }
  const EmbedderInfo& embedder() const { return s_.embedder.info(); }
  SemanticStats stats() const;

 private:
  // A question in the index' terms.
  struct Asked {
    LastQuestion question;
    Hash128 group, partition;
    std::vector<float> vector;
  };
  struct Near {  // a stored question that may be served
    float cosine = 0;
    CacheHit hit;
    std::string text;
    std::string answer;
    std::vector<float> vector;  // [D]
  };
  struct Found {
    std::vector<Near> near;  // best first
    bool gone = false;       // something was near, and could not be read
    bool rejected = false;   // or feedback forbids it
  };
  struct Comparison {    // of what was stored with what was generated
    Finished finished;   // with a match
    double observe = 1;  // the probability with which it came to this
  };
  static constexpr std::string_view kRejectionsLog = "rejections";
  static constexpr size_t kEvidenceMax = 200'000, kRejectionsMax = 100'000;  // records
  static constexpr int64_t kNotInTheLog = INT64_MAX;  // position of what only this process knows

  std::expected<Asked, SemanticOutcome> Ask(std::string_view material, Embedder::Deadline deadline);
  Found FindNear(const Asked& asked, const Hash128& own, const CachePlan& plan, size_t max,
                 bool dry);
  static std::optional<float> RivalOf(std::span<const Near> near);
  SemanticMatch Look(const CacheKey& key, const CachePlan& plan,
                     std::chrono::milliseconds embed_budget, bool dry = false);
  Hash128 GroupOf(std::string_view rest) const;
  bool Rejected(const Rejection& pair) const;
  bool Chance(double probability);

  // The text of an answer that is one whole text; nothing if there is more, or less, to it: that can be
  // neither compared nor served for another question.
  static std::optional<std::string> OnlyText(const Answer& answer);
  void Work();
  void Do(Finished& finished);
  std::optional<double> WantsLabel(const Finished& finished);
  void Compare();
  void Learn(const Comparison& comparison);
  void CountDone();
  bool Announce(const Hash128& id, std::string_view material, int64_t expires_unix_ms);
  void Insert(const QuestionRecord& record, int64_t position);
  std::unique_ptr<RecordLog> OpenLog(RecordLog::Options log, RecordLog::Listener listener,
                                     RecordLog::Place resume = {}) const;
  std::string SnapshotPath() const;
  void HearQuestion(std::string_view bytes, int64_t position);
  void HearEvidence(std::string_view bytes);
  void HearRejection(std::string_view bytes, int64_t position);
  void TrimRejections(int64_t first);
  bool HeardBefore(uint64_t id);
  void CountCorrupt();

  const Options options_;
  const Services s_;
  const SemanticCodec codec_;
  const std::string embedder_key_;  // id, revision and dimension, in one text
  const std::string questions_log_, evidence_log_;
  QuestionIndex index_;

  mutable std::mutex mutex_;                       // guards what follows
  std::unordered_map<Hash128, int64_t> rejected_;  // a hash of each pair → its place in the log
  std::unordered_set<uint64_t> heard_ids_;         // of evidence, the latest
  std::vector<uint64_t> heard_order_;              // the same, a ring
  size_t heard_next_ = 0;
  std::mt19937_64 random_;
  SemanticStats counts_;

  std::mutex flush_mutex_;  // guards the next three
  std::condition_variable progress_;
  int64_t accepted_ = 0;
  int64_t done_ = 0;

  std::atomic<bool> stopping_ = false;
  BoundedQueue<Finished> queue_;
  BoundedQueue<Comparison> comparisons_;
  std::unique_ptr<RecordLog> questions_, evidence_, rejections_;
  std::unique_ptr<SnapshotKeeper> snapshots_;  // null: none are made
  std::thread thread_, compare_thread_;        // last: they use all of the above
};

}  // namespace nextgate::cache
