#include "gateway/admin/entry_json.h"

#include <fmt/format.h>

#include <limits>
#include <utility>
#include <vector>

#include "cache/invalidation.h"

namespace nextgate::gateway::admin {
namespace {

using Json = nlohmann::ordered_json;
using cache::Answer;
using cache::AnswerBuilder;
using cache::AnswerChoice;
using cache::AnswerDelta;

constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr int64_t kTimeMax = int64_t{1} << 52;
constexpr size_t kChoicesMax = 1 << 16;
const Json kNothing;

Json DeltaJson(const AnswerDelta& delta) {
  Json json = {{"choice", delta.choice}, {"text", delta.text}};
  if (!delta.token_ids.empty())
    json["token_ids"] = std::vector<int32_t>(delta.token_ids.begin(), delta.token_ids.end());
  if (!delta.logprobs.empty()) json["logprobs"] = delta.logprobs;
  if (!delta.extras.empty()) json["extras"] = delta.extras;
  return json;
}

// Reads members of one object; the first that is wrong sticks.
class Members {
 public:
  Members(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) Fail("", "an object");
  }

  const Json* Find(const char* name) {
    if (!status) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  std::string Text(const char* name, bool required = true) {
    const Json* value = Find(name);
    if (value == nullptr && !required) return "";
    if (value == nullptr || !value->is_string()) {
      Fail(name, "a string");
      return "";
    }
    return value->get<std::string>();
  }
  int64_t Whole(const char* name, int64_t low, int64_t high) {
    const Json* value = Find(name);
    // A number above 63 bits must not become a negative one.
    const bool fits =
        value != nullptr && value->is_number_integer() &&
        (!value->is_number_unsigned() || value->get<uint64_t>() <= static_cast<uint64_t>(high));
    const int64_t number = fits ? value->get<int64_t>() : low - 1;
    if (number < low || number > high)
      Fail(name, fmt::format("a whole number from {} to {}", low, high));
    return number;
  }
  const Json& List(const char* name, size_t most) {
    static const Json empty = Json::array();
    const Json* value = Find(name);
    if (value != nullptr && value->is_array() && value->size() <= most) return *value;
    Fail(name, fmt::format("a list of at most {}", most));
    return empty;
  }
  void Fail(std::string_view name, std::string_view expected) {
    if (status)
      status =
          InvalidArgument(fmt::format("{}{}{}: expected {}", where_,
                                      where_.empty() || name.empty() ? "" : ".", name, expected));
  }

  Status status;

 private:
  const Json& object_;
  const std::string where_;
};

Result<std::vector<AnswerChoice>> ReadChoices(const Json& list) {
  std::vector<AnswerChoice> choices;
  for (const Json& item : list) {
    Members read(item, "choices");
    choices.push_back({.finish_reason = read.Text("finish_reason"),
                       .stop_reason = read.Text("stop_reason"),
                       .extras = read.Text("extras")});
    RETURN_IF_ERROR(read.status);
  }
  return choices;
}

Status ReadDeltas(const Json& list, size_t num_choices, AnswerBuilder& builder) {
  std::vector<int32_t> ids;
  for (const Json& item : list) {
    Members read(item, "deltas");
    const auto choice =
        static_cast<int32_t>(read.Whole("choice", 0, static_cast<int64_t>(num_choices) - 1));
    const std::string text = read.Text("text"), logprobs = read.Text("logprobs", false),
                      extras = read.Text("extras", false);
    ids.clear();
    if (read.Find("token_ids") != nullptr) {
      for (const Json& id : read.List("token_ids", 1 << 20)) {
        if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > kInt32Max)
          read.Fail("token_ids", "token ids");
        else
          ids.push_back(id.get<int32_t>());
      }
    }
    RETURN_IF_ERROR(read.status);
    builder.Append(
        {.choice = choice, .text = text, .token_ids = ids, .logprobs = logprobs, .extras = extras});
  }
  return {};
}

Result<std::shared_ptr<const Answer>> ReadAnswer(Members& read) {
  AnswerBuilder::Ending ending;
  ending.extras = read.Text("extras");
  const Json* usage_json = read.Find("usage");
  Members usage(usage_json != nullptr ? *usage_json : kNothing, "usage");
  ending.usage = {
      .prompt_tokens = static_cast<int32_t>(usage.Whole("prompt_tokens", 0, kInt32Max)),
      .completion_tokens = static_cast<int32_t>(usage.Whole("completion_tokens", 0, kInt32Max)),
      .cached_tokens = static_cast<int32_t>(usage.Whole("cached_tokens", 0, kInt32Max))};
  const Json& choices = read.List("choices", kChoicesMax);
  const Json& deltas = read.List("deltas", SIZE_MAX);
  RETURN_IF_ERROR(read.status);
  RETURN_IF_ERROR(usage.status);
  ASSIGN_OR_RETURN(ending.choices, ReadChoices(choices));
  AnswerBuilder builder;
  RETURN_IF_ERROR(ReadDeltas(deltas, ending.choices.size(), builder));
  auto answer = builder.Finish(std::move(ending));
  if (answer == nullptr) return InvalidArgument("deltas: the answer is too large");
  return answer;
}

}  // namespace

