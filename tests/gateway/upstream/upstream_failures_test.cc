// What becomes of a request when its upstream refuses, hangs, breaks off or talks nonsense.
#include <gmock/gmock.h>

#include <future>

#include "tests/gateway/upstream/upstream_fixture.h"

namespace nextgate::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr std::string_view kError =
    R"({"error":{"message":"in its own words","type":"odd","param":"x","code":7}})";

std::string ErrorOf(const ServerReply& reply) {
  return json::parse(reply.body)["error"]["message"].get<std::string>();
}

TEST_F(UpstreamTest, NobodyThereIsA502AfterEveryRound) {
  Open({NobodysUrl()});
  ServerReply reply = Ask();
  EXPECT_EQ(reply.status, 502);
  EXPECT_THAT(ErrorOf(reply), HasSubstr("cannot be reached"));
  EXPECT_EQ(Stats().requests, 3);
  EXPECT_EQ(Stats().retries, 2);
  EXPECT_EQ(Failures(UpstreamPhase::kConnect), 3);
  Sent(reply);
}

TEST_F(UpstreamTest, AStreamThatCannotBeginIsRefusedWithAStatusToo) {
  Open({NobodysUrl()});
  ServerReply reply = AskStream();
  EXPECT_FALSE(reply.stream);
  EXPECT_EQ(reply.status, 502);
  Sent(reply);
}

TEST_F(UpstreamTest, AConnectionThatIsClosedWithoutAnAnswerIsTriedAgain) {
  Script([](Conversation& c) { return c.number == 0 ? false : SayHelloAsAsked(c); });
  EXPECT_EQ(Listen(AskStream()).Text(), "Hello");
  EXPECT_EQ(server_->requests(), 2);
  EXPECT_EQ(Failures(UpstreamPhase::kFirstByte), 1);
}

TEST_F(UpstreamTest, AnAnswerThatDoesNotComeIsA504AndNotAskedForTwice) {
  Upstream::Options options = Quick();
  options.timeouts.first_byte = milliseconds(100);
  std::promise<bool> closed;
  Script(
      [&closed](Conversation& c) {
        closed.set_value(c.WaitClosed());
        return false;
      },
      options);
  ServerReply reply = AskStream();
  EXPECT_EQ(reply.status, 504);
  EXPECT_THAT(ErrorOf(reply), HasSubstr("no answer in 100 ms"));
  Sent(reply);
  EXPECT_TRUE(closed.get_future().get());
  EXPECT_EQ(server_->requests(), 1);
}

TEST_F(UpstreamTest, TheTimeForAllOfItIsBoundedHoweverItTrickles) {
  Upstream::Options options = Quick();
  options.timeouts.total = milliseconds(300);
  Script(
      [](Conversation& c) {
        c.BeginStream();
        while (c.Piece(": still here\n")) std::this_thread::sleep_for(milliseconds(10));
        return false;
      },
      options);
  ServerReply reply = AskStream();
  EXPECT_EQ(reply.status, 504);
  Sent(reply);
  EXPECT_EQ(Failures(UpstreamPhase::kTotal), 1);
}

TEST_F(UpstreamTest, AFloodThatIsNoAnswerEndsInTimeToo) {
  Upstream::Options options = Quick();
  options.timeouts.first_byte = milliseconds(200);
  options.retries = 0;
  Script(
      [](Conversation& c) {
        while (c.Send("HTTP/1.1 100 Continue\r\n\r\n")) {
        }
        return false;
      },
      options);
  ServerReply reply = Ask();
  EXPECT_EQ(reply.status, 504);
  Sent(reply);
}

TEST_F(UpstreamTest, AStreamThatHangsOrBreaksEndsWithAnErrorAndIsNotStored) {
  Upstream::Options options = Quick();
  options.timeouts.idle = milliseconds(200);
  Script(
      [](Conversation& c) {
        c.BeginStream();
        c.Event(Chunk(R"({"content":"Hel"})"));
        switch (c.number) {
          case 0:
            c.WaitClosed();
            break;
          case 1:
            break;  // closes
          case 2:
            c.Piece("data: {\"half");  // an event cut off, in a body that ends as it should
            c.Send("0\r\n\r\n");
            break;
          case 3:
            c.Event("garbage");
            break;
          case 4:
            c.Event(R"({"choices":[{"index":-1}]})");
            break;
          case 5:
            c.Send("no chunk\r\n");
            break;
          default:
            c.Piece("data: " + std::string(17 << 20, 'x'));
        }
        return false;
      },
      options);
  for (int i = 0; i < 7; ++i) {
    const std::vector<json> events = Listen(AskStream()).Events();
    ASSERT_EQ(events.size(), 2u) << i;
    EXPECT_EQ(events[0], json::parse(Chunk(R"({"content":"Hel"})")));
    EXPECT_THAT(events[1]["error"]["message"].get<std::string>(), HasSubstr("the upstream")) << i;
  }
  EXPECT_EQ(server_->requests(), 7);
  EXPECT_EQ(store_.stats().entries, 0);
}

