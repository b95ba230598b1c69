#include "cache/redis/invalidation_log.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cache/hmac.h"

namespace nextgate::cache {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kTurn(200);               // of the thread, if nobody wakes it
constexpr milliseconds kClocksApart(3'600'000);  // Redis' and ours, at most

int64_t SteadyNs() { return steady_clock::now().time_since_epoch().count(); }

// KEYS: stream. ARGV: oldest time to keep (ms), record, the highest time (ms) of a position that the
// publisher has handed out. Redis' clock may be behind another's that was here before: the record has to
// come after whatever the publisher knows.
constexpr const char* kPublish = R"(
local added = redis.pcall('XADD', KEYS[1], 'MINID', '~', ARGV[1], '*', 'r', ARGV[2])
if type(added) == 'table' and added.err then return added end
if tonumber(string.match(added, '^%d+')) <= tonumber(ARGV[3]) then
  local later = redis.pcall('XADD', KEYS[1], string.format('%.0f-0', tonumber(ARGV[3]) + 1), 'r', ARGV[2])
  if type(later) == 'string' then return later end
end
return added)";

}  // namespace

InvalidationLog::InvalidationLog(Options options, const Services& services)
    : options_(std::move(options)), s_(services), heard_ns_(SteadyNs()) {
  if (shared()) {
    s_.invalidations.SetKnown(false);
    Follow();
  }
  thread_ = std::thread([this] { Keep(); });
  pthread_setname_np(thread_.native_handle(), "invalidations");
}

InvalidationLog::~InvalidationLog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  following_.reset();
}

std::string InvalidationLog::Key(const char* name) const {
  return fmt::format("{{{}}}:{}", options_.name_space, name);
}

// From its beginning; at its end, what is known and was not found is missing there.
void InvalidationLog::ReadAgain() {
  following_.reset();  // what it is told of a new Redis begins in the middle
  {
    const std::lock_guard lock(mutex_);
    doubtful_ = false;
    found_.emplace();
  }
  Follow();
}

void InvalidationLog::Follow() {
  following_ = s_.tail->Follow(
      Key("invalidations"), "0",
      {.records = [this](const std::vector<RedisTail::Record>& records) { Heard(records); },
       .lost = nullptr,
       .caught_up = [this] { CaughtUp(); },
       .connected = [this] { Connected(); }},
      options_.pace);
}

void InvalidationLog::Heard(const std::vector<RedisTail::Record>& records) {
  for (const RedisTail::Record& record : records) {
    const int64_t position = PositionOf(record.id);
    if (record.fields.size() < 2 || position == 0) continue;
    InvalidationRecord known = InvalidationRecord::Unpack(record.fields[1], s_.keys);
    known.position = position;
    {
      const std::lock_guard lock(mutex_);
      heard_ = true;
      if (found_) found_->insert(known.id);
    }
    s_.invalidations.Add(std::move(known));
  }
  {
    const std::lock_guard lock(mutex_);
    news_ = true;
  }
  changed_.notify_all();
}

void InvalidationLog::Connected() {
  const std::lock_guard lock(mutex_);
  reconnected_ = heard_;
}

void InvalidationLog::CaughtUp() {
  heard_ns_.store(SteadyNs(), std::memory_order_release);
  {
    const std::lock_guard lock(mutex_);
    heard_ = true;
    if (known_ && !reconnected_ && !found_) return;
    if (std::exchange(reconnected_, false)) {
      doubtful_ = true;
    } else if (found_) {
      FindMissing();
    }
    if (!known_) s_.invalidations.SetKnown(true);
    known_ = true;
  }
  changed_.notify_all();
}

// REQUIRES: mutex_ is held; the stream was read to its end.
void InvalidationLog::FindMissing() {
  const int64_t trimmed_ms = s_.clock.UnixMs() -
                             std::chrono::duration_cast<milliseconds>(options_.keep).count() +
                             kClocksApart.count();
  for (InvalidationRecord& record : s_.invalidations.List()) {
    if (PositionMs(record.position) < trimmed_ms) continue;  // perhaps it is no longer kept
    const bool waits = std::ranges::any_of(
        pending_, [&](const InvalidationRecord& other) { return other.id == record.id; });
    if (!waits && !found_->contains(record.id)) pending_.push_back(std::move(record));
  }
  found_.reset();
}

