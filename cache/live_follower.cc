#include <charconv>
#include <utility>

#include "cache/single_flight_parts.h"

namespace nextgate::cache {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kLastWords(20);

// "7-0" → 7; 0 if it is none of our ids.
uint64_t NumberOf(std::string_view id) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
  return error == std::errc() && std::string_view(end, id.data() + id.size()) == "-0" ? number : 0;
}

}  // namespace

Follower::Follower(SingleFlight& home, std::string material_digest,
                   std::shared_ptr<SingleFlight::Watched> watched)
    : home_(home), material_digest_(std::move(material_digest)), watched_(std::move(watched)) {
  // The listeners hold what they fill: they may run until following_ is destroyed.
  following_ =
      home_.s_.tail.Follow(watched_->stream, "0",
                           {.records =
                                [w = watched_](std::vector<RedisTail::Record> records) {
                                  {
                                    const std::lock_guard lock(w->mutex);
                                    for (auto& record : records)
                                      w->inbox.push_back(std::move(record));
                                  }
                                  w->changed.notify_all();
                                },
                            .lost =
                                [w = watched_](RedisTail::Loss loss) {
                                  w->Set(loss == RedisTail::Loss::kSilent ? w->silent : w->broken);
                                }});
}

Follower::~Follower() = default;

Follower::Word Follower::Hear(milliseconds timeout, const LiveListener& listener) {
  if (last_word_ != Word::kNothing) return last_word_;
  std::deque<RedisTail::Record> records;
  bool gone = false, broken = false, silent = false;
  {
    std::unique_lock lock(watched_->mutex);
    const auto news = [&] {
      return !watched_->inbox.empty() || watched_->broken || watched_->silent;
    };
    watched_->changed.wait_for(lock, timeout, [&] { return news() || watched_->gone; });
    // The lock may be seen to be released before the last records are.
    if (watched_->gone) watched_->changed.wait_for(lock, kLastWords, news);
    records.swap(watched_->inbox);
    gone = watched_->gone;
    broken = watched_->broken;
    silent = watched_->silent;
  }
  for (const RedisTail::Record& record : records) {
    if (!Read(record, listener)) return last_word_ = Word::kForeign;
    if (last_word_ != Word::kNothing) return last_word_;  // kEnded, kGone
  }
  if (!records.empty()) return Word::kNews;
  if (gone) return last_word_ = Word::kGone;
  if (broken) return last_word_ = Word::kBroken;
  if (silent) return last_word_ = Word::kSilent;
  return Word::kNothing;
}

// False if it is not the next record of our answer.
bool Follower::Read(const RedisTail::Record& record, const LiveListener& listener) {
  const uint64_t number = NumberOf(record.id);
  if (number != 0 && number <= number_) return true;  // ReadRest and the tail overlap
  if (number != number_ + 1 || record.fields.size() != 2) return false;
  const auto events =
      home_.s_.codec.Open({watched_->stream, watched_->holder, number}, record.fields[1]);
  if (!events) return false;
  number_ = number;
  bool ours = true;
  const LiveListener checked = {
      .hello =
          [&](std::string_view digest, int32_t num_choices, int64_t position) {
            ours = ours && !begun() && digest == material_digest_ && num_choices > 0;
            num_choices_ = num_choices;
            position_ = position;
          },
      .delta =
          [&](const AnswerDelta& delta) {
            ours = ours && delta.choice < num_choices_;
            if (ours && listener.delta) listener.delta(delta);
          },
      .finish =
          [&](int32_t choice, const AnswerChoice& end) {
            ours = ours && choice < num_choices_;
            if (ours && listener.finish) listener.finish(choice, end);
          },
      .end =
          [&](AnswerBuilder::Ending ending) {
            ours = ours && ending.choices.size() == static_cast<size_t>(num_choices_);
            ending_ = std::move(ending);
            last_word_ = Word::kEnded;
          },
      .given_up = [&] { last_word_ = Word::kGone; }};
  return TellEvents(*events, checked) && ours;
}

void Follower::ReadRest() {
  following_.reset();
  const RedisCommand range[] = {
      {"XRANGE", watched_->stream, std::to_string(number_ + 1) + "-0", "+"}};
  const auto replies = home_.s_.client.Run(range, steady_clock::now() + home_.options_.turn_budget);
  last_word_ = Word::kNothing;
  if (!replies) return;
  const std::lock_guard lock(watched_->mutex);
  for (const RedisReply& entry : replies->front().elements) {
    if (entry.elements.size() != 2) continue;
    RedisTail::Record record{.id = entry.elements[0].text, .fields = {}};
    for (const RedisReply& field : entry.elements[1].elements) record.fields.push_back(field.text);
    watched_->inbox.push_back(std::move(record));
  }
}

}  // namespace nextgate::cache
