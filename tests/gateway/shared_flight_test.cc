// Several pipelines over one real redis-server are several instances.
#include "gateway/shared_flight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "gateway/remote_source.h"
#include "tests/gateway/chat_pipeline_fixture.h"
#include "tests/support/redis_instance.h"
#include "tests/support/redis_server.h"

namespace nextgate::gateway {
namespace {

using engine::FinishReason;
using engine::GenerationEvent;
using engine::GenerationRequest;
using std::chrono::milliseconds;
using test::RedisInstance;

constexpr int32_t kEndOfTurn = 4089;

void Until(const std::function<bool()>& condition) {
  for (int i = 0; i < 20'000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_TRUE(condition());
}

engine::PositionLogprobs LogprobsOf(int32_t token, size_t place) {
  const float value = -0.125f * static_cast<float>(1 + (static_cast<size_t>(token) + place) % 64);
  return {.chosen = {token, value, 1}, .top = {{token, value, 1}, {17, value - 1, 2}}};
}

// An engine that says the same to the same request, wherever it begins, as the real one does: a few
// hundred tokens of which some are half a character, in events of one or two.
engine::FakeEngine::Script Deterministic(const engine::Tokenizer& tokenizer) {
  return [&tokenizer](const GenerationRequest& request) {
    const uint64_t seed = request.sampling.seed.value_or(0);
    std::string text = "A place for ships — ein Hafen, 港口, un port 🚢. ";
    for (uint64_t i = 0; i < 6 + seed % 5; ++i)
      text += "Nr " + std::to_string(seed * 7 + i) + " größer 船; ";
    std::vector<int32_t> tokens = tokenizer.Encode(text);
    const auto most = static_cast<size_t>(request.max_tokens);
    const bool cut = tokens.size() >= most;
    cut ? tokens.resize(most) : tokens.push_back(kEndOfTurn);
    EXPECT_LE(request.forced.size(), tokens.size());
    EXPECT_TRUE(std::equal(request.forced.begin(), request.forced.end(), tokens.begin()));
    std::vector<GenerationEvent> events(1);
    events[0].started = GenerationEvent::Started{
        .prompt_tokens = static_cast<int32_t>(request.prompt.size()), .prompt_logprobs = {}};
    if (request.num_prompt_logprobs >= 0)
      for (size_t i = 1; i < request.prompt.size(); ++i)
        events[0].started->prompt_logprobs.push_back(LogprobsOf(request.prompt[i], i));
    for (size_t i = request.forced.size(); i < tokens.size(); ++i) {
      if (i % 4 != 3 || events.size() == 1) events.emplace_back();
      events.back().tokens.push_back({.id = tokens[i], .logprobs = std::nullopt});
      if (request.num_logprobs >= 0)
        events.back().tokens.back().logprobs = LogprobsOf(tokens[i], i);
    }
    events.back().finished =
        cut ? GenerationEvent::Finished{.reason = FinishReason::kLength, .error = {}}
            : GenerationEvent::Finished{.stop_token = kEndOfTurn, .error = {}};
    return events;
  };
}

// A generator that cannot go on in the middle, as one behind a network cannot.
class FromTheBeginning final : public Generator {
 public:
  explicit FromTheBeginning(Generator& inner) : inner_(inner) {}
  Result<std::unique_ptr<AnswerSource>> Start(std::shared_ptr<const openai::ApiRequest> request,
                                              const std::string& id) override {
    return inner_.Start(std::move(request), id);
  }
  const std::string& fingerprint() const override { return inner_.fingerprint(); }

 private:
  Generator& inner_;
};

// A client that stays until it is told to leave.
class Leaver final : public StreamWriter {
 public:
  explicit Leaver(std::atomic<bool>& leave) : leave_(leave) {}
  bool Write(std::string_view) override { return !leave_; }
  bool ClientLeft() override { return leave_; }

 private:
  std::atomic<bool>& leave_;
};

// One process. Port 0: it knows no other.
struct Node {
  Node(const engine::Tokenizer& tokenizer, const ChatTemplate& chat_template, int port,
       cache::SingleFlight::Options options = test::PatientFlight(), bool can_go_on = true,
       int tail_port = 0)
      : prompts(tokenizer),
        redis(port == 0 ? nullptr
                        : std::make_unique<RedisInstance>(port, options, "shared secret", 200,
                                                          tail_port)),
        exact(store, redis ? &redis->store : nullptr, Clock::System(), &invalidations),
        engine_generator({.engine = engine,
                          .tokenizer = tokenizer,
                          .chat_template = &chat_template,
                          .prompts = prompts,
                          .waiting_max = 10}),
        from_beginning(engine_generator),
        generator(can_go_on ? static_cast<Generator&>(engine_generator) : from_beginning),
        shared(redis ? std::make_unique<SharedFlights>(redis->flight, exact, generator) : nullptr),
        pipeline({.generator = generator,
                  .exact = exact,
                  .flights = flights,
                  .shared_flights = shared.get(),
                  .writer = writer,
                  .stats = stats,
                  .policy = {},
                  .partitioner = partitioner,
                  .metrics = metrics,
                  .access_log = false}) {
    engine.script = Deterministic(tokenizer);
  }

  ServerReply Ask(
      json body, const std::string& control = "",
      std::function<bool()> client_left = [] { return false; }) {
    const bool chat = !body.contains("prompt");
    if (chat) body["messages"] = json::array({{{"role", "user"}, {"content", "harbour?"}}});
    const openai::ParseLimits limits{.vocab_size = 8192};
    auto request = chat ? openai::ParseChatRequest(body.dump(), limits)
                        : openai::ParseCompletionRequest(body.dump(), limits);
    EXPECT_TRUE(request) << request.error().message;
    ServerReply reply;
    pipeline.Run(std::make_shared<const openai::ApiRequest>(std::move(*request)),
                 {.header =
                      [control](const std::string& name) {
                        return name == "Cache-Control" ? control : std::string();
                      },
                  .client_left = std::move(client_left)},
                 {.id = "r", .route = "/v1/chat/completions"}, reply);
    return reply;
  }
  // The whole answer; as a body made of the events if it is a stream.
  json Whole(json body) {
    ServerReply reply = Ask(body);
    return Whole(reply, body.value("stream", false));
  }
  json Whole(ServerReply& reply, bool stream) {
    json whole;
    if (stream) {
      Client client;
      reply.stream(client);
      whole = client.Events();
    } else {
      whole = json::parse(reply.body);
    }
    reply.on_sent();
    reply = {};
    return whole;
  }
  size_t Forced() const {
    size_t forced = 0;
    for (const GenerationRequest& request : engine.Requests()) forced += request.forced.size();
    return forced;
  }

  engine::FakeEngine engine;
  PromptBuilder prompts;
  std::unique_ptr<RedisInstance> redis;
  cache::MemoryStore store{cache::MemoryStore::Options{.bytes_max = 8 << 20}};
  cache::Invalidations invalidations;
  cache::ExactCache exact;
  Flights flights;
  cache::Writer writer{exact};
  cache::CacheStats stats;
  cache::Partitioner partitioner{"secret"};
  Metrics metrics{"m"};
  EngineGenerator engine_generator;
  FromTheBeginning from_beginning;
  Generator& generator;
  std::unique_ptr<SharedFlights> shared;
  ChatPipeline pipeline;
};

// What all events of a stream say together: by choice the text, the token ids, the log probabilities and
// the ends; and the usage.
json Summary(json events) {
  json all = json::object();
  if (!events.is_array()) events = json::array({events});
  for (const json& event : events) {
    if (!event.is_object()) continue;
    if (event.contains("prompt_logprobs")) all["prompt_logprobs"] = event["prompt_logprobs"];
    if (event.contains("error")) all["error"] = event["error"];
    if (event.contains("usage") && !event["usage"].is_null()) all["usage"] = event["usage"];
    for (const json& choice : event.value("choices", json::array())) {
      json& one = all[std::to_string(choice["index"].get<int>())];
      if (!one.is_object())
        one = {{"text", ""},
               {"ids", json::array()},
               {"logprobs", json::array()},
               {"ends", json::array()}};
      if (choice.contains("prompt_logprobs")) one["prompt_logprobs"] = choice["prompt_logprobs"];
      const char* said = choice.contains("delta") ? "delta" : "message";
      const std::string text =
          choice.contains(said) ? choice[said].value("content", "") : choice.value("text", "");
      one["text"] = one["text"].get<std::string>() + text;
      if (choice.contains("token_ids") && choice["token_ids"].is_array())
        for (const json& id : choice["token_ids"]) one["ids"].push_back(id);
      if (choice.contains("logprobs") && choice["logprobs"].is_object()) {
        const json& logprobs = choice["logprobs"];
        for (const json& token : logprobs.value("content", logprobs.value("tokens", json::array())))
          one["logprobs"].push_back(token);
      }
      if (!choice["finish_reason"].is_null())
        one["ends"].push_back({choice["finish_reason"], choice.value("stop_reason", json())});
    }
  }
  return all;
}

class SharedFlightTest : public ::testing::Test {
 protected:
  std::unique_ptr<Node> MakeNode(cache::SingleFlight::Options options = test::PatientFlight(),
                                 bool can_go_on = true) {
    return std::make_unique<Node>(*tokenizer_, *template_, server_.port(), std::move(options),
                                  can_go_on);
  }

  // `a` begins, `b` follows, `a` says `events` events and its client leaves; what b's client hears.
  json Interrupted(Node& a, Node& b, json body, size_t events) {
    const bool stream = MakeStream(body);
    a.engine.events_allowed = events;
    std::atomic<bool> leave = false, begun = false;
    const int64_t follows = b.redis->flight.stats().follows;
    std::thread leader([&] {
      ServerReply first = a.Ask(body, "", [&] {
        begun = true;
        return leave.load();
      });
      EXPECT_EQ(Header(first, "X-Cache"), "MISS");
      begun = true;
      Leaver client(leave);
      if (stream) first.stream(client);
      first.on_sent();
    });
    while (!begun) std::this_thread::sleep_for(milliseconds(1));
    std::thread leaving([&] {
      while (!leave && b.redis->flight.stats().follows == follows)
        std::this_thread::sleep_for(milliseconds(1));
      // Most of what is allowed is published by then.
      std::this_thread::sleep_for(milliseconds(30));
      leave = true;
    });
    ServerReply second = b.Ask(body);
    // A stop string may have ended it before anybody asked.
    EXPECT_THAT(Header(second, "X-Cache"), ::testing::AnyOf("COALESCED", "HIT"));
    if (Header(second, "X-Cache") == "HIT") leave = true;
    json heard = Summary(b.Whole(second, stream));
    leader.join();
    leaving.join();
    return heard;
  }
  // The log probabilities of a prompt are not streamed.
  static bool MakeStream(json& body) {
    if (body.contains("prompt_logprobs")) return false;
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
    return true;
  }
  // What one instance alone says to it.
  json Alone(json body) {
    Node node(*tokenizer_, *template_, 0);
    MakeStream(body);
    return Summary(node.Whole(body));
  }

  std::unique_ptr<engine::Tokenizer> tokenizer_ = *engine::Tokenizer::Open(kModelDir);
  std::unique_ptr<ChatTemplate> template_ = *ChatTemplate::Open(kModelDir);
  test::RedisServer server_;
};

// Requests of every shape that changes how an answer is told.
json RandomBody(std::mt19937& random) {
  json body = {{"seed", random() % 1000}, {"max_tokens", 20 + random() % 150}};
  const auto maybe = [&](int one_in) { return random() % static_cast<uint32_t>(one_in) == 0; };
  const bool chat = maybe(2);
  if (!chat) body["prompt"] = maybe(2) ? json("harbour") : json::array({"harbour", "anchor"});
  if (maybe(3)) body["n"] = 1 + random() % 3;
  if (maybe(3)) body["stop"] = json::array({maybe(2) ? "größer 船; Nr 1" : "un port", "Nr 3"});
  if (maybe(4)) body["include_stop_str_in_output"] = true;
  if (maybe(3)) body["min_tokens"] = random() % 15;
  if (maybe(3)) body["return_token_ids"] = true;
  if (maybe(3)) {
    body["logprobs"] = chat ? json(true) : json(2);
    if (chat) body["top_logprobs"] = 2;
  }
  if (maybe(5)) body["skip_special_tokens"] = false;
  if (!chat && maybe(5)) body["echo"] = true;
  if (maybe(6)) body["prompt_logprobs"] = 1;
  return body;
}

TEST_F(SharedFlightTest, WhoGoesOnSaysWhatTheFirstWouldHaveSaidWhateverWasAsked) {
  const auto a = MakeNode(), b = MakeNode();
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    json body = RandomBody(random);
    body["user"] = "u";
    body["cache_salt"] = std::to_string(seed);  // a question of its own
    SCOPED_TRACE(body.dump());
    EXPECT_EQ(Interrupted(*a, *b, body, 1 + random() % 60), Alone(body));
    Until([&] { return b->redis->flight.stats().leading == 0; });
  }
  EXPECT_GT(b->Forced(), 100u) << "from where it was";
  EXPECT_GT(b->redis->flight.stats().takeovers, 30);
  EXPECT_EQ(b->stats.Snapshot().misses, 0);
  EXPECT_EQ(b->stats.Snapshot().HitsTotal(), 60);
  EXPECT_GT(b->stats.Snapshot().hits[static_cast<size_t>(cache::Tier::kCoalesced)], 40);
}

TEST_F(SharedFlightTest, AGeneratorThatBeginsAtTheBeginningIsHeardFromWhereItWas) {
  const auto a = MakeNode(), b = MakeNode(test::PatientFlight(), /*can_go_on=*/false);
  for (uint32_t seed = 100; seed < 130; ++seed) {
    std::mt19937 random(seed);
    json body = RandomBody(random);
    body["cache_salt"] = std::to_string(seed);
    SCOPED_TRACE(body.dump());
    EXPECT_EQ(Interrupted(*a, *b, body, 1 + random() % 60), Alone(body));
  }
  EXPECT_EQ(b->Forced(), 0u);
}

TEST_F(SharedFlightTest, AnotherAnswerThanTheOneBegunIsAnErrorAndNotKept) {
  const auto a = MakeNode(), b = MakeNode(test::PatientFlight(), /*can_go_on=*/false);
  b->engine.script = [this](const GenerationRequest& request) {
    return engine::Says(request, tokenizer_->Encode("Something else altogether, and long enough."));
  };
  const json heard = Interrupted(*a, *b, {{"seed", 1}}, 30);
  EXPECT_THAT(heard["error"]["message"], ::testing::HasSubstr("it is another one"));
  const std::string text = heard["0"]["text"];
  EXPECT_TRUE(text.starts_with("A place for ships") && text.find("Something") == std::string::npos);
  EXPECT_TRUE(b->writer.Flush(milliseconds(20'000)));
  EXPECT_EQ(b->store.stats().entries, 0);
  Until([&] { return b->redis->flight.stats().leading == 0; });
  EXPECT_EQ(b->redis->store.stats().stored, 0);
}

TEST_F(SharedFlightTest, OneGenerationForManyOnThreeInstancesAndOneEntry) {
  const auto a = MakeNode(), b = MakeNode(), c = MakeNode();
  Node* const nodes[] = {a.get(), b.get(), c.get()};
  const json expected = Alone({{"seed", 4}})["0"]["text"];
  for (Node* node : nodes) node->engine.events_allowed = 3;
  std::atomic<int> right = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 60; ++i)
    clients.emplace_back([&, i] {
      const bool stream = i % 2 == 0;
      const json whole = nodes[i % 3]->Whole({{"seed", 4}, {"stream", stream}});
      const json text =
          stream ? Summary(whole)["0"]["text"] : whole["choices"][0]["message"]["content"];
      if (text == expected) ++right;
    });
  const auto counted = [&] {
    int64_t requests = 0;
    for (Node* node : nodes) requests += node->stats.Snapshot().Requests();
    return requests;
  };
  Until([&] { return counted() == 60; });
  for (Node* node : nodes) node->engine.events_allowed = SIZE_MAX;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 60);
  size_t generations = 0;
  int64_t misses = 0, coalesced = 0, stored = 0;
  for (Node* node : nodes) {
    generations += node->engine.Requests().size();
    misses += node->stats.Snapshot().misses;
    coalesced += node->stats.Snapshot().hits[static_cast<size_t>(cache::Tier::kCoalesced)];
    EXPECT_TRUE(node->writer.Flush(milliseconds(20'000)));
    Until([&] { return node->redis->flight.stats().leading == 0; });
    stored += node->redis->store.stats().stored;
    EXPECT_EQ(node->store.stats().entries, 1) << "each keeps it for itself";
  }
  EXPECT_EQ(generations, 1u);
  EXPECT_EQ(misses, 1);
  EXPECT_EQ(coalesced, 59);
  EXPECT_EQ(stored, 1);
}

// As after SIGSTOP: it publishes nothing and renews nothing until its lease is over, and then goes on.
TEST_F(SharedFlightTest, ALeaderThatSleptPastItsLeaseAnswersItsOwnAndDisturbsNobody) {
  cache::SingleFlight::Options asleep = test::PatientFlight();
  asleep.lease = milliseconds(200);
  asleep.renew = milliseconds(3'600'000);
  const auto a = MakeNode(asleep), b = MakeNode(), c = MakeNode();
  const json body = {{"seed", 9}, {"stream", true}, {"stream_options", {{"include_usage", true}}}};
  const json expected = Alone(body);
  a->engine.events_allowed = 20;
  b->engine.events_allowed = 10;
  ServerReply first = a->Ask(body);
  json of_a, of_b, of_c;
  std::thread leader([&] { of_a = Summary(a->Whole(first, true)); });
  ServerReply second = b->Ask(body);
  std::thread next([&] { of_b = Summary(b->Whole(second, true)); });
  Until([&] { return b->redis->flight.stats().takeovers == 1; });
  ServerReply third = c->Ask(body);
  EXPECT_EQ(Header(third, "X-Cache"), "COALESCED");
  std::thread last([&] { of_c = Summary(c->Whole(third, true)); });
  a->engine.events_allowed = SIZE_MAX;
  leader.join();
  EXPECT_EQ(of_a, expected);
  EXPECT_TRUE(a->writer.Flush(milliseconds(20'000)));
  EXPECT_EQ(a->redis->store.stats().stored, 0);
  b->engine.events_allowed = SIZE_MAX;
  next.join();
  last.join();
  EXPECT_EQ(of_b, expected);
  EXPECT_EQ(of_c, expected) << "of the new term, from its beginning";
  EXPECT_TRUE(c->engine.Requests().empty());
  Until([&] { return b->redis->store.stats().stored == 1; });
}

TEST_F(SharedFlightTest, WhatBeganBeforeAnInvalidationIsNeitherFollowedNorKept) {
  const auto a = MakeNode(), b = MakeNode(), c = MakeNode();
  const json body = {{"seed", 9}, {"stream", true}, {"stream_options", {{"include_usage", true}}}};
  a->engine.events_allowed = 20;
  ServerReply first = a->Ask(body);
  json of_a;
  std::thread leader([&] { of_a = Summary(a->Whole(first, true)); });
  for (Node* node : {a.get(), b.get(), c.get()})
    node->invalidations.Add({.id = "one", .predicate = {}, .position = cache::PositionOf("5-0")});
  ServerReply second = b->Ask(body);
  EXPECT_EQ(Header(second, "X-Cache"), "MISS");
  EXPECT_EQ(Summary(b->Whole(second, true)), Alone(body));
  Until([&] { return b->redis->store.stats().stored == 1; });
  a->engine.events_allowed = SIZE_MAX;
  leader.join();
  EXPECT_EQ(of_a, Alone(body)) << "whoever heard it before may hear the end";
  EXPECT_TRUE(a->writer.Flush(milliseconds(20'000)));
  EXPECT_EQ(a->store.stats().entries, 0);
  EXPECT_EQ(a->redis->store.stats().stored, 0);
  ServerReply third = c->Ask(body);
  EXPECT_EQ(Header(third, "X-Cache"), "HIT") << "what b generated after it";
  c->Whole(third, true);
}

TEST_F(SharedFlightTest, ADeadEntryInRedisDoesNotStandInTheWayOfTheNextTurn) {
  const auto a = MakeNode(), b = MakeNode();
  const json body = {{"seed", 9}, {"stream", true}, {"stream_options", {{"include_usage", true}}}};
  a->Whole(body);
  Until([&] { return a->redis->store.stats().stored == 1; });
  b->invalidations.Add({.id = "one", .predicate = {}, .position = cache::PositionOf("5-0")});
  ServerReply reply = b->Ask(body);
  EXPECT_EQ(Header(reply, "X-Cache"), "MISS");
  b->Whole(reply, true);
  EXPECT_EQ(b->redis->flight.stats().leads, 1) << "told to the others";
  Until([&] { return b->redis->store.stats().stored == 1; });
}

TEST_F(SharedFlightTest, WhatFailsAtTheLeaderIsGoneOnWithAtTheFollower) {
  const auto a = MakeNode(), b = MakeNode();
  const json body = {{"seed", 2}, {"stream", true}, {"stream_options", {{"include_usage", true}}}};
  a->engine.script = [&](const GenerationRequest& request) {
    auto events = Deterministic(*tokenizer_)(request);
    events.resize(30);
    events.emplace_back();
    events.back().finished =
        GenerationEvent::Finished{.reason = FinishReason::kError, .error = "the device is gone"};
    return events;
  };
  a->engine.events_allowed = 20;
  ServerReply first = a->Ask(body);
  json of_a;
  std::thread leader([&] { of_a = Summary(a->Whole(first, true)); });
  ServerReply second = b->Ask(body);
  a->engine.events_allowed = SIZE_MAX;
  EXPECT_EQ(Summary(b->Whole(second, true)), Alone(body));
  leader.join();
  EXPECT_EQ(of_a["error"]["message"], "the device is gone");
}

TEST_F(SharedFlightTest, WithoutRedisInTheMiddleTheFollowerGoesOnAlone) {
  const auto a = MakeNode(), b = MakeNode();
  const json body = {{"seed", 5}, {"stream", true}, {"stream_options", {{"include_usage", true}}}};
  a->engine.events_allowed = 20;
  ServerReply first = a->Ask(body);
  json of_a;
  std::thread leader([&] { of_a = Summary(a->Whole(first, true)); });
  ServerReply second = b->Ask(body);
  server_.Kill();
  EXPECT_EQ(Summary(b->Whole(second, true)), Alone(body));
  a->engine.events_allowed = SIZE_MAX;
  leader.join();
  EXPECT_EQ(of_a, Alone(body));
  EXPECT_EQ(b->stats.Snapshot().Requests(), 1);
}

TEST_F(SharedFlightTest, WhoCanTakeTurnsButNotListenGeneratesForItself) {
  const auto a = MakeNode();
  Node b(*tokenizer_, *template_, server_.port(), test::PatientFlight(), true, test::FreePort());
  a->engine.events_allowed = 20;
  ServerReply first = a->Ask({{"seed", 5}, {"stream", true}});
  ServerReply second = b.Ask({{"seed", 5}});
  EXPECT_EQ(Header(second, "X-Cache"), "MISS");
  EXPECT_EQ(b.Whole(second, false)["choices"][0]["message"]["content"],
            Alone({{"seed", 5}})["0"]["text"]);
  a->engine.events_allowed = SIZE_MAX;
  a->Whole(first, true);
}

TEST_F(SharedFlightTest, WhoWantsAnAnswerOfHisOwnPublishesNothing) {
  const auto a = MakeNode(), b = MakeNode();
  for (const char* control : {"no-store", "no-cache", "max-age=5"}) {
    ServerReply reply = a->Ask({{"seed", 6}}, control);
    reply.on_sent();
    reply = {};
    EXPECT_TRUE(a->writer.Flush(milliseconds(20'000)));
    a->redis->Run({"DEL", a->redis->store.Key({})});
  }
  EXPECT_EQ(a->redis->flight.stats().leads, 0);
  EXPECT_EQ(a->redis
                ->Run({"EVAL",
                       "return #redis.call('KEYS', '*live*') + #redis.call('KEYS', '*lock*')", "0"})
                .integer,
            0);
}

TEST_F(SharedFlightTest, ARequestThatIsRefusedIsRefusedByEachInItsOwnWords) {
  const auto a = MakeNode(), b = MakeNode();
  std::atomic<bool> asked = false;
  a->engine.submit_error = [&](const GenerationRequest&) -> Status {
    while (!asked) std::this_thread::sleep_for(milliseconds(1));
    std::this_thread::sleep_for(milliseconds(20));
    return MakeError(ErrorCode::kResourceExhausted, "the queue is full");
  };
  std::thread first([&] { EXPECT_EQ(a->Ask({{"seed", 8}}).status, 429); });
  Until([&] { return a->redis->flight.stats().leads == 1; });
  asked = true;
  ServerReply reply = b->Ask({{"seed", 8}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Header(reply, "X-Cache"), "MISS") << "it had not begun";
  first.join();
}

}  // namespace
}  // namespace nextgate::gateway