Result<std::string> EntryLine(const cache::StoredAnswer& entry) {
  const Answer& answer = *entry.answer;
  const cache::Scope& scope = entry.origin.scope;
  Json choices = Json::array(), deltas = Json::array();
  for (const AnswerChoice& choice : answer.choices())
    choices.push_back({{"finish_reason", choice.finish_reason},
                       {"stop_reason", choice.stop_reason},
                       {"extras", choice.extras}});
  for (size_t i = 0; i < answer.num_deltas(); ++i) deltas.push_back(DeltaJson(answer.delta(i)));
  const Json line = {{"id", HashBytes(entry.material).Hex()},
                     {"material", entry.material},
                     {"created_unix_ms", entry.created_unix_ms},
                     {"expires_unix_ms", entry.expires_unix_ms},
                     {"hits", entry.hits.value()},
                     {"origin",
                      {{"model", entry.origin.model},
                       {"route", entry.origin.route},
                       {"tenant", scope.tenant},
                       {"team", scope.team},
                       {"user", scope.user},
                       {"namespace", scope.name_space},
                       {"position", cache::SharedPosition(entry.origin.position)}}},
                     {"usage",
                      {{"prompt_tokens", answer.usage().prompt_tokens},
                       {"completion_tokens", answer.usage().completion_tokens},
                       {"cached_tokens", answer.usage().cached_tokens}}},
                     {"extras", answer.extras()},
                     {"choices", std::move(choices)},
                     {"deltas", std::move(deltas)}};
  try {
    return line.dump();
  } catch (const Json::exception&) {
    return DataLoss("the entry has text that is not UTF-8");
  }
}

Result<cache::StoredAnswer> ParseEntryLine(const Json& line) {
  Members read(line, "");
  cache::StoredAnswer entry{.material = read.Text("material"),
                            .created_unix_ms = read.Whole("created_unix_ms", 0, kTimeMax),
                            .expires_unix_ms = read.Whole("expires_unix_ms", 0, kTimeMax),
                            .hits = cache::HitCounter(read.Whole("hits", 0, kTimeMax))};
  const Json* origin_json = read.Find("origin");
  Members origin(origin_json != nullptr ? *origin_json : kNothing, "origin");
  entry.origin = {.model = origin.Text("model"),
                  .route = origin.Text("route"),
                  .scope = {.tenant = origin.Text("tenant"),
                            .team = origin.Text("team"),
                            .user = origin.Text("user"),
                            .name_space = origin.Text("namespace")}};
  // Exports from before there were invalidations have none: it is not known what they knew.
  if (origin.Find("position") != nullptr)
    entry.origin.position = origin.Whole("position", 0, std::numeric_limits<int64_t>::max() - 1);
  const std::string id = read.Text("id", false);
  RETURN_IF_ERROR(read.status);
  RETURN_IF_ERROR(origin.status);
  if (!id.empty() && id != HashBytes(entry.material).Hex())
    return InvalidArgument("id: it is not the id of the material");
  ASSIGN_OR_RETURN(entry.answer, ReadAnswer(read));
  return entry;
}

}  // namespace nextgate::gateway::admin
