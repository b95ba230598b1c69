// Request traces: what clients of one server send, in order. Their parameters are in traces.json, and
// the same parameters give the same requests on every machine. Lengths are in tokens.
//
// Threads: pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "bench/prefix_sim/policy.h"
#include "bench/prefix_sim/random.h"

namespace nextgate::prefix_sim {

// Each row is a beginning of its own, sent `times` times with an end that nobody else has.
struct Sightings {
  int32_t times = 0;
  int32_t answer = 0;
  bool borders = false;  // does the client say where the beginning ends?
  std::vector<std::pair<int32_t, int32_t>> rows;
};

// One conversation: `first`, then an answer and a new question a turn.
struct Conversation {
  int32_t first = 0, answer = 0, user = 0, turns = 0;
};

// System prompts of unequal popularity (Zipf) with questions of one's own.
struct SystemPrompts {
  int32_t requests = 0, prompts = 0;
  Range system, user, answer;
};

// `active` conversations at a time, taking turns at random; one that ends is replaced. Some answers
// are generated again from the same prompt, some earlier questions are edited and answered anew.
struct Chat {
  int32_t requests = 0, active = 0, systems = 0;
  int32_t regenerated_percent = 0, edited_percent = 0;
  Range system, turns, user, answer;
};

// `parallel` agents that share long system prompts. An agent's step is a call (the answer) and what the
// tool said, appended to its history.
struct Agents {
  int32_t requests = 0, parallel = 0, systems = 0;
  Range system, task, steps, call, tool;
};

// Prefixes in a circle: what least-recently-used does worst.
struct Cycle {
  int32_t prefixes = 0, rounds = 0, prefix = 0, user = 0, answer = 0;
};

struct Trace {
  std::string name;
  uint64_t seed = 0;
  std::variant<Sightings, Conversation, SystemPrompts, Chat, Agents, Cycle> kind;
};

using Sink = std::function<void(const Request&)>;

void Generate(const Trace& trace, const Sink& sink);

// The traces of a JSON file, in its order. Errors name the trace and what is wrong with it.
Result<std::vector<Trace>> ReadTraces(const std::string& path);

}  // namespace nextgate::prefix_sim
