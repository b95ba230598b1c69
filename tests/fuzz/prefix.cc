// What is asked of the prefix cache: bodies of /admin/prefix/explain, down to what the engine is asked, and the
// limit of its map.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/prefix/kv_pool.h"
#include "gateway/admin/prefix.h"
#include "tests/fuzz/admin_world.h"
#include "tests/fuzz/targets.h"

namespace nextgate::testing {
namespace {

using engine::CheckpointKind;
using engine::GenerationRequest;
using engine::PrefixExplanation;
using nlohmann::json;

// Ascending, within (0, last].
void CheckBorders(const std::vector<int32_t>& borders, size_t last) {
  int32_t before = 0;
  for (const int32_t border : borders) CHECK(border > std::exchange(before, border));
  CHECK(static_cast<size_t>(before) <= last);
}

// What an engine says to this: how much it knows goes by the prompt's tokens.
PrefixExplanation Answer(const GenerationRequest& request) {
  const auto tokens = static_cast<int32_t>(request.prompt.size());
  PrefixExplanation e{
      .prompt_tokens = tokens,
      .resume_max = request.num_prompt_logprobs >= 0
                        ? 0
                        : (tokens - 1) / engine::kBlockTokens * engine::kBlockTokens,
      .limited = request.num_prompt_logprobs >= 0};
  e.known_tokens = tokens / 3 / engine::kBlockTokens * engine::kBlockTokens;
  e.matched_tokens = std::min(e.known_tokens, e.resume_max);
  for (int32_t at = engine::kBlockTokens; at <= e.matched_tokens; at *= 2) {
    e.checkpoints.push_back({at, CheckpointKind::kSpaced, 1});
    e.resumed_tokens = at;
  }
  for (const int32_t border : request.marked_borders)
    e.leaves.push_back({border, CheckpointKind::kMarked});
  return e;
}

// What the engine was asked in one call.
std::vector<GenerationRequest>& Asked() {
  static std::vector<GenerationRequest> asked;
  return asked;
}

Result<PrefixExplanation> Ask(const GenerationRequest& request) {
  const auto& info = TheWorld().engine().info();
  for (const int32_t id : request.prompt) CHECK(id >= 0 && id < info.vocab_size);
  CheckBorders(request.message_borders, request.prompt.size());
  CheckBorders(request.marked_borders, request.prompt.size());
  CHECK(request.max_tokens == 0 && request.forced.empty());
  CHECK(request.num_prompt_logprobs >= -1);
  if (request.prompt.empty()) return InvalidArgument("the prompt has no tokens", "prompt");
  Asked().push_back(request);
  return Answer(request);
}

void CheckPrompt(const json& told, const GenerationRequest& request) {
  const auto number = [&](const char* name) { return told.at(name).get<int64_t>(); };
  const bool enabled = TheWorld().options().enable_prefix_caching;
  CHECK(!told.at("why").get<std::string>().empty());
  CHECK((told.at("verdict") == "disabled") == !enabled);
  CHECK(number("prompt_tokens") == static_cast<int64_t>(request.prompt.size()));
  CHECK(number("resumed_tokens") + number("computed_tokens") == number("prompt_tokens"));
  CHECK(number("resumed_tokens") + number("replayed_tokens") + number("lost_tokens") <=
        number("known_tokens"));
  CHECK(number("resumed_tokens") <= number("resume_limit"));
  CHECK(told.at("would_leave").size() == request.marked_borders.size());
}

void CheckExplainPrefix(std::string_view input) {
  const std::string body(input);
  Asked().clear();
  const json told = Call(gateway::admin::ExplainPrefix, {.body = body});
  if (told.is_null()) return;
  const std::vector<GenerationRequest> asked = std::exchange(Asked(), {});
  CHECK(told.at("prompts").size() == asked.size() && !asked.empty());
  for (size_t i = 0; i < asked.size(); ++i) CheckPrompt(told["prompts"][i], asked[i]);
  // Asking changes nothing.
  CHECK(Call(gateway::admin::ExplainPrefix, {.body = body}) == told);
  // Who asks decides what is shared.
  const auto as_it_was = nlohmann::ordered_json::parse(body);
  auto other = as_it_was;
  other["scope"]["tenant"] = "somebody else";
  if (other == as_it_was) return;
  CHECK(!Call(gateway::admin::ExplainPrefix, {.body = other.dump()}).is_null());
  for (size_t i = 0; i < asked.size(); ++i) {
    CHECK(asked[i].prompt == Asked()[i + asked.size()].prompt);
    CHECK(asked[i].cache_salt != Asked()[i + asked.size()].cache_salt);
  }
}

void CheckMap(std::string_view input) {
  gateway::ServerRequest http;
  while (!input.empty() && http.query.size() < 4) {
    std::string_view pair = TakeUntil(input, '&');
    const std::string_view name = TakeUntil(pair, '=');
    http.query.emplace_back(name, pair);
  }
  Call(gateway::admin::ShowPrefixMap, http);
  Call(gateway::admin::ShowPrefixStats, http);
}

}  // namespace

void FuzzPrefix(std::string_view input) {
  static const bool ready = [] {
    TheWorld().engine().explain = Ask;
    TheWorld().engine().map = [](int32_t nodes_max) {
      CHECK(nodes_max >= 1 && nodes_max <= 2000, "%d nodes", nodes_max);
      return std::vector<engine::PrefixNode>{{.tokens = 64},
                                             {.parent = 0, .begin = 64, .tokens = 64}};
    };
    return true;
  }();
  CHECK(ready);
  const size_t choice = TakeChoice(input, 3);
  TheWorld().options().enable_prefix_caching = choice != 2;
  if (choice == 1) return CheckMap(input);
  CheckExplainPrefix(input);
}

}  // namespace nextgate::testing
