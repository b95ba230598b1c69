// A log that all instances write to and read in one order, so that whoever folds its records has
// what every other has: a stream in Redis of which the last `records_max` are kept.
//
//   {ns}:<name>  the records, field "r"
//
// Records are appended from a queue on the log's own thread, in batches; while Redis is away they
// wait, and when the queue is full new ones are dropped and counted. A record whose reply was lost is
// sent again, so it may be there twice: who folds them must not mind, or know them by an id.
//
// A Redis that was restarted or failed over may have lost its latest records, or all. Then `lost` is
// told and the stream is told again from its beginning: whenever the connection was a new one it is
// looked whether the last record that was heard is still there, and every `check` whether the
// generation (cache/redis/invalidation_log.h) is the same.
//
// Without Redis (`client` and `tail` null) the records are this process' alone: Append tells them.
//
// Threads: all methods may be called from any thread. One thread inside ("record-log"). The listener
// is called by one thread at a time, on the tail's, on this log's or (without Redis) in Append: it must be quick, and must
// not call the log.
// Invariants: (1) records are told in the order of the stream, each once, between two `lost`; (2) what
// Append took is told to all instances unless it is counted as dropped, the process ends first, or
// Redis loses it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "cache/redis/client.h"
#include "cache/redis/tail.h"

namespace nextgate::cache {

struct RecordLogStats {
  int64_t heard = 0;     // records, those that were told again too
  int64_t appended = 0;  // that Redis has said it has
  int64_t dropped = 0;   // the queue was full, or Redis would not take it
  int64_t waiting = 0;   // now
  int64_t losses = 0;    // times that the stream was read again
  bool caught_up = false;
};

class RecordLog {
 public:
  struct Options {
    std::string name_space = "nextgate";
    std::string name;  // "questions"
    size_t records_max = 200'000;
    size_t queue_max = 10'000;
    std::chrono::milliseconds expiry{0};    // of the stream, after its last record; 0: none
    std::chrono::milliseconds pace{20};     // how old news may be
    std::chrono::milliseconds check{1000};  // how often it is looked whether it is the same Redis
    std::chrono::milliseconds budget{1000};
  };
  struct Listener {
    // `position` rises (cache/invalidation.h: PositionOf).
    std::function<void(std::string_view record, int64_t position)> heard;
    // What lies before `first` is no longer in the log. May be null.
    std::function<void(int64_t first)> trimmed;
    // Forget all records. May be null.
    std::function<void()> lost;
  };
  // Where another process left off: it had folded everything up to this record of this Redis.
  struct Place {
    std::string generation;
    std::string last_id;  // "": nothing yet
  };
  // Both or none of `client` and `tail` are null; they must outlive the log. With `resume` records
  // behind it are told, or `lost` if Redis does not have it any more.
  RecordLog(Options options, RedisClient* client, RedisTail* tail, Listener listener,
            Place resume = {});
  ~RecordLog();  // what waits is written out, as far as Redis takes it within `budget`
  RecordLog(const RecordLog&) = delete;
  RecordLog& operator=(const RecordLog&) = delete;

  // False if it was dropped.
  bool Append(std::string record);

  // Waits until everything that the stream had was told once. True without Redis.
  bool WaitCaughtUp(std::chrono::milliseconds timeout);
  // Up to where the listener has been told.
  Place place() const;
  RecordLogStats stats() const;

 private:
  bool shared() const { return client_ != nullptr; }
  std::string Key(std::string_view name) const;
  void Follow();
  void Heard(const std::vector<RedisTail::Record>& records);
  void Keep();
  size_t Flush();
  bool Check();
  void Restart();
  void TellTrimmed(const std::string& first_id);

  const Options options_;
  RedisClient* const client_;
  RedisTail* const tail_;
  const Listener listener_;

  mutable std::mutex telling_;  // held while the listener is called; guards the next three
  Place place_;
  int64_t position_ = 0;
  int64_t trimmed_ = 0;

  mutable std::mutex mutex_;  // guards what follows; taken after telling_
  std::condition_variable changed_;
  std::deque<std::string> queue_;
  RecordLogStats stats_;
  bool doubtful_ = false;  // perhaps another Redis: look
  bool stopping_ = false;

  std::unique_ptr<RedisTail::Following> following_;  // the thread's, after the constructor
  std::thread thread_;                               // none without Redis
};

}  // namespace nextgate::cache
