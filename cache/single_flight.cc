#include "cache/single_flight.h"

#include <fmt/format.h>
#include <pthread.h>

#include <utility>

#include "cache/hmac.h"
#include "cache/single_flight_parts.h"

namespace nextgate::cache {

using std::chrono::steady_clock;

namespace {

// Behind kLookEither. KEYS: entry, alias or the entry again, lock, term. ARGV: the beginning of entries' keys, token,
// lease in ms. A Redis without room still says what it knows.
constexpr const char* kTake = R"(
local holder = redis.call('GET', KEYS[3])
if holder then return {'held', holder, ''} end
local term = redis.pcall('INCR', KEYS[4])
if type(term) ~= 'number' then return {'refused', '', ''} end
local set = redis.pcall('SET', KEYS[3], term .. ' ' .. ARGV[2], 'PX', ARGV[3])
if set.err then return {'refused', '', ''} end
return {'led', term, ''})";

constexpr size_t kToReleaseMax = 1024;

}  // namespace

SingleFlight::SingleFlight(Options options, const Services& services)
    : options_(std::move(options)), s_(services), keeper_([this] { Keep(); }) {
  pthread_setname_np(keeper_.native_handle(), "flight-keeper");
}

SingleFlight::~SingleFlight() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  keeper_.join();
}

std::string SingleFlight::Key(std::string_view kind, const Hash128& hash) const {
  return fmt::format("{{{}}}:{}:{}", options_.name_space, kind, hash.Hex());
}

SingleFlight::Turn SingleFlight::Take(const CacheKey& key, bool goes_on,
                                      const CacheKey* normalised) {
  static const std::string script = std::string(RedisStore::kLookEither) + kTake;
  const std::string token = Hex(RandomBytes(12));
  const bool either = normalised != nullptr && !normalised->material.empty();
  const RedisCommand take[] = {
      {"EVAL", script, "4", s_.store.Key(key.hash),
       either ? s_.store.AliasKey(normalised->hash) : s_.store.Key(key.hash), Key("lock", key.hash),
       fmt::format("{{{}}}:term", options_.name_space),
       fmt::format("{{{}}}:e:", options_.name_space), token,
       std::to_string(options_.lease.count())}};
  const auto deadline = steady_clock::now() + options_.turn_budget;
  const bool sent = s_.client.stats().available;
  auto replies = s_.client.Run(take, deadline);
  if (sent && !replies) GiveBack(Key("lock", key.hash), token);
  const bool answered = replies && replies->front().elements.size() == 3;
  const std::string what = answered ? replies->front().elements[0].text : "";
  if (what == "entry" || what == "alias") {
    auto found = s_.store.ReadEither(key.hash, replies->front());
    if (found.entry) return {.entry = std::move(found.entry), .alias_of = found.alias_of};
    if (what == "alias") return Take(key, goes_on);  // damaged: as if there were none
  } else if (replies && replies->front().text.starts_with("TRYAGAIN")) {
    // A cluster moves our keys to another node, and some are here and some are there.
    if (auto entry = s_.store.Get(key.hash, deadline)) return {.entry = std::move(entry)};
  } else {
    s_.store.CountLookup(answered);
  }
  if (what == "led") return Led(key, token, replies->front().elements[1].integer, goes_on);
  if (what == "held") return Followed(key, std::move(replies->front().elements[1].text));
  const std::lock_guard lock(mutex_);
  ++stats_.alone;
  return {};
}

SingleFlight::Turn SingleFlight::Led(const CacheKey& key, const std::string& token, int64_t term,
                                     bool goes_on) {
  const auto now = steady_clock::now();
  TermPtr ours(new Lead::Term{.hash = key.hash,
                              .lock = Key("lock", key.hash),
                              .stream = fmt::format("{}:{}", Key("live", key.hash), term),
                              .holder = fmt::format("{} {}", term, token),
                              .material_digest = s_.codec.DigestOf(key.material),
                              .pending = {},
                              .in_flight = {},
                              .renew_at = now + options_.renew,
                              .entry = {},
                              .give_up_at = {}});
  {
    const std::lock_guard lock(mutex_);
    ++stats_.leads;
    if (goes_on) ++stats_.takeovers;
    terms_.push_back(ours);
    dirty_ = true;  // the keeper has one more lease to renew
  }
  changed_.notify_all();
  return {.lead = std::shared_ptr<Lead>(new Lead(*this, std::move(ours)))};
}

SingleFlight::Turn SingleFlight::Followed(const CacheKey& key, std::string holder) {
  const std::string term = holder.substr(0, holder.find(' '));
  auto watched = std::make_shared<Watched>(
      Key("lock", key.hash), fmt::format("{}:{}", Key("live", key.hash), term), std::move(holder));
  {
    const std::lock_guard lock(mutex_);
    ++stats_.follows;
    watched_.push_back(watched);
    dirty_ = true;
  }
  changed_.notify_all();
  return {.follower = std::unique_ptr<Follower>(
              new Follower(*this, s_.codec.DigestOf(key.material), std::move(watched)))};
}

SingleFlightStats SingleFlight::stats() const {
  const std::lock_guard lock(mutex_);
  SingleFlightStats stats = stats_;
  stats.leading = static_cast<int64_t>(terms_.size());
  return stats;
}

// Perhaps it is ours.
void SingleFlight::GiveBack(std::string lock, std::string token) {
  {
    const std::lock_guard lock_guard(mutex_);
    if (to_release_.size() >= kToReleaseMax) return;  // then it ends by itself
    to_release_.emplace_back(std::move(lock), std::move(token));
    dirty_ = true;
  }
  changed_.notify_all();
}

void SingleFlight::Append(Lead::Term& term, std::string_view events) {
  {
    const std::lock_guard lock(mutex_);
    if (term.lost || events.empty()) return;
    term.pending += events;
    term.bytes += events.size();
    if (term.bytes > options_.live_bytes_max) Abandon(term);
    dirty_ = true;
  }
  changed_.notify_all();
}

void SingleFlight::Close(const TermPtr& term) {
  {
    const std::lock_guard lock(mutex_);
    if (term->closing) return;
    term->closing = true;
    if (term->lost) {
      if (term->entry) s_.store.CountPut(false);
      return;
    }
    term->give_up_at = steady_clock::now() + options_.lease;
    dirty_ = true;
  }
  changed_.notify_all();
}

Lead::~Lead() {
  if (!term_->ended) {
    LiveBatch batch;
    batch.GiveUp();
    home_.Append(*term_, batch.bytes());
  }
  home_.Close(term_);
}

void Lead::Hello(int32_t num_choices, int64_t position) {
  LiveBatch batch;
  batch.Hello(term_->material_digest, num_choices, position);
  home_.Append(*term_, batch.bytes());
}

void Lead::Publish(const LiveBatch& batch) { home_.Append(*term_, batch.bytes()); }

void Lead::End(const AnswerBuilder::Ending& ending) {
  LiveBatch batch;
  batch.End(ending);
  home_.Append(*term_, batch.bytes());
  term_->ended = true;
}

bool Lead::Store(const StoredAnswer& entry, const std::optional<Hash128>& alias) {
  auto sealed = home_.s_.store.Seal(term_->hash, entry, alias);
  const bool storable = sealed.has_value();
  if (!storable) home_.s_.store.CountPut(false);
  {
    const std::lock_guard lock(home_.mutex_);
    if (!term_->closing) term_->entry = std::move(sealed);
  }
  home_.Close(term_);
  return storable && !lost();
}

bool Lead::lost() const { return term_->lost; }

}  // namespace nextgate::cache
