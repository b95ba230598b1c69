#include "gateway/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/gateway/chat_pipeline_fixture.h"
#include "tests/support/redis_instance.h"
#include "tests/support/redis_server.h"

namespace nextgate::gateway {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

PrincipalPtr KeyWith(KeyLimits limits, std::string id = "k") {
  auto principal = std::make_shared<Principal>();
  principal->id = std::move(id);
  principal->limits = limits;
  return principal;
}

class AdmissionTest : public ::testing::Test {
 protected:
  Status Admit(const PrincipalPtr& key, Ticket& ticket) { return admission_.Admit(key, ticket); }
  std::string Exposed() const { return metrics_.Expose({}, {}, {}, {}); }

  Metrics metrics_{"m"};
  ManualClock clock_;
  Admission admission_{metrics_, nullptr, clock_};
};

TEST_F(AdmissionTest, RequestsOfAMinuteGrowBackEvenly) {
  const PrincipalPtr key = KeyWith({.rpm = 60});
  for (int i = 0; i < 60; ++i) {
    Ticket ticket;
    ASSERT_TRUE(Admit(key, ticket)) << i;
    EXPECT_EQ(ticket.standing()->requests_left, 59 - i);
  }
  Ticket ticket;
  const Status refused = Admit(key, ticket);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().message, HasSubstr("60 requests a minute"));
  EXPECT_EQ(ticket.standing()->retry_after_s, 2);  // a second and a bit
  clock_.AdvanceMs(999);
  EXPECT_FALSE(Admit(key, ticket));
  clock_.AdvanceMs(2);
  EXPECT_TRUE(Admit(key, ticket));
  EXPECT_FALSE(Admit(key, ticket));
  EXPECT_TRUE(Admit(KeyWith({.rpm = 60}, "other"), ticket));
  EXPECT_TRUE(Admit(Everybody(), ticket));
  EXPECT_THAT(Exposed(), HasSubstr("gateway_limited_total{limit=\"requests\"} 3"));
}

TEST_F(AdmissionTest, ALimitThatAKeyIsGivenLaterStartsFull) {
  for (int i = 0; i < 100; ++i) {
    Ticket ticket;
    ASSERT_TRUE(Admit(KeyWith({.concurrency = 5}), ticket));
  }
  const PrincipalPtr limited = KeyWith({.rpm = 10, .tpm = 1000, .concurrency = 5});
  for (int i = 0; i < 10; ++i) {
    Ticket ticket;
    ASSERT_TRUE(Admit(limited, ticket)) << i;
    EXPECT_TRUE(ticket.ReserveTokens(100)) << i;
    ticket.Settle(100);
  }
  Ticket ticket;
  EXPECT_FALSE(Admit(limited, ticket));
}

TEST_F(AdmissionTest, TokensAreReservedAndWhatWasNotUsedComesBack) {
  const PrincipalPtr key = KeyWith({.tpm = 1000});
  Ticket one, two;
  ASSERT_TRUE(Admit(key, one));
  ASSERT_TRUE(one.ReserveTokens(700));
  ASSERT_TRUE(Admit(key, two));
  const Status refused = two.ReserveTokens(301);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("1000 tokens a minute"));
  one.Settle(100);
  EXPECT_TRUE(two.ReserveTokens(301));
  EXPECT_EQ(two.standing()->tokens_left, 599);
  two.Settle(2301);  // 2,000 more than reserved: owed
  Ticket three;
  ASSERT_TRUE(Admit(key, three));
  EXPECT_EQ(three.standing()->tokens_left, -1401);
  EXPECT_FALSE(three.ReserveTokens(1));
  clock_.AdvanceMs(60'000 + 30'000);
  EXPECT_TRUE(three.ReserveTokens(90));
}

TEST_F(AdmissionTest, ARequestLargerThanAMinuteGetsInWhenTheMinuteIsWhole) {
  const PrincipalPtr key = KeyWith({.tpm = 1000});
  Ticket one, two;
  ASSERT_TRUE(Admit(key, one));
  EXPECT_TRUE(one.ReserveTokens(5000));
  one.Settle(1000);
  ASSERT_TRUE(Admit(key, two));
  EXPECT_FALSE(two.ReserveTokens(5000));
  clock_.AdvanceMs(60'000);
  EXPECT_TRUE(two.ReserveTokens(5000));
}

TEST_F(AdmissionTest, ATicketThatEndsMakesRoomAndSettlesOnce) {
  const PrincipalPtr key = KeyWith({.concurrency = 2});
  Ticket one, two, three;
  ASSERT_TRUE(Admit(key, one));
  ASSERT_TRUE(Admit(key, two));
  const Status refused = Admit(key, three);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("2 requests at once"));
  one.Settle(0);
  one.Settle(0);
  EXPECT_TRUE(Admit(key, three));
  EXPECT_FALSE(Admit(key, one));
  {
    const Ticket moved = std::move(two);
    EXPECT_FALSE(Admit(key, one));
  }
  EXPECT_TRUE(Admit(key, one));
}

