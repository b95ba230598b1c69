#include "bench/prefix_sim/traces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"

namespace nextgate::prefix_sim {
namespace {

using testing::HasSubstr;

std::vector<Request> Requests(const Trace& trace) {
  std::vector<Request> requests;
  Generate(trace, [&](const Request& request) { requests.push_back(request); });
  return requests;
}

std::vector<Trace> Fixed() {
  auto traces = ReadTraces(NEXTGATE_SOURCE_DIR "/bench/prefix_sim/traces.json");
  EXPECT_TRUE(traces) << traces.error().message;
  return traces.value_or(std::vector<Trace>{});
}

std::string ErrorOf(const std::string& text) {
  const std::string path = testing::TempDir() + "/prefix_sim_traces.json";
  std::ofstream(path) << text;
  const auto traces = ReadTraces(path);
  return traces ? "" : traces.error().message;
}

size_t CommonPrefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

TEST(Traces, OfTheFileAreWellFormed) {
  const std::vector<Trace> traces = Fixed();
  ASSERT_GE(traces.size(), 6u);
  for (const Trace& trace : traces) {
    SCOPED_TRACE(trace.name);
    int64_t requests = 0;
    Generate(trace, [&](const Request& request) {
      ++requests;
      ASSERT_FALSE(request.prompt.empty());
      ASSERT_FALSE(request.borders.empty());
      EXPECT_EQ(request.borders.back(), static_cast<int32_t>(request.prompt.size()));
      EXPECT_GT(request.borders.front(), 0);
      EXPECT_TRUE(std::ranges::is_sorted(request.borders));
    });
    EXPECT_GT(requests, 5);
  }
}

TEST(Traces, AreTheSameEverywhere) {
  const Trace trace = {.name = "agents",
                       .seed = 7,
                       .kind = Agents{.requests = 50,
                                      .parallel = 4,
                                      .systems = 2,
                                      .system = {500, 900},
                                      .task = {10, 90},
                                      .steps = {2, 9},
                                      .call = {5, 50},
                                      .tool = {5, 500}}};
  std::string bytes;
  for (const Request& request : Requests(trace)) {
    for (const auto* tokens : {&request.prompt, &request.borders, &request.answer}) {
      bytes.append(reinterpret_cast<const char*>(tokens->data()), tokens->size() * sizeof(int32_t));
    }
  }
  EXPECT_EQ(HashBytes(bytes).Hex(), "e020d56da597a2e2f49c452b25ab38cb");
}

TEST(Traces, AnAgentsPromptBeginsWithItsLastOneAndItsAnswer) {
  const std::vector<Request> requests = Requests({.name = "one",
                                                  .seed = 1,
                                                  .kind = Agents{.requests = 5,
                                                                 .parallel = 1,
                                                                 .systems = 1,
                                                                 .system = {64, 64},
                                                                 .task = {10, 10},
                                                                 .steps = {9, 9},
                                                                 .call = {5, 9},
                                                                 .tool = {5, 9}}});
  ASSERT_EQ(requests.size(), 5u);
  for (size_t r = 1; r < requests.size(); ++r) {
    std::vector<int32_t> said = requests[r - 1].prompt;
    said.insert(said.end(), requests[r - 1].answer.begin(), requests[r - 1].answer.end());
    EXPECT_EQ(CommonPrefix(said, requests[r].prompt), said.size());
    EXPECT_GT(requests[r].prompt.size(), said.size());
  }
}

Trace OneChat(int32_t regenerated_percent, int32_t edited_percent) {
  return {.name = "chat",
          .seed = 3,
          .kind = Chat{.requests = 200,
                       .active = 1,
                       .systems = 1,
                       .regenerated_percent = regenerated_percent,
                       .edited_percent = edited_percent,
                       .system = {50, 50},
                       .turns = {200, 200},
                       .user = {10, 20},
                       .answer = {10, 20}}};
}

// How often a prompt is the last one again, and how often it parts from it before its end.
std::pair<int, int> RegeneratedAndEdited(const Trace& trace) {
  const std::vector<Request> requests = Requests(trace);
  int regenerated = 0, edited = 0;
  for (size_t r = 1; r < requests.size(); ++r) {
    const auto& last = requests[r - 1].prompt;
    const auto& prompt = requests[r].prompt;
    regenerated += prompt == last;
    edited += CommonPrefix(last, prompt) < std::min(last.size(), prompt.size());
  }
  return {regenerated, edited};
}

TEST(Traces, AChatBranchesAsOftenAsItSays) {
  EXPECT_EQ(RegeneratedAndEdited(OneChat(0, 0)), std::pair(0, 0));
  const auto [regenerated, edited] = RegeneratedAndEdited(OneChat(25, 25));
  EXPECT_THAT(regenerated, testing::AllOf(testing::Gt(25), testing::Lt(75)));
  EXPECT_THAT(edited, testing::AllOf(testing::Gt(15), testing::Lt(60)));
}

TEST(Traces, ACycleComesRoundInOrder) {
  const std::vector<Request> requests =
      Requests({.name = "cycle",
                .seed = 1,
                .kind = Cycle{.prefixes = 7, .rounds = 2, .prefix = 100, .user = 10, .answer = 0}});
  ASSERT_EQ(requests.size(), 14u);
  for (size_t r = 0; r < 7; ++r) {
    EXPECT_EQ(CommonPrefix(requests[r].prompt, requests[r + 7].prompt), 100u);
    EXPECT_EQ(CommonPrefix(requests[r].prompt, requests[(r + 1) % 7].prompt), 0u);
  }
}

TEST(Random, DrawsByZipfTheFirstTwiceAsOftenAsTheSecond) {
  Random random(1);
  std::map<int32_t, int> drawn;
  for (int i = 0; i < 100'000; ++i) ++drawn[random.Zipf(50)];
  EXPECT_EQ(drawn.size(), 50u);
  EXPECT_NEAR(drawn[0] / static_cast<double>(drawn[1]), 2, 0.1);
  EXPECT_NEAR(drawn[0] / static_cast<double>(drawn[9]), 10, 1);
}

TEST(Random, LengthsKeepTheirRangeAndReachItsEnds) {
  Random random(2);
  std::map<int32_t, int> drawn;
  for (int i = 0; i < 10'000; ++i) ++drawn[random.Length({5, 43})];
  EXPECT_EQ(drawn.begin()->first, 5);
  EXPECT_EQ(drawn.rbegin()->first, 43);
}

TEST(TraceFile, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("expected {\"traces\""));
  EXPECT_THAT(ErrorOf("{\"traces\": [{\"name\": \"a\", \"seed\": 1, \"kind\": \"b\"}]}"),
              HasSubstr("trace \"a\": \"b\" is not a kind"));
  EXPECT_THAT(ErrorOf("{\"traces\": [7]}"), HasSubstr("\"name\" must be a text"));
  const std::string cycle = R"({"traces": [{"name": "a", "seed": 1, "kind": "cycle", "prefixes": 3,
                                 "rounds": 2, "prefix": PREFIX, "user": 1, "answer": 0}]})";
  const auto with = [&](const std::string& prefix) {
    return std::string(cycle).replace(cycle.find("PREFIX"), 6, prefix);
  };
  EXPECT_EQ(ErrorOf(with("64")), "");
  for (const std::string wrong : {"0", "-1", "1.5", "1e9", "\"64\"", "null"}) {
    EXPECT_THAT(ErrorOf(with(wrong)), HasSubstr("trace \"a\": \"prefix\" must be a whole number"))
        << wrong;
  }
}

}  // namespace
}  // namespace nextgate::prefix_sim
