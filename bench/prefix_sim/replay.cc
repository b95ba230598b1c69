#include "bench/prefix_sim/replay.h"

#include <fmt/format.h>

#include <utility>

namespace nextgate::prefix_sim {
namespace {

void Count(const Request& request, Policy* policy, Outcome* outcome) {
  const int32_t reused = policy->Serve(request);
  ++outcome->requests;
  outcome->requests_hit += reused > 0;
  outcome->prompt_tokens += static_cast<int64_t>(request.prompt.size());
  outcome->reused_tokens += reused;
  const Usage usage = policy->usage();
  if (usage.total_bytes() > outcome->peak.total_bytes()) outcome->peak = usage;
}

}  // namespace

Result<std::vector<Outcome>> Replay(const Trace& trace,
                                    const std::vector<std::unique_ptr<Policy>>& policies) {
  std::vector<Outcome> outcomes(policies.size());
  Status status;
  Generate(trace, [&](const Request& request) {
    const auto tokens = static_cast<int64_t>(request.prompt.size() + request.answer.size());
    for (size_t p = 0; p < policies.size() && status; ++p) {
      if (tokens > policies[p]->TokensMax()) {
        status = InvalidArgument(fmt::format(
            "{}: a request of {} tokens, and {} can run {} at most; give it a larger budget",
            trace.name, tokens, policies[p]->name(), policies[p]->TokensMax()));
      } else {
        Count(request, policies[p].get(), &outcomes[p]);
      }
    }
  });
  RETURN_IF_ERROR(status);
  for (const auto& policy : policies) policy->check_integrity();
  return outcomes;
}

}  // namespace nextgate::prefix_sim