bool InvalidationLog::WaitKnown(milliseconds timeout) {
  if (!shared()) return true;
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return known_; });
}

bool InvalidationLog::Stale() const {
  if (!shared()) return false;
  const auto silent =
      std::chrono::nanoseconds(SteadyNs() - heard_ns_.load(std::memory_order_acquire));
  return silent > options_.max_stale;
}

int64_t InvalidationLog::pending() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(pending_.size());
}

InvalidationRecord InvalidationLog::Issue(InvalidationPredicate predicate) {
  InvalidationRecord record = s_.invalidations.Issue(std::move(predicate), s_.clock.UnixMs());
  record.shared = shared() && Publish(record);
  {
    const std::lock_guard lock(mutex_);
    if (shared() && !record.shared) pending_.push_back(record);
    news_ = true;
  }
  changed_.notify_all();
  return record;
}

// True once Redis has said that it has it. Sent again after a lost reply it is there twice, which is
// once for all who read it.
bool InvalidationLog::Publish(InvalidationRecord record) {
  const int64_t oldest_ms =
      s_.clock.UnixMs() - std::chrono::duration_cast<milliseconds>(options_.keep).count();
  const RedisCommand publish[] = {{"EVAL", kPublish, "1", Key("invalidations"),
                                   std::to_string(oldest_ms), record.Pack(s_.keys),
                                   std::to_string(PositionMs(s_.invalidations.position()))}};
  const auto replies = s_.client->Run(publish, steady_clock::now() + options_.budget);
  if (!replies) return false;
  if (const auto status = replies->front().ToStatus("XADD"); !status) {
    LogWarning("invalidation {}: Redis does not take it: {}", record.id, status.error().message);
    return false;
  }
  const int64_t position = PositionOf(replies->front().text);
  if (position == 0) return false;
  record.position = position;
  s_.invalidations.Add(std::move(record));
  return true;
}

void InvalidationLog::PublishPending() {
  std::vector<InvalidationRecord> all;
  {
    const std::lock_guard lock(mutex_);
    all = pending_;
  }
  for (const InvalidationRecord& record : all) {
    if (!s_.client->stats().available || !Publish(record)) return;
    LogInfo("invalidation {}: all instances know of it now", record.id);
    const std::lock_guard lock(mutex_);
    std::erase_if(pending_, [&](const auto& other) { return other.id == record.id; });
  }
}

void InvalidationLog::CompareGeneration() {
  const RedisCommand ask[] = {{"SET", Key("generation"), Hex(RandomBytes(16)), "NX"},
                              {"GET", Key("generation")}};
  const auto replies = s_.client->Run(ask, steady_clock::now() + options_.budget);
  if (!replies || replies->back().type != RedisReply::Type::kString) return;
  const std::string& now = replies->back().text;
  if (!generation_.empty() && generation_ != now) {
    LogWarning(
        "answer cache: this is another Redis than before, or it was restarted empty: invalidations "
        "may be lost with it, so {} answers kept in memory are dropped",
        s_.store.stats().entries);
    {
      const std::lock_guard lock(mutex_);
      known_ = false;
      s_.invalidations.SetKnown(false);
    }
    s_.store.Clear();
    ReadAgain();
  }
  generation_ = now;
}

void InvalidationLog::Keep() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait_for(lock, kTurn, [&] { return stopping_ || news_; });
    if (stopping_) return;
    const bool sweep = std::exchange(news_, false);
    const bool doubtful = doubtful_;
    lock.unlock();
    if (doubtful) ReadAgain();
    if (sweep) s_.invalidations.Sweep(s_.store);
    s_.invalidations.Forget(s_.clock.UnixMs() -
                            std::chrono::duration_cast<milliseconds>(options_.keep).count());
    if (shared() && s_.client->stats().available) {
      CompareGeneration();
      PublishPending();
    }
    lock.lock();
  }
}

}  // namespace nextgate::cache