TEST_F(UpstreamTest, NonsenseInsteadOfAnAnswerIsA502) {
  const std::string long_line(100'000, 'x');
  std::vector<std::string> answers = {
      "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnot json",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
      "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{\"cut\":",
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: nonsense\n\n",
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
      "SSH-2.0-OpenSSH_9\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: " + long_line,
  };
  Upstream::Options options = Quick();
  options.retries = 0;
  options.breaker.failures_max = 100;
  Script(
      [answers](Conversation& c) {
        c.Send(answers[static_cast<size_t>(c.number)]);
        return false;
      },
      options);
  for (size_t i = 0; i < answers.size(); ++i) {
    ServerReply reply = i % 2 == 0 ? Ask() : AskStream();
    EXPECT_EQ(reply.status, 502) << answers[i].substr(0, 100) << reply.body;
    EXPECT_THAT(ErrorOf(reply), HasSubstr("the upstream")) << answers[i].substr(0, 100);
    Sent(reply);
  }
}

TEST_F(UpstreamTest, ItsErrorsComeThroughInItsOwnWordsAndAreNotRetried) {
  const std::vector<int> statuses = {400, 401, 404, 422, 500, 501, 301};
  Script([statuses](Conversation& c) {
    if (c.number == static_cast<int>(statuses.size())) return SayHelloAsAsked(c);
    c.Reply(statuses[static_cast<size_t>(c.number)], kError, "X-Why: because\r\n");
    return true;
  });
  for (const int status : statuses) {
    ServerReply reply = status % 2 == 0 ? Ask() : AskStream();
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(reply.body, kError);
    EXPECT_EQ(Header(reply, "X-Why"), "because");
    Sent(reply);
  }
  EXPECT_EQ(Take(Ask())["choices"][0]["message"]["content"], "Hello");
  EXPECT_EQ(server_->requests(), 8);
}

TEST_F(UpstreamTest, AnErrorEventComesThroughAsItIs) {
  Script([](Conversation& c) {
    c.BeginStream();
    c.Event(Chunk(R"({"content":"Hel"})"));
    c.Event(kError);
    if (c.number == 0) c.EndStream();
    return false;
  });
  std::vector<json> events = Listen(AskStream()).Events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1], json::parse(kError));
  EXPECT_EQ(events[2], "done");
  events = Listen(AskStream()).Events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1], json::parse(kError));
  EXPECT_EQ(store_.stats().entries, 0);
}

TEST_F(UpstreamTest, OverloadIsTriedAgainAndThenComesThrough) {
  Upstream::Options options = Quick();
  options.breaker.failures_max = 100;
  Script(
      [](Conversation& c) {
        if (c.number == 0) return c.Reply(503, kError), true;
        if (c.number == 1) return c.Reply(502, "<html>bad gateway</html>"), true;
        if (c.number == 2) return SayHelloAsAsked(c);
        return c.Reply(503, kError), true;
      },
      options);
  EXPECT_EQ(Take(Ask())["choices"][0]["message"]["content"], "Hello");
  EXPECT_EQ(server_->requests(), 3);
  ServerReply reply = Ask(R"("seed":1)");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.body, kError);
  Sent(reply);
  EXPECT_EQ(server_->requests(), 6);
}