TEST_F(AdmissionTest, HeadersSayHowAKeyStandsAndReplaceAnUpstreams) {
  const PrincipalPtr key = KeyWith({.rpm = 60, .tpm = 6000});
  Ticket ticket;
  ASSERT_TRUE(Admit(key, ticket));
  ASSERT_TRUE(ticket.ReserveTokens(100));
  ReplyHeaders headers = {{"X-RateLimit-Limit-Requests", "7"}};
  AddLimitHeaders(*ticket.standing(), headers);
  EXPECT_THAT(headers,
              ::testing::UnorderedElementsAre(std::pair("x-ratelimit-limit-requests", "60"),
                                              std::pair("x-ratelimit-remaining-requests", "59"),
                                              std::pair("x-ratelimit-reset-requests", "1s"),
                                              std::pair("x-ratelimit-limit-tokens", "6000"),
                                              std::pair("x-ratelimit-remaining-tokens", "5900"),
                                              std::pair("x-ratelimit-reset-tokens", "1s")));
  headers.clear();
  AddLimitHeaders(LimitStanding{}, headers);
  EXPECT_TRUE(headers.empty());
}

TEST_F(AdmissionTest, ManyThreadsNeverGetMoreThanThereIs) {
  const PrincipalPtr key = KeyWith({.rpm = 100});
  std::atomic<int> admitted = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        Ticket ticket;
        if (Admit(key, ticket)) ++admitted;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, 100);
}

