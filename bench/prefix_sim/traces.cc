#include "bench/prefix_sim/traces.h"

namespace nextgate::prefix_sim {
namespace {

// Messages one after the other; what a client sends is all of them.
struct History {
  std::vector<int32_t> tokens;
  std::vector<int32_t> borders;

  void Append(const std::vector<int32_t>& message) {
    tokens.insert(tokens.end(), message.begin(), message.end());
    borders.push_back(static_cast<int32_t>(tokens.size()));
  }
  void AppendNew(int32_t count, Random* random) {
    random->AppendTokens(count, &tokens);
    borders.push_back(static_cast<int32_t>(tokens.size()));
  }
  // Forgets all but the first `messages`.
  void CutTo(int32_t messages) {
    borders.resize(messages);
    tokens.resize(borders.back());
  }
};

std::vector<int32_t> NewTokens(int32_t count, Random* random) {
  std::vector<int32_t> tokens;
  random->AppendTokens(count, &tokens);
  return tokens;
}

std::vector<History> NewSystems(int32_t count, Range length, Random* random) {
  std::vector<History> systems(count);
  for (History& system : systems) system.AppendNew(random->Length(length), random);
  return systems;
}

// Sends the history; returns the answer.
std::vector<int32_t> Ask(const History& history, int32_t answer, Random* random, const Sink& sink) {
  const Request request = {
      .prompt = history.tokens, .borders = history.borders, .answer = NewTokens(answer, random)};
  sink(request);
  return request.answer;
}

void GenerateKind(const Sightings& kind, Random* random, const Sink& sink) {
  for (const auto& [beginning, end] : kind.rows) {
    History shared;
    shared.AppendNew(beginning, random);
    for (int32_t time = 0; time < kind.times; ++time) {
      History history = shared;
      history.AppendNew(end, random);
      if (!kind.borders) history.borders.erase(history.borders.begin());
      Ask(history, kind.answer, random, sink);
    }
  }
}

void GenerateKind(const Conversation& kind, Random* random, const Sink& sink) {
  History history;
  history.AppendNew(kind.first, random);
  for (int32_t turn = 0; turn < kind.turns; ++turn) {
    history.Append(Ask(history, kind.answer, random, sink));
    history.AppendNew(kind.user, random);
  }
}

void GenerateKind(const SystemPrompts& kind, Random* random, const Sink& sink) {
  const std::vector<History> systems = NewSystems(kind.prompts, kind.system, random);
  for (int32_t request = 0; request < kind.requests; ++request) {
    History history = systems[random->Zipf(kind.prompts)];
    history.AppendNew(random->Length(kind.user), random);
    Ask(history, random->Length(kind.answer), random, sink);
  }
}

// A conversation between a person and the model: system prompt, then question and answer in turn.
struct ChatState {
  History history;  // ends with an answer, or is the system prompt
  int32_t turns_left = 0;
};

void ChatTurn(const Chat& kind, ChatState* chat, Random* random, const Sink& sink) {
  const auto messages = static_cast<int32_t>(chat->history.borders.size());
  const int32_t turns = (messages - 1) / 2;
  if (turns > 0 && random->Percent(kind.regenerated_percent)) {
    chat->history.CutTo(messages - 1);
  } else {
    if (turns > 0 && random->Percent(kind.edited_percent)) {
      chat->history.CutTo(1 + 2 * random->Below(turns));
    }
    chat->history.AppendNew(random->Length(kind.user), random);
    --chat->turns_left;
  }
  chat->history.Append(Ask(chat->history, random->Length(kind.answer), random, sink));
}

void GenerateKind(const Chat& kind, Random* random, const Sink& sink) {
  const std::vector<History> systems = NewSystems(kind.systems, kind.system, random);
  std::vector<ChatState> chats(kind.active);
  for (int32_t request = 0; request < kind.requests; ++request) {
    ChatState& chat = chats[random->Below(kind.active)];
    if (chat.turns_left == 0) {
      chat = {.history = systems[random->Zipf(kind.systems)],
              .turns_left = random->Uniform(kind.turns)};
    }
    ChatTurn(kind, &chat, random, sink);
  }
}

struct AgentState {
  History history;
  int32_t steps_left = 0;
};

void GenerateKind(const Agents& kind, Random* random, const Sink& sink) {
  const std::vector<History> systems = NewSystems(kind.systems, kind.system, random);
  std::vector<AgentState> agents(kind.parallel);
  for (int32_t request = 0; request < kind.requests; ++request) {
    AgentState& agent = agents[random->Below(kind.parallel)];
    if (agent.steps_left == 0) {
      agent = {.history = systems[random->Zipf(kind.systems)],
               .steps_left = random->Uniform(kind.steps)};
      agent.history.AppendNew(random->Length(kind.task), random);
    }
    agent.history.Append(Ask(agent.history, random->Length(kind.call), random, sink));
    agent.history.AppendNew(random->Length(kind.tool), random);
    --agent.steps_left;
  }
}

void GenerateKind(const Cycle& kind, Random* random, const Sink& sink) {
  const std::vector<History> prefixes =
      NewSystems(kind.prefixes, {kind.prefix, kind.prefix}, random);
  for (int32_t round = 0; round < kind.rounds; ++round) {
    for (History history : prefixes) {
      history.AppendNew(kind.user, random);
      Ask(history, kind.answer, random, sink);
    }
  }
}

}  // namespace

void Generate(const Trace& trace, const Sink& sink) {
  Random random(trace.seed);
  std::visit([&](const auto& kind) { GenerateKind(kind, &random, sink); }, trace.kind);
}

}  // namespace nextgate::prefix_sim
