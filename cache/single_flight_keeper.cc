// The thread that speaks to Redis for all leads, and looks after the leaders that are followed.
#include <algorithm>
#include <utility>

#include "cache/single_flight_parts.h"

namespace nextgate::cache {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

// KEYS: lock, stream. ARGV: holder, lease in ms, the stream's expiry in ms, then id, record, …
// 1, or 0 if the turn is somebody else's or nobody's.
constexpr const char* kPublish = R"(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 4, #ARGV, 2 do
  local added = redis.pcall('XADD', KEYS[2], ARGV[i], 'r', ARGV[i + 1])
  if type(added) == 'table' and added.err and
     not string.find(added.err, 'equal or smaller', 1, true) then return added end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1)";

// KEYS: lock, entry, alias. ARGV: holder, then the entry and its time to live in ms if there is one, and its
// id if it has an alias.
constexpr const char* kRelease = R"(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local put = ARGV[2] and redis.pcall('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) or {}
if ARGV[4] and not put.err then redis.pcall('SET', KEYS[3], ARGV[4], 'PX', ARGV[3]) end
redis.call('DEL', KEYS[1])
if put.err then return put end
return 1)";

// KEYS: lock. ARGV: the token of its holder, whichever the term.
constexpr const char* kAbandon = R"(
local holder = redis.call('GET', KEYS[1])
if holder and string.match(holder, ' (.*)$') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1)";

constexpr milliseconds kPause(50);  // after Redis did not answer

}  // namespace

struct SingleFlight::Work {
  enum class Kind { kPublish, kRelease, kAbandon, kWatch } kind;
  TermPtr term;
  std::shared_ptr<Watched> watched;
  RedisCommand command;
};

void SingleFlight::Keep() {
  std::unique_lock lock(mutex_);
  auto last = steady_clock::now() - options_.gather;
  std::optional<steady_clock::time_point> stop_at;
  while (true) {
    changed_.wait_until(lock, NextDue(), [&] { return dirty_ || stopping_; });
    if (stopping_ && !stop_at) stop_at = steady_clock::now() + options_.store_budget;
    if (!stopping_)  // what comes within a moment goes together
      changed_.wait_until(lock, last + options_.gather, [&] { return stopping_; });
    dirty_ = false;
    const auto now = steady_clock::now();
    const std::vector<Work> all = Gather(now);
    if (stop_at && (all.empty() || now > *stop_at)) return;
    if (all.empty()) continue;
    std::vector<RedisCommand> commands;
    bool stores = false;
    for (const Work& work : all) {
      commands.push_back(work.command);
      stores = stores || (work.kind == Work::Kind::kRelease && work.term->entry);
    }
    lock.unlock();
    const auto replies =
        s_.client.Run(commands, now + (stores ? options_.store_budget : options_.publish_budget));
    lock.lock();
    last = steady_clock::now();
    if (replies) {
      for (size_t i = 0; i < all.size(); ++i) Apply(all[i], (*replies)[i], now);
    } else {
      Unanswered(all);
      const bool was_stopping = stopping_;
      changed_.wait_for(lock, kPause, [&] { return stopping_ != was_stopping; });
    }
  }
}

steady_clock::time_point SingleFlight::NextDue() const {
  auto due = steady_clock::now() + std::chrono::hours(1);
  for (const TermPtr& term : terms_) due = std::min(due, term->renew_at);
  return watched_.empty() ? due : std::min(due, watch_at_);
}

