#include "gateway/upstream/http_exchange.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/gateway/upstream/scripted_upstream.h"
#include "tests/support/black_hole.h"

namespace nextgate::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using News = HttpExchange::News;

constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

// A host whose name the resolver of the test knows. Each has a name of its own: who asks for a host that
// is being asked for shares that answer (HostLookup), also that of a test before.
HttpExchange::Options Named(milliseconds connect, Resolver resolver) {
  static int hosts = 0;
  const std::string host = "upstream-" + std::to_string(++hosts) + ".test";
  return {.url = {.scheme = "http", .host = host, .port = 1, .target = "/"},
          .timeouts = {.connect = connect, .first_byte = milliseconds(20'000)},
          .resolver = std::move(resolver)};
}

News NewsOf(HttpExchange& exchange) {
  News news = News::kNothing;
  while (news == News::kNothing) news = exchange.Step(milliseconds(20));
  return news;
}

std::string Port(int port) { return NumericAddress("127.0.0.1", port)->front(); }

TEST(HttpExchange, AResolverThatHangsHoldsNoStepAndEndsWithTheTimeToConnect) {
  std::promise<void> go;
  HttpExchange exchange(Named(milliseconds(200),
                              [gone = go.get_future().share()](const std::string&, int) {
                                gone.wait();
                                return NumericAddress("127.0.0.1", 1);
                              }),
                        std::string(kRequest), nullptr);
  const auto began = steady_clock::now();
  EXPECT_EQ(exchange.Step(milliseconds(20)), News::kNothing);
  EXPECT_LT(steady_clock::now() - began, milliseconds(150))
      << "a client that left would be noticed";
  EXPECT_EQ(NewsOf(exchange), News::kFailed);
  EXPECT_EQ(exchange.failure().phase, UpstreamPhase::kConnect);
  EXPECT_TRUE(exchange.failure().timed_out);
  EXPECT_EQ(exchange.failure().text, "no connection in 200 ms");
  go.set_value();
}

TEST(HttpExchange, AnAddressWhereNothingAnswersLeavesTimeForTheNext) {
  const test::BlackHole nothing;
  ScriptedUpstream server([](Conversation& c) { return c.Reply(200, "{}"), true; });
  const std::string url = server.Url();
  const int port = std::stoi(url.substr(url.rfind(':') + 1));
  HttpExchange exchange(Named(milliseconds(1000),
                              [&](const std::string&, int) {
                                return Result<SocketAddresses>({Port(nothing.port()), Port(port)});
                              }),
                        std::string(kRequest), nullptr);
  EXPECT_EQ(NewsOf(exchange), News::kHead) << exchange.failure().text;
  EXPECT_EQ(exchange.head().status, 200);
}

TEST(HttpExchange, WhereNothingAnswersAtAllTheTimeToConnectEnds) {
  const test::BlackHole nothing, neither;
  const auto began = steady_clock::now();
  HttpExchange exchange(
      Named(milliseconds(200),
            [&](const std::string&, int) {
              return Result<SocketAddresses>({Port(nothing.port()), Port(neither.port())});
            }),
      std::string(kRequest), nullptr);
  EXPECT_EQ(NewsOf(exchange), News::kFailed);
  EXPECT_GE(steady_clock::now() - began, milliseconds(200));
  EXPECT_TRUE(exchange.failure().timed_out);
}

}  // namespace
}  // namespace nextgate::gateway
