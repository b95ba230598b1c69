#include "gateway/remote_source.h"

#include <utility>

#include "base/log.h"

namespace nextgate::gateway {

using cache::AnswerChoice;
using cache::AnswerDelta;
using cache::Follower;
using cache::LiveBatch;
using std::chrono::milliseconds;
using Word = Follower::Word;

namespace {

constexpr int kBrokenMax = 3;
constexpr size_t kRecordBytes = 64 << 10;  // of what is published again at once

bool EndedByItself(const AnswerChoice& end) {
  return end.finish_reason != "error" && end.finish_reason != "abort";
}

class Published final : public AnswerSource {
 public:
  Published(std::unique_ptr<AnswerSource> source, std::shared_ptr<cache::Lead> lead)
      : source_(std::move(source)),
        lead_(std::move(lead)),
        num_choices_(source_->num_choices()),
        gather_(source_->gather()) {
    Note();
  }

  bool Pump(milliseconds timeout, const Listener& listener) override {
    // A delta and the end of its choice are published together: a choice that was published without an
    // end can be gone on with. One that fails says last what it would not have said otherwise (half a
    // character, the beginning of a stop string): of that nothing is published.
    LiveBatch batch;
    bool failed = false;
    const Listener both = {.delta =
                               [&](const AnswerDelta& delta) {
                                 batch.Delta(delta);
                                 if (listener.delta) listener.delta(delta);
                               },
                           .finish =
                               [&](int32_t choice, const AnswerChoice& end) {
                                 failed = failed || !EndedByItself(end);
                                 batch.Finish(choice, end);
                                 if (listener.finish) listener.finish(choice, end);
                               }};
    const bool more = source_->Pump(timeout, both);
    Note();
    if (failed) lead_.reset();  // what failed here may not fail elsewhere
    if (lead_ != nullptr && !batch.empty()) lead_->Publish(batch);
    if (more) return true;
    outcome_ = source_->Finish();
    source_.reset();
    if (lead_ != nullptr && outcome_.complete) {
      lead_->End(outcome_.ending);
      outcome_.sharing.lead = std::move(lead_);
    }
    lead_.reset();
    return false;
  }

  Outcome Finish() const override { return outcome_; }
  int32_t num_choices() const override { return num_choices_; }
  bool accepted() const override { return accepted_; }
  ReplyHeaders reply_headers() const override { return reply_headers_; }
  milliseconds gather() const override { return gather_; }

 private:
  void Note() {
    if (accepted_ || !source_->accepted()) return;
    accepted_ = true;
    reply_headers_ = source_->reply_headers();
  }