// What is to be said to Redis now, in an order that keeps each term's.
std::vector<SingleFlight::Work> SingleFlight::Gather(steady_clock::time_point now) {
  std::vector<Work> all;
  for (const auto& [lock, token] : std::exchange(to_release_, {}))
    all.push_back({Work::Kind::kAbandon, nullptr, nullptr, {"EVAL", kAbandon, "1", lock, token}});
  for (const TermPtr& term : terms_) {
    if (term->in_flight.empty() && !term->pending.empty()) {
      ++term->number;
      term->in_flight = s_.codec.Seal({term->stream, term->holder, term->number},
                                      std::exchange(term->pending, {}));
    }
    if (!term->in_flight.empty() || (now >= term->renew_at && !term->closing)) {
      RedisCommand publish = {"EVAL",
                              kPublish,
                              "2",
                              term->lock,
                              term->stream,
                              term->holder,
                              std::to_string(options_.lease.count()),
                              std::to_string(options_.live_expiry.count())};
      if (!term->in_flight.empty()) {
        publish.push_back(std::to_string(term->number) + "-0");
        publish.push_back(term->in_flight);
      }
      all.push_back({Work::Kind::kPublish, term, nullptr, std::move(publish)});
    }
    if (!term->pending.empty()) dirty_ = true;  // behind a record whose fate is unknown
    if (!term->closing || !term->pending.empty()) continue;
    const bool alias = term->entry && !term->entry->alias_key.empty();
    RedisCommand release = {"EVAL",
                            kRelease,
                            "3",
                            term->lock,
                            term->entry ? term->entry->key : term->lock,
                            alias ? term->entry->alias_key : term->lock,
                            term->holder};
    if (term->entry) {
      release.push_back(term->entry->bytes);
      release.push_back(std::to_string(term->entry->ttl_ms));
      if (alias) release.push_back(term->entry->id);
    }
    all.push_back({Work::Kind::kRelease, term, nullptr, std::move(release)});
  }
  if (now < watch_at_) return all;
  watch_at_ = now + options_.watch;
  std::erase_if(watched_, [](const auto& watched) { return watched.expired(); });
  for (const auto& weak : watched_)
    if (auto watched = weak.lock()) {
      RedisCommand get = {"GET", watched->lock};
      all.push_back({Work::Kind::kWatch, nullptr, std::move(watched), std::move(get)});
    }
  return all;
}

void SingleFlight::Apply(const Work& work, const RedisReply& reply, steady_clock::time_point sent) {
  const bool done = reply.type == RedisReply::Type::kInteger && reply.integer == 1;
  switch (work.kind) {
    case Work::Kind::kWatch:
      if (!reply.is_error() && reply.text != work.watched->holder)
        work.watched->Set(work.watched->gone);
      return;
    case Work::Kind::kAbandon:
      return;
    case Work::Kind::kPublish:
      if (work.term->lost) return;
      if (done) {
        work.term->in_flight.clear();
        work.term->renew_at = sent + options_.renew;
      } else if (reply.is_error()) {
        ++stats_.publish_errors;
        Abandon(*work.term);
      } else {
        Lose(*work.term);
      }
      return;
    case Work::Kind::kRelease:
      if (work.term->lost) return;  // its publication was refused a moment ago
      if (!done && !reply.is_error()) return Lose(*work.term);
      if (work.term->entry) s_.store.CountPut(done);
      std::erase(terms_, work.term);
      return;
  }
}

void SingleFlight::Unanswered(const std::vector<Work>& all) {
  for (const Work& work : all) {
    if (work.kind == Work::Kind::kPublish) ++stats_.publish_errors;
    if (work.kind == Work::Kind::kAbandon)
      to_release_.emplace_back(work.command[3], work.command[4]);
  }
  const auto now = steady_clock::now();
  for (const TermPtr& term : std::vector(terms_))
    if (term->closing && now > term->give_up_at) Lose(*term);
  dirty_ = dirty_ || std::ranges::any_of(terms_, [](const TermPtr& term) {
             return term->closing || !term->in_flight.empty();
           });
  dirty_ = dirty_ || !to_release_.empty();
}

// The turn is not ours any more.
void SingleFlight::Lose(Lead::Term& term) {
  if (term.lost.exchange(true)) return;
  ++stats_.leases_lost;
  term.pending.clear();
  term.in_flight.clear();
  if (term.closing && term.entry) s_.store.CountPut(false);
  std::erase_if(terms_, [&](const TermPtr& other) { return other.get() == &term; });
}

// The turn is ours, and we cannot use it: somebody else may.
void SingleFlight::Abandon(Lead::Term& term) {
  to_release_.emplace_back(term.lock, term.holder.substr(term.holder.find(' ') + 1));
  dirty_ = true;
  Lose(term);
}

}  // namespace nextgate::cache
