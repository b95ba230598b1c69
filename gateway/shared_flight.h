// Equal requests on several instances are generated once: the place of cache/single_flight.h in a
// request. The first of this process who asks for an answer takes the turn, or listens to the instance
// that has it; everybody else of this process follows his Flight, whose AnswerSource is one of
//
//   our generator, told to the other instances as it speaks (Publish)
//   another instance, as long as it speaks; when it is gone, another one's next term, or our own
//   generator going on from what was said (Take: remote)
//
// The clients hear one answer, whoever tells it. Without Redis there is only our generator.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cache/exact_cache.h"
#include "cache/single_flight.h"
#include "gateway/generator.h"

namespace nextgate::gateway {

class SharedFlights {
 public:
  // All must outlive it, and it the sources.
  SharedFlights(cache::SingleFlight& single_flight, cache::ExactCache& exact, Generator& generator)
      : single_flight_(single_flight), exact_(exact), generator_(generator) {}

  struct Turn {
    std::optional<cache::CacheHit> hit;    // it is stored
    std::unique_ptr<AnswerSource> remote;  // another instance is at it
    std::shared_ptr<cache::Lead> lead;     // ours, to be given to Publish or dropped
    bool client_left = false;
  };
  // At most one is set; none: generate, and tell nobody. Waits until the other instance's answer has
  // begun or it has given up, asking `client_left` now and then. What began below `floor` was invalidated
  // (cache::ExactCache::Floor): it is not listened to. `normalised`: what is stored for it is a hit too.
  Turn Take(const std::shared_ptr<const openai::ApiRequest>& request, const std::string& id,
            const cache::CacheKey& key, const cache::CachePlan& plan,
            const std::function<bool()>& client_left, int64_t floor = 0,
            const cache::CacheKey* normalised = nullptr);

  // `source`, told to the other instances too, as begun at `position` (cache::EntryOrigin). `lead` may
  // be null: then it is not.
  std::unique_ptr<AnswerSource> Publish(std::unique_ptr<AnswerSource> source,
                                        std::shared_ptr<cache::Lead> lead, int64_t position = 0);

 private:
  cache::SingleFlight& single_flight_;
  cache::ExactCache& exact_;
  Generator& generator_;
};

}  // namespace nextgate::gateway
