// "Everything made before now that looks like this is dead": the records of it, and the question whether
// an answer is.
//
// A record is a predicate and a position. Positions order the records, and say of every generation which
// of them its process knew when it began: an answer whose generation began without knowing of a record
// that matches it is dead, however late it is written and wherever it lies. No two clocks are compared.
// With a Redis a record's position is where it stands in the stream that all instances read
// (cache/redis/invalidation_log.h); until it has got there, and without a Redis, it is one of this
// process', just behind the last one known. What an instance cut off from Redis generates counts as made
// before every record that it did not hear of: too strict for some seconds, and never too lax.
//
//   position = milliseconds << 20 | number within the millisecond << 10 | records of this process alone
//
// The predicate's parts are compared with what the entry says of its origin, its id, when it was made, and
// with the text of the request: the last user message, or the prompt.
//
// Threads: Invalidations from any thread; the rest are values.
// Invariants: (1) a position is handed out with its record in force; (2) an answer that was found
// dead stays dead until its record is forgotten, which is after the longest time to live.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "cache/aead.h"
#include "cache/answer_store.h"
#include "cache/entry_summary.h"

namespace nextgate::cache {

// Of the stream id "milliseconds-number"; 0 if it is none.
int64_t PositionOf(std::string_view stream_id);
int64_t PositionMs(int64_t position);
// Without the records of one process alone, of which the others know nothing.
int64_t SharedPosition(int64_t position);

// What is asked about an answer, or about one in the making.
struct InvalidationSubject {
  Hash128 id;
  const EntryOrigin& origin;
  std::string_view material;               // "": the text is not known, and matches no prefix
  std::optional<int64_t> created_unix_ms;  // nothing: not made yet
};

// All parts that are given must hold; none given: everything.
struct InvalidationPredicate {
  std::optional<std::string> tenant, team, user, name_space;
  std::optional<std::string> model, route;
  std::optional<std::string> prompt_prefix;  // never logged
  std::optional<Hash128> id;
  std::optional<int64_t> created_before_unix_ms;

  bool Matches(const InvalidationSubject& subject) const;
  bool everything() const { return *this == InvalidationPredicate(); }
  bool operator==(const InvalidationPredicate&) const = default;
};

struct InvalidationRecord {
  std::string id;  // 24 hex digits, the same on every instance
  InvalidationPredicate predicate;
  int64_t instant_unix_ms = 0;  // of the instance that was asked; shown, not compared
  int64_t position = 0;
  bool shared = false;  // Redis has it

  // As it stands in Redis, the prompt's prefix encrypted if there are `keys`. What cannot be read, by a newer
  // nextgate perhaps, is taken for a record of everything, and a prefix that cannot be decrypted for none:
  // rather too much is dead than too little.
  std::string Pack(const Keyring& keys = Keyring::None()) const;
  static InvalidationRecord Unpack(std::string_view bytes, const Keyring& keys = Keyring::None());
};

// `prefix` as the canonical request has such text (NFC).
std::string CanonicalPrefix(const std::string& prefix);

struct InvalidationStats {
  int64_t records = 0;  // in force
  int64_t refused = 0;  // answers found, and not served
  int64_t erased = 0;   // swept out of this process' memory
};

class Invalidations {
 public:
  // What a generation that begins now knows.
  int64_t position() const { return position_.load(std::memory_order_acquire); }

  // The highest position of a record that matches; 0 if none does. Answers below it are dead.
  int64_t Floor(const InvalidationSubject& subject) const;
  // Whether the entry is dead. After the first time an atomic read, until there is another record.
  bool Kills(const Hash128& id, const StoredAnswer& entry) const;

  // A record of this process alone, in force at once.
  InvalidationRecord Issue(InvalidationPredicate predicate, int64_t now_unix_ms);
  // One that Redis has, at this position: new, or one that is known by its id already.
  void Add(InvalidationRecord record);
  // Forgets records whose place is before `position_ms` (ms).
  void Forget(int64_t position_ms);

  std::vector<InvalidationRecord> List() const;

  // False while there is a Redis whose records have not been read yet.
  bool known() const { return known_.load(std::memory_order_acquire); }
  void SetKnown(bool known) { known_.store(known, std::memory_order_release); }

  // Removes what is dead from `store`; how many.
  int64_t Sweep(AnswerStore& store);
  void CountRefused() { refused_.fetch_add(1, std::memory_order_relaxed); }
  InvalidationStats stats() const;

 private:
  void Put(InvalidationRecord record);  // REQUIRES: mutex_ is held

  std::atomic<int64_t> position_ = 0;
  std::atomic<int64_t> revision_ = 1;  // rises with every change
  std::atomic<bool> known_ = true;
  std::atomic<int64_t> refused_ = 0;
  std::atomic<int64_t> erased_ = 0;
  mutable std::mutex mutex_;
  std::vector<InvalidationRecord> records_;  // guarded by mutex_
};

}  // namespace nextgate::cache