  std::unique_ptr<AnswerSource> source_;
  std::shared_ptr<cache::Lead> lead_;
  const int32_t num_choices_;
  const milliseconds gather_;
  bool accepted_ = false;
  ReplyHeaders reply_headers_;
  Outcome outcome_;
};

void PublishAgain(const Said& said, cache::Lead& lead) {
  LiveBatch batch;
  const auto flush = [&](size_t size) {
    if (batch.bytes().size() >= size) lead.Publish(std::exchange(batch, {}));
  };
  said.Tell(
      {.delta =
           [&](const AnswerDelta& delta) {
             flush(kRecordBytes);
             batch.Delta(delta);
           },
       .finish = [&](int32_t choice, const AnswerChoice& end) { batch.Finish(choice, end); }});
  flush(1);
}

}  // namespace

std::unique_ptr<AnswerSource> PublishedSource(std::unique_ptr<AnswerSource> source,
                                              std::shared_ptr<cache::Lead> lead) {
  return std::make_unique<Published>(std::move(source), std::move(lead));
}

Word RemoteSource::Listen(milliseconds timeout) {
  const Word word = Hear(timeout, {});
  num_choices_ = follower_->num_choices();
  position_ = follower_->position();
  return word;
}

// Keeps in said_ what it passes on to `listener`, which must outlive it.
AnswerSource::Listener RemoteSource::Recording(const Listener& listener) {
  return {.delta =
              [&](const AnswerDelta& delta) {
                said_.Add(delta);
                if (listener.delta) listener.delta(delta);
              },
          .finish =
              [&](int32_t choice, const AnswerChoice& end) {
                said_.Finish(choice, end);
                if (listener.finish) listener.finish(choice, end);
              }};
}

// What the follower tells goes into said_ and to the listener, unless it was said before.
Word RemoteSource::Hear(milliseconds timeout, const Listener& listener) {
  const Listener tell = Recording(listener);
  const Word word = follower_->Hear(
      timeout, {.hello = {},
                .delta =
                    [&](const AnswerDelta& delta) {
                      if (!retelling_) return tell.delta(delta);
                      contradicted_ = contradicted_ || !retelling_->Delta(delta, tell);
                    },
                .finish =
                    [&](int32_t choice, const AnswerChoice& end) {
                      if (!retelling_) return tell.finish(choice, end);
                      contradicted_ = contradicted_ || !retelling_->Finish(choice, end, tell);
                    },
                .end = {},
                .given_up = {}});
  if (word == Word::kEnded && retelling_ && !retelling_->Covered()) contradicted_ = true;
  return contradicted_ ? Word::kForeign : word;
}

bool RemoteSource::Pump(milliseconds timeout, const Listener& listener) {
  if (!std::exchange(kept_told_, true) && !said_.empty()) {
    said_.Tell(listener);
    return true;
  }
  if (own_ != nullptr) {
    if (own_->Pump(timeout, listener)) return true;
    outcome_ = own_->Finish();
    outcome_.sharing.position = position_;
    own_.reset();
    return false;
  }
  switch (Hear(timeout, listener)) {
    case Word::kNews:
      broken_ = 0;
      return true;
    case Word::kNothing:
      return true;
    case Word::kEnded:
      EndAsHeard(follower_->ending());
      return false;
    case Word::kGone:
      return TakeOver(listener);
    case Word::kBroken:
      return ++broken_ < kBrokenMax ? TakeOver(listener) : GoOn(nullptr);
    case Word::kSilent:   // no time to ask Redis what it will not say
    case Word::kForeign:  // the turn is somebody's, and of no use to us
      return GoOn(nullptr);
  }
  return false;
}

void RemoteSource::EndAsHeard(const cache::AnswerBuilder::Ending& ending) {
  outcome_ = {.ending = ending, .usage = ending.usage, .complete = true};
  for (const AnswerChoice& choice : ending.choices)
    outcome_.finish_reasons.push_back(choice.finish_reason);
  outcome_.sharing.here_only = true;  // who told it stores it
  outcome_.sharing.position = position_;
}

// The leader is gone: the answer is stored, or another leads, or we do. False when all was said.
bool RemoteSource::TakeOver(const Listener& listener) {
  auto turn = s_.single_flight.Take(question_.key, /*goes_on=*/!said_.empty());
  if (turn.entry != nullptr) {
    const auto hit = s_.exact.Accept(std::move(turn.entry), question_.key, question_.plan);
    if (hit && TellStored(*hit->answer, listener)) return false;
    return GoOn(nullptr);
  }
  if (turn.follower != nullptr) {
    follower_ = std::move(turn.follower);
    retelling_.emplace(said_);
    return true;
  }
  if (turn.lead == nullptr) return GoOn(nullptr);
  // Nobody writes to the old stream any more: what is in it now is all that others may have heard.
  follower_->ReadRest();
  Word word = Word::kNews;
  while (word == Word::kNews) word = Hear(milliseconds(0), listener);
  if (word != Word::kEnded) return GoOn(std::move(turn.lead));
  EndAsHeard(follower_->ending());
  turn.lead->Hello(num_choices_, position_);
  PublishAgain(said_, *turn.lead);
  turn.lead->End(outcome_.ending);
  outcome_.sharing = {.here_only = false, .position = position_, .lead = std::move(turn.lead)};
  return false;
}

// With our own generator, from what was said on. `lead` may be null: then alone.
bool RemoteSource::GoOn(std::shared_ptr<cache::Lead> lead) {
  LogInfo("req={} goes on with an answer that another instance began", question_.id);
  auto source = s_.generator.Continue(question_.request, question_.id, said_);
  if (!source && (source.error().code == ErrorCode::kUnimplemented ||
                  source.error().code == ErrorCode::kDataLoss)) {
    source = s_.generator.Start(question_.request, question_.id);
    if (source) source = TellTheRest(std::move(*source), said_);
  }
  if (!source) {
    outcome_.error = source.error().message;
    outcome_.error_code = source.error().code;
    return false;
  }
  own_ = std::move(*source);
  if (lead == nullptr) return true;
  lead->Hello(num_choices_, position_);
  PublishAgain(said_, *lead);
  own_ = PublishedSource(std::move(own_), std::move(lead));
  return true;
}

// False if the stored answer is another than the one that was begun.
bool RemoteSource::TellStored(const cache::Answer& answer, const Listener& listener) {
  Retelling retelling(said_);
  const Listener tell = Recording(listener);
  const auto choices = answer.choices();
  if (choices.size() != static_cast<size_t>(num_choices_)) return false;
  for (size_t i = 0; i < answer.num_deltas(); ++i)
    if (!retelling.Delta(answer.delta(i), tell)) return false;
  for (size_t c = 0; c < choices.size(); ++c)
    if (!retelling.Finish(static_cast<int32_t>(c), choices[c], tell)) return false;
  EndAsHeard({.choices = {choices.begin(), choices.end()},
              .usage = answer.usage(),
              .extras = answer.extras()});
  return true;
}

}  // namespace nextgate::gateway
