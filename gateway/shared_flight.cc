#include "gateway/shared_flight.h"

#include <chrono>
#include <thread>
#include <utility>

#include "gateway/remote_source.h"

namespace nextgate::gateway {

using cache::Follower;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kLookAround(20);  // how often a client's leaving is looked for
constexpr milliseconds kBetweenTurns(2);
constexpr int kTurnsMax = 50;  // of others, that come to nothing
constexpr int kBrokenMax = 2;

}  // namespace

SharedFlights::Turn SharedFlights::Take(const std::shared_ptr<const openai::ApiRequest>& request,
                                        const std::string& id, const cache::CacheKey& key,
                                        const cache::CachePlan& plan,
                                        const std::function<bool()>& client_left, int64_t floor,
                                        const cache::CacheKey* normalised) {
  int broken = 0;
  for (int turns = 0; turns < kTurnsMax; ++turns) {
    auto turn = single_flight_.Take(key, /*goes_on=*/false, normalised);
    if (turn.alias_of) {
      if (auto hit =
              exact_.AcceptNormalised(*turn.alias_of, std::move(turn.entry), *normalised, plan))
        return {.hit = std::move(hit)};
      normalised = nullptr;  // dead, or another's
      continue;
    }
    if (turn.entry != nullptr && exact_.Dead(key.hash, *turn.entry)) {
      // It stands in the way of the turn to generate it anew.
      if (exact_.shared()->Erase(key.hash)) continue;
      return {};
    }
    if (turn.entry != nullptr)
      return {.hit = exact_.Accept(std::move(turn.entry), key, plan)};  // or none: another's
    if (turn.follower == nullptr) return {.lead = std::move(turn.lead)};
    auto remote = std::make_unique<RemoteSource>(
        RemoteSource::Services{single_flight_, exact_, generator_},
        RemoteSource::Question{request, id, key, plan}, std::move(turn.follower));
    // What stands in the other's way before it begins (a queue, a prompt too long) is better told by
    // our own generator.
    const auto patience = steady_clock::now() + 2 * single_flight_.options().lease;
    auto word = Follower::Word::kNothing;
    while (!remote->begun() &&
           (word == Follower::Word::kNothing || word == Follower::Word::kNews)) {
      word = remote->Listen(kLookAround);
      if (client_left()) return {.client_left = true};
      if (steady_clock::now() > patience) break;
    }
    if (remote->begun() && remote->position() < floor) return {};
    if (remote->begun() && word != Follower::Word::kForeign) return {.remote = std::move(remote)};
    const bool again =
        word == Follower::Word::kGone || (word == Follower::Word::kBroken && ++broken < kBrokenMax);
    if (!again) return {};
    std::this_thread::sleep_for(kBetweenTurns);
  }
  return {};
}

std::unique_ptr<AnswerSource> SharedFlights::Publish(std::unique_ptr<AnswerSource> source,
                                                     std::shared_ptr<cache::Lead> lead,
                                                     int64_t position) {
  if (lead == nullptr) return source;
  lead->Hello(source->num_choices(), position);
  return PublishedSource(std::move(source), std::move(lead));
}

}  // namespace nextgate::gateway
