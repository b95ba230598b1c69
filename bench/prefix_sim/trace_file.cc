#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "bench/prefix_sim/traces.h"

namespace nextgate::prefix_sim {
namespace {

using nlohmann::json;

constexpr int64_t kFileBytesMax = 1 << 20;
constexpr int32_t kNumberMax = 1 << 20;  // of requests, and of tokens in a message

// What a trace in the file says, with the first thing that is wrong.
class Fields {
 public:
  explicit Fields(const json& object) : object_(object) {}

  int32_t Number(const char* key, int32_t low = 1) {
    const auto found = object_.find(key);
    if (found == object_.end() || !InRange(*found, low)) {
      Fail(fmt::format("\"{}\" must be a whole number in [{}, {}]", key, low, kNumberMax));
      return low;
    }
    return found->get<int32_t>();
  }

  Range Lengths(const char* key) {
    const auto found = object_.find(key);
    if (found == object_.end() || !IsPair(*found) || (*found)[0] > (*found)[1]) {
      Fail(fmt::format("\"{}\" must be [shortest, longest] in [1, {}]", key, kNumberMax));
      return {1, 1};
    }
    return {(*found)[0].get<int32_t>(), (*found)[1].get<int32_t>()};
  }

  bool Flag(const char* key) {
    const auto found = object_.find(key);
    if (found == object_.end() || !found->is_boolean()) {
      Fail(fmt::format("\"{}\" must be true or false", key));
      return false;
    }
    return found->get<bool>();
  }

  std::vector<std::pair<int32_t, int32_t>> Pairs(const char* key) {
    std::vector<std::pair<int32_t, int32_t>> pairs;
    const auto found = object_.find(key);
    for (const json& row : found == object_.end() ? json::array() : *found) {
      if (!IsPair(row)) {
        Fail(fmt::format("\"{}\" must be a list of pairs in [1, {}]", key, kNumberMax));
        return {};
      }
      pairs.emplace_back(row[0].get<int32_t>(), row[1].get<int32_t>());
    }
    if (pairs.empty()) Fail(fmt::format("\"{}\" must be a list of pairs", key));
    return pairs;
  }

  std::string Text(const char* key) {
    const auto found = object_.find(key);
    if (found == object_.end() || !found->is_string()) {
      Fail(fmt::format("\"{}\" must be a text", key));
      return {};
    }
    return found->get<std::string>();
  }

  void Fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }
  const std::string& problem() const { return problem_; }

 private:
  static bool InRange(const json& value, int32_t low) {
    return value.is_number_integer() && value >= low && value <= kNumberMax;
  }
  static bool IsPair(const json& value) {
    return value.is_array() && value.size() == 2 && InRange(value[0], 1) && InRange(value[1], 1);
  }

  const json& object_;
  std::string problem_;
};

decltype(Trace::kind) KindOf(const std::string& kind, Fields* f) {
  if (kind == "sightings") {
    return Sightings{.times = f->Number("times"),
                     .answer = f->Number("answer", 0),
                     .borders = f->Flag("borders"),
                     .rows = f->Pairs("rows")};
  }
  if (kind == "conversation") {
    return Conversation{.first = f->Number("first"),
                        .answer = f->Number("answer", 0),
                        .user = f->Number("user"),
                        .turns = f->Number("turns")};
  }
  if (kind == "system_prompts") {
    return SystemPrompts{.requests = f->Number("requests"),
                         .prompts = f->Number("prompts"),
                         .system = f->Lengths("system"),
                         .user = f->Lengths("user"),
                         .answer = f->Lengths("answer")};
  }
  if (kind == "chat") {
    return Chat{.requests = f->Number("requests"),
                .active = f->Number("active"),
                .systems = f->Number("systems"),
                .regenerated_percent = f->Number("regenerated_percent", 0),
                .edited_percent = f->Number("edited_percent", 0),
                .system = f->Lengths("system"),
                .turns = f->Lengths("turns"),
                .user = f->Lengths("user"),
                .answer = f->Lengths("answer")};
  }
  if (kind == "agents") {
    return Agents{.requests = f->Number("requests"),
                  .parallel = f->Number("parallel"),
                  .systems = f->Number("systems"),
                  .system = f->Lengths("system"),
                  .task = f->Lengths("task"),
                  .steps = f->Lengths("steps"),
                  .call = f->Lengths("call"),
                  .tool = f->Lengths("tool")};
  }
  if (kind == "cycle") {
    return Cycle{.prefixes = f->Number("prefixes"),
                 .rounds = f->Number("rounds"),
                 .prefix = f->Number("prefix"),
                 .user = f->Number("user"),
                 .answer = f->Number("answer", 0)};
  }
  f->Fail(fmt::format(
      "\"{}\" is not a kind: sightings, conversation, system_prompts, chat, agents, cycle", kind));
  return {};
}

}  // namespace

Result<std::vector<Trace>> ReadTraces(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kFileBytesMax));
  const json file = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!file.is_object() || !file.contains("traces") || !file["traces"].is_array()) {
    return InvalidArgument(path + ": expected {\"traces\": [...]}");
  }
  std::vector<Trace> traces;
  for (const json& object : file["traces"]) {
    Fields fields(object);
    Trace trace = {.name = fields.Text("name"),
                   .seed = static_cast<uint64_t>(fields.Number("seed", 0))};
    trace.kind = KindOf(fields.Text("kind"), &fields);
    if (!fields.problem().empty()) {
      return InvalidArgument(
          fmt::format("{}: trace \"{}\": {}", path, trace.name, fields.problem()));
    }
    traces.push_back(std::move(trace));
  }
  return traces;
}

}  // namespace nextgate::prefix_sim
