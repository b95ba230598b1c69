#include "cache/redis/record_log.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "cache/invalidation.h"

namespace nextgate::cache {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr size_t kBatch = 128;     // records of one pipeline
constexpr milliseconds kAway(50);  // how often it is looked whether Redis is back
constexpr size_t kBatchBytes = size_t{1} << 20;

// The id of the first or the last of XRANGE's reply; "" if there is none.
std::string FirstId(const RedisReply& reply) {
  if (reply.elements.empty() || reply.elements.front().elements.empty()) return "";
  return reply.elements.front().elements.front().text;
}

}  // namespace

RecordLog::RecordLog(Options options, RedisClient* client, RedisTail* tail, Listener listener,
                     Place resume)
    : options_(std::move(options)),
      client_(client),
      tail_(tail),
      listener_(std::move(listener)),
      place_(std::move(resume)) {
  if (!shared()) {
    stats_.caught_up = true;
    return;
  }
  position_ = PositionOf(place_.last_id);
  doubtful_ = !place_.last_id.empty();
  Follow();
  thread_ = std::thread([this] { Keep(); });
  pthread_setname_np(thread_.native_handle(), "record-log");
}

RecordLog::~RecordLog() {
  if (!shared()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  following_.reset();
}

std::string RecordLog::Key(std::string_view name) const {
  return fmt::format("{{{}}}:{}", options_.name_space, name);
}

bool RecordLog::Append(std::string record) {
  if (!shared()) {
    const std::lock_guard telling(telling_);
    listener_.heard(record, ++position_);
    const std::lock_guard lock(mutex_);
    ++stats_.heard;
    ++stats_.appended;
    return true;
  }
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= options_.queue_max) {
      ++stats_.dropped;
      return false;
    }
    queue_.push_back(std::move(record));
  }
  changed_.notify_all();
  return true;
}

void RecordLog::Follow() {
  std::string after;
  {
    const std::lock_guard telling(telling_);
    after = place_.last_id.empty() ? "0" : place_.last_id;
  }
  following_ = tail_->Follow(
      Key(options_.name), std::move(after),
      {.records = [this](const std::vector<RedisTail::Record>& records) { Heard(records); },
       .lost = nullptr,
       .caught_up =
           [this] {
             {
               const std::lock_guard lock(mutex_);
               if (stats_.caught_up || doubtful_) return;
               stats_.caught_up = true;
             }
             changed_.notify_all();
           },
       .connected =
           [this] {
             const std::lock_guard telling(telling_);
             const std::lock_guard lock(mutex_);
             doubtful_ = doubtful_ || !place_.last_id.empty();
           }},
      options_.pace);
}

void RecordLog::Heard(const std::vector<RedisTail::Record>& records) {
  const std::lock_guard telling(telling_);
  for (const RedisTail::Record& record : records) {
    position_ = PositionOf(record.id);
    if (record.fields.size() >= 2 && record.fields[0] == "r")
      listener_.heard(record.fields[1], position_);
    place_.last_id = record.id;
  }
  const std::lock_guard lock(mutex_);
  stats_.heard += static_cast<int64_t>(records.size());
}

bool RecordLog::WaitCaughtUp(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return stats_.caught_up; });
}

RecordLog::Place RecordLog::place() const {
  const std::lock_guard telling(telling_);
  return place_;
}

RecordLogStats RecordLog::stats() const {
  const std::lock_guard lock(mutex_);
  RecordLogStats stats = stats_;
  stats.waiting = static_cast<int64_t>(queue_.size());
  return stats;
}

void RecordLog::Keep() {
  auto check_at = steady_clock::now();
  bool unanswered = false;  // the last check
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const bool away = !client_->stats().available;
    changed_.wait_for(lock, away ? kAway : options_.check, [&] {
      return stopping_ || (!away && !unanswered && (doubtful_ || !queue_.empty()));
    });
    const bool check = doubtful_ || steady_clock::now() >= check_at;
    lock.unlock();
    if (check && client_->stats().available) {
      unanswered = !Check();
      check_at = steady_clock::now() + options_.check;
    }
    if (client_->stats().available) Flush();
    lock.lock();
  }
  lock.unlock();
  const auto until = steady_clock::now() + options_.budget;
  while (client_->stats().available && steady_clock::now() < until && Flush() > 0) {
  }
}

// Appends what waits, as much as goes into one pipeline; how many were appended.
size_t RecordLog::Flush() {
  std::vector<RedisCommand> commands;
  size_t bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& record : queue_) {
      if (commands.size() == kBatch || (!commands.empty() && bytes + record.size() > kBatchBytes))
        break;
      bytes += record.size();
      commands.push_back({"XADD", Key(options_.name), "MAXLEN", "=",
                          std::to_string(options_.records_max), "*", "r", record});
    }
  }
  if (commands.empty()) return 0;
  const size_t records = commands.size();
  if (options_.expiry.count() > 0)
    commands.push_back({"PEXPIRE", Key(options_.name), std::to_string(options_.expiry.count())});
  const auto replies = client_->Run(commands, steady_clock::now() + options_.budget);
  if (!replies) return 0;
  size_t taken = 0, refused = 0;
  for (size_t i = 0; i < records; ++i) ++((*replies)[i].is_error() ? refused : taken);
  const std::lock_guard lock(mutex_);
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(records));
  stats_.appended += static_cast<int64_t>(taken);
  stats_.dropped += static_cast<int64_t>(refused);
  return taken;
}

// Is it the Redis that was heard, and does it still have what was heard last? False if it does not say.
bool RecordLog::Check() {
  Place place;
  {
    const std::lock_guard telling(telling_);
    place = place_;
  }
  std::vector<RedisCommand> commands = {{"GET", Key("generation")},
                                        {"XRANGE", Key(options_.name), "-", "+", "COUNT", "1"}};
  if (!place.last_id.empty())
    commands.push_back({"XRANGE", Key(options_.name), place.last_id, place.last_id});
  const auto replies = client_->Run(commands, steady_clock::now() + options_.budget);
  if (!replies || std::ranges::any_of(*replies, &RedisReply::is_error)) return false;
  const std::string& generation = (*replies)[0].text;
  const std::string first_id = FirstId((*replies)[1]);
  const bool another =
      !place.generation.empty() && !generation.empty() && place.generation != generation;
  // Trimmed, it is before the first one; else it is gone although it should be there.
  const bool gone = !place.last_id.empty() && FirstId((*replies)[2]).empty() &&
                    (first_id.empty() || PositionOf(first_id) <= PositionOf(place.last_id));
  if (another || gone) {
    Restart();
    return true;
  }
  {
    const std::lock_guard telling(telling_);
    if (!generation.empty()) place_.generation = generation;
    TellTrimmed(first_id);
  }
  const std::lock_guard lock(mutex_);
  doubtful_ = false;
  return true;
}

// REQUIRES: telling_ is held.
void RecordLog::TellTrimmed(const std::string& first_id) {
  const int64_t first = PositionOf(first_id);
  if (first <= trimmed_ || first > position_) return;
  trimmed_ = first;
  if (listener_.trimmed) listener_.trimmed(first);
}

void RecordLog::Restart() {
  LogWarning("answer cache: Redis has lost records of {}; they are read again", options_.name);
  following_.reset();  // nobody tells anything after this
  {
    const std::lock_guard telling(telling_);
    place_ = {};
    position_ = trimmed_ = 0;
    if (listener_.lost) listener_.lost();
    const std::lock_guard lock(mutex_);
    doubtful_ = false;
    stats_.caught_up = false;
    ++stats_.losses;
  }
  Follow();
}

}  // namespace nextgate::cache
