// Many who ask the same at once: one generation, everybody has the whole answer.
#include "gateway/flight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "tests/gateway/chat_pipeline_fixture.h"

namespace nextgate::gateway {
namespace {

using engine::FinishReason;
using engine::GenerationRequest;
using engine::Says;
using std::chrono::milliseconds;

const std::string kAnswer = "A place for ships.";

void Until(const std::function<bool()>& condition) {
  for (int i = 0; i < 20'000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_TRUE(condition());
}

class FlightTest : public ChatPipelineTest {
 protected:
  // Asks, hears the answer out and tells what it was; as a stream or as a body.
  std::string TextOf(bool stream, json body = json::object()) {
    body["stream"] = stream;
    ServerReply reply = Ask(std::move(body));
    const std::string text = stream ? Stream(reply).Text() : ContentOf(reply);
    reply.on_sent();
    return text;
  }
  static std::string ContentOf(const ServerReply& reply) {
    return json::parse(reply.body)["choices"][0]["message"]["content"];
  }
  int64_t Coalesced() const {
    return stats_.Snapshot().hits[static_cast<size_t>(cache::Tier::kCoalesced)];
  }
  void ExpectNothingIsLeft() {
    EXPECT_TRUE(writer_.Flush(std::chrono::seconds(20)));
    Until([&] { return flights_.size() == 0; });
    EXPECT_EQ(engine_.open_generations, 0);
  }
};

TEST_F(FlightTest, ManyWhoAskAtOnceGetOneGeneration) {
  engine_.events_allowed = 2;
  std::atomic<int> right = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 40; ++i)
    clients.emplace_back([&, i] {
      if (TextOf(i % 2 == 0) == kAnswer) ++right;
    });
  Until([&] { return Coalesced() == 39; });
  engine_.events_allowed = SIZE_MAX;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 40);
  EXPECT_EQ(engine_.Requests().size(), 1);
  ExpectNothingIsLeft();
  const cache::StatsSnapshot counts = stats_.Snapshot();
  EXPECT_EQ(counts.misses, 1);
  EXPECT_EQ(counts.Requests(), 40);
  const auto answer_tokens = static_cast<int64_t>(tokenizer_->Encode(kAnswer).size());
  EXPECT_EQ(counts.completion_tokens_saved, 39 * answer_tokens);
  EXPECT_EQ(store_.stats().insertions, 1);
  EXPECT_EQ(TextOf(false), kAnswer);
  EXPECT_EQ(engine_.Requests().size(), 1);
}

TEST_F(FlightTest, AFollowerIsToldSoAndHearsTheBeginningToo) {
  engine_.events_allowed = 4;
  ServerReply first = Ask({{"stream", true}});
  EXPECT_EQ(Header(first, "X-Cache"), "MISS");
  std::thread reader([&] { EXPECT_EQ(Stream(first).Text(), kAnswer); });
  ServerReply second = Ask({{"stream", true}});
  EXPECT_EQ(Header(second, "X-Cache"), "COALESCED");
  EXPECT_EQ(Header(second, "X-Cache-Tier"), "coalesced");
  std::thread release([&] {
    std::this_thread::sleep_for(milliseconds(20));
    engine_.events_allowed = SIZE_MAX;
  });
  EXPECT_EQ(Stream(second).Text(), kAnswer);
  reader.join();
  release.join();
}

TEST_F(FlightTest, WhoAskedFirstMayLeaveAndTheOthersGetAllOfIt) {
  engine_.events_allowed = 3;
  ServerReply first = Ask({{"stream", true}});
  ServerReply second = Ask({{"stream", true}});
  Stream(first, Client(/*patience=*/1));
  first.on_sent();
  first = {};
  EXPECT_EQ(engine_.cut_short, 0);
  engine_.events_allowed = SIZE_MAX;
  EXPECT_EQ(Stream(second).Text(), kAnswer);
  Sent(second);
  EXPECT_EQ(engine_.Requests().size(), 1);
  EXPECT_EQ(store_.stats().entries, 1) << "a follower stores what the first would have";
  ExpectNothingIsLeft();
}

TEST_F(FlightTest, WhatBeganBeforeAnInvalidationIsNeitherFollowedNorKept) {
  engine_.events_allowed = 3;
  ServerReply first = Ask({{"stream", true}});
  invalidations_.Issue({}, 1);
  ServerReply second = Ask({{"stream", true}});
  ServerReply third = Ask({{"stream", true}});
  EXPECT_EQ(Header(second, "X-Cache"), "MISS");
  EXPECT_EQ(Header(third, "X-Cache"), "COALESCED") << "the one that began after it";
  engine_.events_allowed = SIZE_MAX;
  EXPECT_EQ(Stream(first).Text(), kAnswer);
  Sent(first);
  EXPECT_EQ(store_.stats().entries, 0);
  EXPECT_EQ(Stream(second).Text(), kAnswer);
  EXPECT_EQ(Stream(third).Text(), kAnswer);
  Sent(second);
  Sent(third);
  EXPECT_EQ(store_.stats().entries, 1);
  EXPECT_EQ(engine_.Requests().size(), 2);
  ExpectNothingIsLeft();
}

TEST_F(FlightTest, WhenTheLastLeavesTheGenerationEnds) {
  engine_.events_allowed = 3;
  ServerReply first = Ask({{"stream", true}});
  ServerReply second = Ask({{"stream", true}});
  Stream(first, Client(1));
  Sent(first);
  EXPECT_EQ(engine_.cut_short, 0);
  Stream(second, Client(1));
  EXPECT_EQ(engine_.cut_short, 1);
  Sent(second);
  ExpectNothingIsLeft();
  EXPECT_EQ(store_.stats().entries, 0);
  engine_.events_allowed = SIZE_MAX;
  EXPECT_EQ(TextOf(false), kAnswer);
  EXPECT_EQ(engine_.Requests().size(), 2);
}

// A client whose connection takes nothing until it is told to.
class StuckClient final : public StreamWriter {
 public:
  explicit StuckClient(std::atomic<bool>& stuck) : stuck_(stuck) {}
  bool Write(std::string_view) override {
    while (stuck_) std::this_thread::sleep_for(milliseconds(1));
    return true;
  }
  bool ClientLeft() override { return false; }

