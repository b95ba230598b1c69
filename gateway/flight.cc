#include "gateway/flight.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace nextgate::gateway {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kLookAround(20);  // how often a client's leaving is looked for
constexpr size_t kSaidAtOnce = 256;      // deltas that one follower renders while the others wait

}  // namespace

Flight::~Flight() {
  if (home_ != nullptr) home_->Remove(key_.hash, this);
}

void Flight::Begin(std::unique_ptr<AnswerSource> source) {
  {
    const std::lock_guard lock(mutex_);
    CHECK(state_ == State::kOpening);
    num_choices_ = source->num_choices();
    accepted_ = source->accepted();
    source_ = std::move(source);
    state_ = State::kGenerating;
  }
  changed_.notify_all();
}

void Flight::BeginStored(cache::CacheHit hit) {
  {
    const std::lock_guard lock(mutex_);
    CHECK(state_ == State::kOpening);
    stored_ = std::move(hit);
    state_ = State::kStored;
  }
  changed_.notify_all();
}

void Flight::GiveUp() {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kOpening) return;
    state_ = State::kGaveUp;
  }
  if (home_ != nullptr) home_->Remove(key_.hash, this);  // who comes next begins anew
  changed_.notify_all();
}

Flight::Begun Flight::WaitBegun(const std::function<bool()>& client_left) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kLookAround, [&] { return state_ != State::kOpening; })) {
    lock.unlock();
    if (client_left()) return Begun::kClientLeft;
    lock.lock();
  }
  if (state_ == State::kStored) return Begun::kStored;
  return state_ == State::kGenerating ? Begun::kGenerating : Begun::kGaveUp;
}

bool Flight::Behind(const Cursor& cursor) const {
  return cursor.deltas < (ended_ && answer_ ? answer_->num_deltas() : record_.num_deltas()) ||
         cursor.endings < endings_.size();
}

// Waits for somebody's fetch, or fetches once, unless `settled` or the end says that there is no need.
template <class Settled>
void Flight::FetchUnless(std::unique_lock<std::mutex>& lock, milliseconds timeout,
                         const Settled& settled) {
  const auto until = steady_clock::now() + timeout;
  CHECK(state_ == State::kGenerating);
  while (!settled() && !ended_ && steady_clock::now() < until) {
    if (fetching_) {
      changed_.wait_until(lock, until, [&] { return settled() || ended_ || !fetching_; });
      continue;
    }
    fetching_ = true;
    lock.unlock();
    Fetch(timeout);
    lock.lock();
    fetching_ = false;
    // All if there is news; else one, who fetches next.
    settled() || ended_ ? changed_.notify_all() : changed_.notify_one();
    break;
  }
}

bool Flight::Pump(Cursor& cursor, milliseconds timeout, const AnswerSource::Listener& listener) {
  std::unique_lock lock(mutex_);
  FetchUnless(lock, timeout, [&] { return Behind(cursor); });
  Say(cursor, listener);
  return !ended_ || Behind(cursor);
}

bool Flight::AwaitAccepted(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  FetchUnless(lock, timeout, [&] { return accepted_; });
  return accepted_ || ended_;
}

const ForeignReply* Flight::refusal() const {
  const std::lock_guard lock(mutex_);
  return ended_ && !accepted_ && outcome_.refusal ? &*outcome_.refusal : nullptr;
}

// Takes from the engine what there is, waiting up to `timeout` for it, and records it for all.
void Flight::Fetch(milliseconds timeout) {
  bool news = false;
  bool first = false;
  const AnswerSource::Listener recorder = {
      .delta =
          [&](const cache::AnswerDelta& delta) {
            const std::lock_guard lock(mutex_);
            first = first || record_.num_deltas() == 0;
            news = true;
            record_.Append(delta);
          },
      .finish =
          [&](int32_t choice, const cache::AnswerChoice& end) {
            const std::lock_guard lock(mutex_);
            news = true;
            endings_.push_back({.after = record_.num_deltas(), .choice = choice, .end = end});
          }};
  bool more = source_->Pump(timeout, recorder);
  if (news && !first) {  // gather what comes within a moment; the first delta goes at once
    const milliseconds gather = source_->gather();
    const auto until = steady_clock::now() + gather;
    while (more && steady_clock::now() < until) more = source_->Pump(gather, recorder);
  }
  const bool accepted = source_->accepted();
  if (accepted && !accepted_) {  // accepted_ is changed by fetching threads only
    ReplyHeaders headers = source_->reply_headers();
    const std::lock_guard lock(mutex_);
    reply_headers_ = std::move(headers);
    accepted_ = true;
  }
  if (more) return;
  AnswerSource::Outcome outcome = source_->Finish();
  const std::lock_guard lock(mutex_);
  // A source that failed may not say how its choices ended, nor speak of all of them.
  const auto choices = static_cast<size_t>(std::max(num_choices_, record_.num_choices()));
  if (outcome.ending.choices.size() < choices) outcome.ending.choices.resize(choices);
  answer_ = record_.Finish(std::move(outcome.ending));
  outcome_ = std::move(outcome);
  source_.reset();
  ended_ = true;
}

void Flight::Say(Cursor& cursor, const AnswerSource::Listener& listener) const {
  const size_t deltas = ended_ && answer_ ? answer_->num_deltas() : record_.num_deltas();
  for (size_t said = 0; said < kSaidAtOnce && Behind(cursor); ++said) {
    if (cursor.endings < endings_.size() && endings_[cursor.endings].after <= cursor.deltas) {
      const Ending& ending = endings_[cursor.endings++];
      if (listener.finish) listener.finish(ending.choice, ending.end);
    } else if (cursor.deltas < deltas) {
      const size_t i = cursor.deltas++;
      if (listener.delta) listener.delta(ended_ ? answer_->delta(i) : record_.delta(i));
    }
  }
}

Flights::Joined Flights::Join(const cache::CacheKey& key, int64_t position, int64_t floor) {
  std::shared_ptr<Flight> flight;  // let go of after the lock is: its end comes back to Remove
  const std::lock_guard lock(mutex_);
  Entry& entry = flights_[key.hash];
  flight = entry.flight.lock();
  if (flight != nullptr && flight->key_.material != key.material)
    return {.flight = std::make_shared<Flight>(position), .first = true};
  if (flight != nullptr && flight->position_ >= floor) return {.flight = flight};
  std::shared_ptr<Flight> joined(new Flight(*this, key, position));
  entry = {.identity = joined.get(), .flight = joined};
  return {.flight = std::move(joined), .first = true};
}

void Flights::Remove(const Hash128& hash, const Flight* identity) {
  const std::lock_guard lock(mutex_);
  const auto found = flights_.find(hash);
  // A new flight may have taken the place since this one could no longer be joined.
  if (found != flights_.end() && found->second.identity == identity) flights_.erase(found);
}

bool Flights::Flying(const cache::CacheKey& key) const {
  std::shared_ptr<Flight> flight;  // let go of without the lock: it may be the last to hold it
  {
    const std::lock_guard lock(mutex_);
    const auto found = flights_.find(key.hash);
    if (found != flights_.end()) flight = found->second.flight.lock();
  }
  return flight != nullptr && flight->key_.material == key.material;
}

size_t Flights::size() const {
  const std::lock_guard lock(mutex_);
  return flights_.size();
}

}  // namespace nextgate::gateway