// One of several processes that share a Redis.
struct Instance {
  explicit Instance(int port, milliseconds lease = milliseconds(30'000))
      : client(test::PatientClient(port)),
        shared({.name_space = "test",
                .budget = milliseconds(5000),
                .settle_budget = milliseconds(5000),
                .lease = lease},
               client) {
    EXPECT_TRUE(client.WaitAvailable(milliseconds(20'000)));
  }
  std::string Exposed() const { return metrics.Expose({}, {}, {}, {}); }

  Metrics metrics{"m"};
  ManualClock clock;  // this process forgets nothing; Redis has a clock of its own
  cache::RedisClient client;
  SharedLimits shared;
  Admission admission{metrics, &shared, clock};
};

TEST(SharedLimits, InstancesTogetherAdmitNoMoreThanOneWould) {
  test::RedisServer redis;
  Instance a(redis.port()), b(redis.port());
  const PrincipalPtr key = KeyWith({.rpm = 5, .tpm = 100, .concurrency = 3});
  std::vector<Ticket> tickets(3);
  ASSERT_TRUE(a.admission.Admit(key, tickets[0]));
  ASSERT_TRUE(b.admission.Admit(key, tickets[1]));
  ASSERT_TRUE(a.admission.Admit(key, tickets[2]));
  Ticket more;
  EXPECT_THAT(b.admission.Admit(key, more).error().message, HasSubstr("3 requests at once"));
  ASSERT_TRUE(tickets[0].ReserveTokens(80));
  EXPECT_THAT(tickets[1].ReserveTokens(80).error().message, HasSubstr("100 tokens a minute"));
  tickets[0].Settle(10);
  EXPECT_TRUE(tickets[1].ReserveTokens(80));
  EXPECT_TRUE(b.admission.Admit(key, more));
  EXPECT_EQ(more.standing()->requests_left, 1);
  tickets.clear();
  more = Ticket();
  EXPECT_TRUE(a.admission.Admit(key, more));
  more = Ticket();
  const Status refused = b.admission.Admit(key, more);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("5 requests a minute"));
  EXPECT_GE(more.standing()->retry_after_s, 1);
  EXPECT_THAT(a.Exposed(), HasSubstr("gateway_limits_alone_total 0"));
}

TEST(SharedLimits, WhatADeadInstanceHeldComesBackAndWhatALivingOneHoldsStays) {
  test::RedisServer redis;
  const PrincipalPtr key = KeyWith({.concurrency = 1});
  Instance living(redis.port(), milliseconds(2000));
  auto dying = std::make_unique<Instance>(redis.port(), milliseconds(2000));
  // As if the process were killed: its ticket is never settled, and nobody renews it.
  ASSERT_TRUE(dying->shared.Begin(*key, "orphan"));
  dying.reset();
  Ticket ticket;
  EXPECT_FALSE(living.admission.Admit(key, ticket));
  const auto deadline = std::chrono::steady_clock::now() + milliseconds(20'000);
  while (!living.admission.Admit(key, ticket) && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(milliseconds(20));
  ASSERT_NE(ticket.standing()->limits.concurrency, 0);
  Instance third(redis.port());
  Ticket other;
  std::this_thread::sleep_for(milliseconds(3000));  // one and a half leases
  EXPECT_FALSE(third.admission.Admit(key, other)) << "renewed while it runs";
  ticket.Settle(0);
  EXPECT_TRUE(third.admission.Admit(key, other));
}

TEST(SharedLimits, WithoutRedisEachProcessGoesOnWithItsOwnCount) {
  test::RedisServer redis;
  Instance a(redis.port());
  const PrincipalPtr key = KeyWith({.rpm = 3, .tpm = 100});
  Ticket ticket;
  ASSERT_TRUE(a.admission.Admit(key, ticket));
  redis.Kill();
  ASSERT_TRUE(a.admission.Admit(key, ticket));
  ASSERT_TRUE(ticket.ReserveTokens(60));
  ASSERT_TRUE(a.admission.Admit(key, ticket));
  EXPECT_FALSE(a.admission.Admit(key, ticket)) << "three a minute, as ever";
  EXPECT_THAT(a.Exposed(), ::testing::Not(HasSubstr("gateway_limits_alone_total 0")));
}

// What requests cost, from their arrival to their last byte.
class LimitedPipelineTest : public ChatPipelineTest {
 protected:
  ServerReply AskAs(const PrincipalPtr& key, bool stream = false) {
    const json body = {{"temperature", 0},
                       {"stream", stream},
                       {"max_tokens", 50},
                       {"messages", json::array({{{"role", "user"}, {"content", "harbour?"}}})}};
    auto request = openai::ParseChatRequest(body.dump(), {.vocab_size = 8192});
    EXPECT_TRUE(request) << request.error().message;
    Ticket ticket;
    EXPECT_TRUE(admission_.Admit(key, ticket));
    ServerReply reply;
    pipeline_.Run(std::make_shared<const openai::ApiRequest>(std::move(*request)), NoHeaders(),
                  {.id = "r", .route = "/v1/chat/completions"}, reply, std::move(ticket));
    return reply;
  }
  int64_t TokensLeft(const PrincipalPtr& key) {
    Ticket ticket;
    EXPECT_TRUE(admission_.Admit(key, ticket));
    return ticket.standing()->tokens_left;
  }

  ManualClock clock_;
  Admission admission_{metrics_, nullptr, clock_};
};

TEST_F(LimitedPipelineTest, AGenerationCostsItsUsageAndAStoredAnswerNothing) {
  const PrincipalPtr key = KeyWith({.tpm = 100});
  ServerReply first = AskAs(key);
  EXPECT_LE(TokensLeft(key), 50) << "reserved as long as it runs";
  const int64_t used = json::parse(first.body)["usage"]["total_tokens"];
  Sent(first);
  EXPECT_EQ(TokensLeft(key), 100 - used);
  ServerReply second = AskAs(key);
  EXPECT_EQ(Header(second, "X-Cache"), "HIT");
  EXPECT_EQ(TokensLeft(key), 100 - used);
  Sent(second);
  EXPECT_EQ(TokensLeft(key), 100 - used);
}

TEST_F(LimitedPipelineTest, WithoutTokensThereIsNoGenerationAndOthersAreNotHeldUp) {
  const PrincipalPtr poor = KeyWith({.tpm = 100}, "poor"), rich = KeyWith({.tpm = 1000}, "rich");
  Ticket spent;
  ASSERT_TRUE(admission_.Admit(poor, spent));
  ASSERT_TRUE(spent.ReserveTokens(100));
  ServerReply refused = AskAs(poor);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(json::parse(refused.body)["error"]["code"], "rate_limit_exceeded");
  EXPECT_GE(std::stoi(Header(refused, "Retry-After")), 30);  // 50 tokens and more of 100 a minute
  EXPECT_TRUE(engine_.Requests().empty());
  ServerReply answered = AskAs(rich);
  EXPECT_EQ(answered.status, 200);
  Sent(refused);
  Sent(answered);
}

TEST_F(LimitedPipelineTest, AClientThatLeavesPaysForWhatItHeard) {
  engine_.events_allowed = 3;  // begun, and two tokens
  const PrincipalPtr key = KeyWith({.tpm = 100});
  ServerReply reply = AskAs(key, /*stream=*/true);
  Stream(reply, Client(/*patience=*/1));
  reply.on_sent();
  // 8 bytes of prompt, and one or two tokens; not the 50 that were reserved.
  EXPECT_LT(TokensLeft(key), 100 - 2);
  EXPECT_GE(TokensLeft(key), 100 - 2 - 2);
}

TEST_F(LimitedPipelineTest, WhatTheEngineRefusesCostsNoTokens) {
  engine_.submit_error = [](const engine::GenerationRequest&) -> Status {
    return MakeError(ErrorCode::kOutOfRange, "too long");
  };
  const PrincipalPtr key = KeyWith({.tpm = 100});
  ServerReply reply = AskAs(key);
  EXPECT_EQ(reply.status, 400);
  reply.on_sent();
  EXPECT_EQ(TokensLeft(key), 100);
}

}  // namespace
}  // namespace nextgate::gateway