 private:
  std::atomic<bool>& stuck_;
};

TEST_F(FlightTest, AClientThatReadsSlowlyHoldsUpNobody) {
  std::atomic<bool> stuck = true;
  engine_.events_allowed = 3;
  ServerReply first = Ask({{"stream", true}});
  ServerReply second = Ask({{"stream", true}});
  std::thread reader([&] {
    StuckClient client(stuck);
    first.stream(client);
  });
  engine_.events_allowed = SIZE_MAX;
  EXPECT_EQ(Stream(second).Text(), kAnswer);  // would never end
  Sent(second);
  EXPECT_EQ(store_.stats().entries, 1);
  stuck = false;
  reader.join();
  Sent(first);
  EXPECT_EQ(store_.stats().insertions, 1);
}

TEST_F(FlightTest, AnErrorReachesEverybodyAndIsNotKept) {
  engine_.script = [this](const GenerationRequest& request) {
    auto events = Says(request, tokenizer_->Encode("A place"), FinishReason::kError);
    events.back().finished->error = "the device is gone";
    return events;
  };
  engine_.events_allowed = 2;
  ServerReply first = Ask({{"stream", true}});
  ServerReply second = Ask({{"stream", true}});
  engine_.events_allowed = SIZE_MAX;
  EXPECT_EQ(Stream(first).Events().back()["error"]["message"], "the device is gone");
  EXPECT_EQ(Stream(second).Events().back()["error"]["message"], "the device is gone");
  Sent(first);
  Sent(second);
  ExpectNothingIsLeft();
  EXPECT_EQ(store_.stats().entries, 0);
  EXPECT_EQ(stats_.Snapshot().not_stored[static_cast<size_t>(cache::Reason::kNotComplete)], 1);
}

TEST_F(FlightTest, WhatStoppedTheFirstFromBeginningDoesNotStopTheOthers) {
  std::atomic<int> submitted = 0;
  std::atomic<bool> second_asks = false;
  engine_.submit_error = [&](const GenerationRequest&) -> Status {
    if (submitted++ > 0) return {};
    while (!second_asks) std::this_thread::sleep_for(milliseconds(1));
    std::this_thread::sleep_for(milliseconds(30));  // so that it mostly waits by now
    return MakeError(ErrorCode::kResourceExhausted, "the queue is full");
  };
  std::thread first([&] { EXPECT_EQ(Ask({}).status, 429); });
  Until([&] { return submitted == 1; });
  second_asks = true;
  EXPECT_EQ(TextOf(false), kAnswer);
  first.join();
}

// Between the end of a flight and its answer's being found in the store nobody may fall.
TEST_F(FlightTest, ThereIsNoGapBetweenFlyingAndBeingStored) {
  for (int round = 0; round < 300; ++round) {
    EXPECT_EQ(TextOf(round % 2 == 0, {{"seed", round}}), kAnswer);
    EXPECT_EQ(TextOf(round % 3 == 0, {{"seed", round}}), kAnswer);
  }
  EXPECT_EQ(engine_.Requests().size(), 300);
  EXPECT_EQ(stats_.Snapshot().HitsTotal(), 300);
  ExpectNothingIsLeft();
}

TEST_F(FlightTest, WhoWantsAnAnswerOfHisOwnGetsOne) {
  engine_.events_allowed = 2;
  ServerReply flying = Ask({{"stream", true}});
  const auto ask_with = [&](const std::string& control) {
    ServerRequest http = NoHeaders();
    http.header = [control](const std::string& name) {
      return name == "Cache-Control" ? control : std::string();
    };
    ServerReply reply = Ask({{"stream", true}}, http);
    const std::string word = Header(reply, "X-Cache");
    Stream(reply, Client(1));
    reply.on_sent();
    return word;
  };
  EXPECT_EQ(ask_with("no-store"), "BYPASS");
  EXPECT_EQ(ask_with("no-cache"), "BYPASS");
  EXPECT_EQ(ask_with("max-age=5"), "MISS");
  EXPECT_EQ(engine_.Requests().size(), 4);
  EXPECT_EQ(Coalesced(), 0);
  ServerReply other = Ask({{"stream", true}, {"seed", 9}});
  EXPECT_EQ(Header(other, "X-Cache"), "MISS");
}

TEST_F(FlightTest, ManyQuestionsManyClientsComingAndGoing) {
  constexpr int kQuestions = 7;
  std::vector<std::thread> clients;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 12; ++t)
    clients.emplace_back([&, t] {
      for (int i = 0; i < 60; ++i) {
        const json body = {{"seed", (t * 31 + i) % kQuestions}, {"stream", true}};
        if ((t + i) % 5 == 0) {  // leaves at once
          ServerReply reply = Ask(body);
          Stream(reply, Client(i % 2));
          reply.on_sent();
        } else if (TextOf(true, body) != kAnswer) {
          ++wrong;
        }
        if (i % 10 == 0) store_.Clear();
      }
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(stats_.Snapshot().Requests(), 12 * 60);
  ExpectNothingIsLeft();
}

}  // namespace
}  // namespace nextgate::gateway