TEST_F(UpstreamTest, WhoIsLeftAloneBeforeItIsAskedAgainHasAnsweredAllTheSame) {
  Upstream::Options options = Quick();
  options.breaker = {.failures_max = 2, .open_min = milliseconds(60'000)};
  Script([](Conversation& c) { return c.Reply(503, kError, "Retry-After: 1\r\n"), true; }, options);
  auto waits = std::async(std::launch::async, [this] { return Ask(); });
  while (server_->requests() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ServerReply opens = Ask(R"("seed":1)");  // the second failure in a row
  EXPECT_EQ(opens.body, kError);
  Sent(opens);
  ServerReply reply = waits.get();
  EXPECT_EQ(reply.status, 503);
  EXPECT_NE(Header(reply, "Retry-After"), "");
  EXPECT_THAT(reply.body, HasSubstr("it answered with status 503"));
  Sent(reply);
  EXPECT_EQ(server_->requests(), 2);
}

TEST_F(UpstreamTest, RetryAfterIsWaitedForUnlessItIsTooLong) {
  Script([](Conversation& c) {
    if (c.number == 0) return c.Reply(429, kError, "Retry-After: 1\r\n"), true;
    if (c.number == 1) return SayHelloAsAsked(c);
    return c.Reply(429, kError, "Retry-After: 3600\r\n"), true;
  });
  const auto began = steady_clock::now();
  EXPECT_EQ(Take(Ask())["choices"][0]["message"]["content"], "Hello");
  EXPECT_GE(steady_clock::now() - began, milliseconds(1000));
  ServerReply reply = Ask(R"("seed":1)");
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(Header(reply, "Retry-After"), "3600");
  EXPECT_EQ(reply.body, kError);
  Sent(reply);
  EXPECT_EQ(server_->requests(), 3);
  EXPECT_EQ(Stats().breaker, Breaker::State::kClosed);
}

TEST_F(UpstreamTest, AnErrorWithoutABodyGetsOne) {
  Script([](Conversation& c) {
    c.Send("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
    return true;
  });
  ServerReply reply = Ask();
  EXPECT_EQ(reply.status, 500);
  EXPECT_THAT(ErrorOf(reply), HasSubstr("status 500"));
  Sent(reply);
}

TEST_F(UpstreamTest, TheNextUpstreamTakesOverAndAFailingOneIsLeftAlone) {
  ScriptedUpstream broken([](Conversation& c) {
    c.Reply(503, kError);
    return true;
  });
  server_ = std::make_unique<ScriptedUpstream>(SayHelloAsAsked);
  Upstream::Options options = Quick();
  options.breaker = {.failures_max = 3, .open_min = milliseconds(60'000)};
  Open({broken.Url(), server_->Url()}, options);
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ(Take(Ask(R"("seed":)" + std::to_string(i)))["choices"][0]["message"]["content"],
              "Hello");
  EXPECT_EQ(broken.requests(), 3);
  EXPECT_EQ(server_->requests(), 6);
  EXPECT_EQ(Stats(0).breaker, Breaker::State::kOpen);
  EXPECT_EQ(Stats(0).breaker_openings, 1);
  EXPECT_EQ(Stats(1).breaker, Breaker::State::kClosed);
}

TEST_F(UpstreamTest, WhenAllAreLeftAloneClientsAreToldWhenToComeBack) {
  Upstream::Options options = Quick();
  options.retries = 0;
  options.breaker = {.failures_max = 1, .open_min = milliseconds(30'000)};
  Open({NobodysUrl(), NobodysUrl()}, options);
  ServerReply reply = Ask();
  EXPECT_EQ(reply.status, 502);
  Sent(reply);
  reply = Ask();
  EXPECT_EQ(reply.status, 503);
  EXPECT_GE(std::stoi(Header(reply, "Retry-After")), 1);
  Sent(reply);
  EXPECT_EQ(Stats(0).requests + Stats(1).requests, 2);
}

TEST_F(UpstreamTest, OneThatCameBackIsUsedAgain) {
  Upstream::Options options = Quick();
  options.retries = 0;
  options.breaker = {.failures_max = 1, .open_min = milliseconds(50)};
  Script(
      [](Conversation& c) {
        if (c.number == 0) return c.Reply(502, kError), true;
        return SayHelloAsAsked(c);
      },
      options);
  ServerReply reply = Ask();
  EXPECT_EQ(reply.status, 502);
  Sent(reply);
  EXPECT_EQ(Stats().breaker, Breaker::State::kOpen);
  std::this_thread::sleep_for(milliseconds(60));
  EXPECT_EQ(Take(Ask())["choices"][0]["message"]["content"], "Hello");
  EXPECT_EQ(Stats().breaker, Breaker::State::kClosed);
}

TEST_F(UpstreamTest, FollowersHearTheSameRefusal) {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  Script([gone](Conversation& c) {
    gone.wait();
    c.Reply(400, kError);
    return true;
  });
  const auto ask = [&](bool stream) {
    return std::async(std::launch::async, [this, stream] {
      ServerReply reply = stream ? AskStream() : Ask();
      const auto heard = std::pair(reply.status, reply.body);
      Sent(reply);
      return heard;
    });
  };
  auto first = ask(true);
  while (server_->requests() == 0) std::this_thread::sleep_for(milliseconds(1));
  auto second = ask(false);
  while (stats_.Snapshot().hits[static_cast<size_t>(cache::Tier::kCoalesced)] < 1)
    std::this_thread::sleep_for(milliseconds(1));
  go.set_value();
  EXPECT_EQ(first.get(), std::pair(400, std::string(kError)));
  EXPECT_EQ(second.get(), std::pair(400, std::string(kError)));
  EXPECT_EQ(server_->requests(), 1);
}

}  // namespace
}  // namespace nextgate::gateway
