// The figures of all instances together, kept in Redis so that they survive restarts:
//
//   {namespace}:stats:<seconds>:<bucket>   a hash per bucket of traffic_history.h, for as long as a
//                                          window reaches back
//   {namespace}:stats:total                a hash without an end
//   {namespace}:stats:seq:<instance>       number of the last batch this instance has added
//   {namespace}:stats:instances            instance → what it holds now, as JSON
//   {namespace}:h:<hash>:<created>         hits of one entry (catalogue.h)
//
// A hash's field is a JSON array [model, route, namespace, counter]. What rose is added in numbered
// batches by a script that ignores a number it has seen: a batch whose reply was lost is sent again and
// counts once. While Redis is away the batches wait here.
//
// A Redis that was restarted or failed over may have lost the last batches: the script says which number
// it saw last, and the later ones are sent again (those of the last ten minutes are kept). If it has no
// number, or {namespace}:generation (invalidation_log.h) is another one, it has lost everything, and gets
// everything that this instance has counted. Lost is only what an instance that is gone had counted, of that.
//
// Threads: CountEntryHit from any thread; the rest one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "cache/redis/client.h"
#include "cache/traffic_history.h"

namespace nextgate::cache {

// What one instance holds now.
struct InstanceFigures {
  std::string id;
  std::string name;  // as it calls itself: host:port
  int64_t entries = 0;
  int64_t bytes = 0;
  int64_t evictions = 0;
  int64_t live_requests = 0;  // being answered
  int64_t seen_unix_ms = 0;
};

class ClusterStats {
 public:
  // An instance that was not heard of for so long is gone.
  static constexpr int64_t kInstanceGoneMs = 30'000;

  // `client` must outlive this.
  ClusterStats(std::string name_space, RedisClient& client, const Clock& clock = Clock::System());

  // What rose until `unix_ms`, to be added by the next Flush.
  void Add(std::span<const StatsDelta> deltas, int64_t unix_ms);
  // One more hit of an entry; dropped if too many entries wait.
  void CountEntryHit(const Hash128& id, int64_t created_unix_ms, int64_t expires_unix_ms);

  // Adds what waits, and says that this instance is there. Until it succeeds everything is kept.
  Status Flush(const InstanceFigures& own, Deadline deadline);

  // This instance stops: it is not listed any more.
  void Leave(Deadline deadline);

  // Redis' figures and those that still wait here. If `steps` is given, they are put there; kTotal has
  // none.
  Result<StatsBySeries> Read(StatsWindow window, Deadline deadline,
                             StatsSteps* steps = nullptr) const;
  Result<std::vector<InstanceFigures>> Instances(Deadline deadline) const;

  const std::string& instance_id() const { return instance_id_; }

 private:
  struct Increments {
    int64_t expires_unix_ms = 0;           // 0: never
    std::map<std::string, int64_t> added;  // field → by how much; "" for a key that is a counter
  };
  using Batch = std::map<std::string, Increments>;  // by key

  struct NumberedBatch {
    int64_t number;
    Batch batch;
  };

  std::string BucketKey(size_t size_idx, int64_t number) const;
  std::string SequenceKey() const;
  void TakeEntryHits();
  void DropExpired();
  bool NextBatch();
  RedisCommand AddCommand(const NumberedBatch& batch) const;
  Status Apply(const RedisReply& reply);
  void GoBack(int64_t last);
  void StartAgain();
  static void Merge(const Batch& from, Batch& into);

  const std::string name_space_;
  const std::string instance_id_;
  RedisClient& client_;
  const Clock& clock_;
  Batch waiting_;
  std::deque<NumberedBatch> batches_;  // the latest, with consecutive numbers
  Batch added_;  // the sum of all there were, but for entries' hits, which end with the entries
  int64_t sequence_ = 0;             // the last number
  int64_t first_ = 1;                // from this one on they make up all there was
  int64_t acknowledged_ = 0;         // Redis has all up to this one, and the next is kept
  bool gap_known_ = false;           // what is missing before the next one is not kept
  int64_t number_seen_unix_ms_ = 0;  // when the number was last there
  std::string generation_;           // "": not known yet

  struct EntryHits {
    int64_t hits = 0;
    int64_t expires_unix_ms = 0;
  };
  std::mutex hits_mutex_;  // guards what is below
  std::map<std::pair<Hash128, int64_t>, EntryHits> entry_hits_;
};

}  // namespace nextgate::cache
