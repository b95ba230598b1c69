// An answer that another instance tells, and whoever goes on with it when that one is gone. See
// gateway/shared_flight.h.
//
// Threads: one at a time.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "cache/exact_cache.h"
#include "cache/single_flight.h"
#include "gateway/generator.h"
#include "gateway/said.h"

namespace nextgate::gateway {

class RemoteSource final : public AnswerSource {
 public:
  struct Services {
    cache::SingleFlight& single_flight;
    cache::ExactCache& exact;
    Generator& generator;
  };
  struct Question {
    std::shared_ptr<const openai::ApiRequest> request;
    std::string id;
    cache::CacheKey key;
    cache::CachePlan plan;
  };
  RemoteSource(const Services& services, Question question,
               std::unique_ptr<cache::Follower> follower)
      : s_(services), question_(std::move(question)), follower_(std::move(follower)) {}

  // Waits for the leader's first word; what he says is kept for Pump.
  cache::Follower::Word Listen(std::chrono::milliseconds timeout);
  bool begun() const { return follower_->begun(); }
  int64_t position() const { return position_; }  // of the leader's, once it has begun

  bool Pump(std::chrono::milliseconds timeout, const Listener& listener) override;
  Outcome Finish() const override { return outcome_; }
  int32_t num_choices() const override { return num_choices_; }
  // The leader's generator may refuse after his hello; then ours is asked, and its refusal passed on.
  bool accepted() const override { return !said_.empty() || (own_ != nullptr && own_->accepted()); }

 private:
  Listener Recording(const Listener& listener);
  cache::Follower::Word Hear(std::chrono::milliseconds timeout, const Listener& listener);
  bool TakeOver(const Listener& listener);
  bool GoOn(std::shared_ptr<cache::Lead> lead);
  bool TellStored(const cache::Answer& answer, const Listener& listener);
  void EndAsHeard(const cache::AnswerBuilder::Ending& ending);

  const Services s_;
  const Question question_;
  std::unique_ptr<cache::Follower> follower_;
  int32_t num_choices_ = 0;
  int64_t position_ = 0;    // cache::EntryOrigin::position of the oldest word in said_
  Said said_;               // by whoever told the answer before own_
  bool kept_told_ = false;  // what was said before the first Pump has been told
  std::optional<Retelling>
      retelling_;  // follower_ is not the first: he tells it from the beginning
  bool contradicted_ = false;
  int broken_ = 0;  // times in a row that touch with Redis was lost
  std::unique_ptr<AnswerSource> own_;
  Outcome outcome_;
};

// `source`, published as it speaks. See SharedFlights::Publish.
std::unique_ptr<AnswerSource> PublishedSource(std::unique_ptr<AnswerSource> source,
                                              std::shared_ptr<cache::Lead> lead);

}  // namespace nextgate::gateway
