// The server over real loopback sockets: what is sent is raw bytes, what comes back is looked at as
// it is on the wire.
#include "gateway/http_server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <future>
#include <latch>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "tests/gateway/raw_client.h"

namespace nextgate::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Waits for what another thread is about to do; a test that waits in vain fails after 20 s.
bool Becomes(const std::function<bool()>& condition) {
  for (int i = 0; i < 20'000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

class HttpServerTest : public ::testing::Test {
 protected:
  void Start(HttpServer::Options options = {}, HttpServer::Handler otherwise = {}) {
    server_ = std::make_unique<HttpServer>(std::move(options));
    if (otherwise) server_->Otherwise(std::move(otherwise));
    server_->Route("POST", "/echo", [](const ServerRequest& request, ServerReply& reply) {
      reply.body = request.body + "|" + request.header("X-Twice");
    });
    server_->Route("GET", "/item/*", [](const ServerRequest& request, ServerReply& reply) {
      reply.body = request.parameter;
    });
    server_->Route("GET", "/throws", [](const ServerRequest&, ServerReply& reply) {
      reply.on_sent = [] { FAIL() << "a reply that was never made was sent"; };
      throw std::runtime_error("secret words");
    });
    server_->Route("GET", "/stream", [this](const ServerRequest&, ServerReply& reply) {
      reply.content_type = "text/event-stream";
      reply.stream = [this](StreamWriter& out) { stream_(out); };
      reply.on_sent = [this] { ++sent_; };
    });
    const Status status = server_->Start();
    ASSERT_TRUE(status) << status.error().message;
  }

  // One request on a connection of its own, up to the end of the connection.
  std::string Ask(const std::string& head, const std::string& body = "") {
    RawClient client(server_->port());
    client.Send(head + "Host: x\r\nConnection: close\r\n\r\n" + body);
    return client.ReadToEnd();
  }
  static std::string Post(const std::string& path, size_t length) {
    return fmt::format("POST {} HTTP/1.1\r\nContent-Length: {}\r\n", path, length);
  }
  static std::string ErrorMessage(const std::string& answer) {
    const size_t at = answer.find("\r\n\r\n");
    if (at == std::string::npos) return "no body: " + answer;
    const auto json = nlohmann::json::parse(answer.substr(at + 4), nullptr, false);
    if (json.is_discarded() || !json.contains("error")) return "no error object: " + answer;
    return json["error"]["message"].get<std::string>();
  }

  std::function<void(StreamWriter&)> stream_;
  std::atomic<int> sent_ = 0;
  std::unique_ptr<HttpServer> server_;  // last: its threads use the others
};

TEST_F(HttpServerTest, GivesHandlersBodyParameterAndJoinedHeaderLines) {
  Start();
  EXPECT_THAT(Ask(Post("/echo", 5) + "X-Twice: a\r\nX-Twice: b\r\n", "hello"),
              ::testing::EndsWith("\r\n\r\nhello|a, b"));
  EXPECT_THAT(Ask("GET /item/a/b%20c HTTP/1.1\r\n"), ::testing::EndsWith("\r\n\r\na/b c"));
}

TEST_F(HttpServerTest, ServesManyRequestsOnOneConnection) {
  Start();
  RawClient client(server_->port());
  for (int i = 0; i < 300; ++i) {
    client.Send(Post("/echo", 3) + "Host: x\r\n\r\n" + fmt::format("{:03}", i));
    const std::string answer = client.ReadUntil("|");
    ASSERT_THAT(answer, StartsWith("HTTP/1.1 200")) << i;
    ASSERT_THAT(answer, HasSubstr(fmt::format("\r\n\r\n{:03}|", i)));
  }
}

TEST_F(HttpServerTest, TellsAWrongPathFromAWrongMethod) {
  Start();
  const std::string path = Ask("GET /nowhere HTTP/1.1\r\n");
  EXPECT_THAT(path, StartsWith("HTTP/1.1 404"));
  EXPECT_EQ(ErrorMessage(path), "there is no /nowhere");
  EXPECT_THAT(Ask("GET /item/ HTTP/1.1\r\n"), StartsWith("HTTP/1.1 404"));
  const std::string method = Ask("GET /echo HTTP/1.1\r\n");
  EXPECT_THAT(method, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(method, HasSubstr("\r\nAllow: POST\r\n"));
  EXPECT_EQ(ErrorMessage(method), "/echo takes POST, not GET");
}

TEST_F(HttpServerTest, RefusesABodyOverTheLimitAndClosesTheConnection) {
  Start({.body_bytes_max = 1000});
  EXPECT_THAT(Ask(Post("/echo", 1000), std::string(1000, 'x')), StartsWith("HTTP/1.1 200"));
  // The second request of the connection is part of the body that was refused.
  for (const std::string& too_large :
       {Post("/echo", 1001) + "\r\n" + std::string(1001, 'x'),
        Post("/echo", 1'000'000'000) + "\r\n" + Post("/echo", 0) + "\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
            std::string(2000, 'x') + "\r\n0\r\n\r\n"}) {
    RawClient client(server_->port());
    client.Send(too_large);
    const std::string answer = client.ReadToEnd();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 413")) << too_large.substr(0, 80);
    EXPECT_EQ(ErrorMessage(answer), "the body is larger than the limit of 1000 bytes");
    EXPECT_THAT(answer, HasSubstr("Connection: close"));
    EXPECT_THAT(answer, Not(HasSubstr("HTTP/1.1 200")));
  }
}

TEST_F(HttpServerTest, AnswersWhatIsNotHttpWithAnErrorObject) {
  Start();
  for (const char* bad : {"hello\r\n\r\n", "GET /echo\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                          "POST /echo HTTP/1.1\r\nContent-Length: minus\r\n\r\n"}) {
    RawClient client(server_->port());
    const std::string answer = client.Send(bad).ReadUntil("}}");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 4")) << bad;
    EXPECT_EQ(ErrorMessage(answer), "the request could not be read as HTTP/1.1") << bad;
  }
  EXPECT_THAT(Ask(Post("/echo", 2), "ok"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, AHandlerThatThrowsIsA500WithoutItsWords) {
  Start();
  const std::string answer = Ask("GET /throws HTTP/1.1\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500"));
  EXPECT_EQ(ErrorMessage(answer), "internal error");
  EXPECT_THAT(answer, Not(HasSubstr("secret")));
  EXPECT_TRUE(Becomes([&] { return server_->in_flight() == 0; }));
}

TEST_F(HttpServerTest, SendsEachPieceOfAStreamWhenItIsWritten) {
  std::promise<void> seen;
  stream_ = [&](StreamWriter& out) {
    EXPECT_TRUE(out.Write("data: one\n\n"));
    seen.get_future().wait();  // the client has the first piece before the second exists
    EXPECT_TRUE(out.Write("data: two\n\n"));
  };
  Start();
  RawClient client(server_->port());
  client.Send("GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string first = client.ReadUntil("data: one\n\n");
  EXPECT_THAT(first, HasSubstr("Transfer-Encoding: chunked"));
  EXPECT_THAT(first, HasSubstr("X-Accel-Buffering: no"));
  EXPECT_EQ(server_->in_flight(), 1);
  EXPECT_EQ(sent_, 0);
  seen.set_value();
  EXPECT_THAT(client.ReadToEnd(), HasSubstr("data: two\n\n\r\n0\r\n\r\n"));
  EXPECT_TRUE(Becomes([&] { return sent_ == 1 && server_->in_flight() == 0; }));
}

TEST_F(HttpServerTest, AStreamLearnsThatItsClientLeft) {
  std::promise<bool> left;
  stream_ = [&](StreamWriter& out) {
    out.Write("data: one\n\n");
    left.set_value(Becomes([&] { return out.ClientLeft(); }));
    EXPECT_FALSE(out.Write("data: two\n\n"));
  };
  Start();
  RawClient client(server_->port());
  client.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").ReadUntil("data: one\n\n");
  client.Close();
  EXPECT_TRUE(left.get_future().get());
  EXPECT_TRUE(Becomes([&] { return sent_ == 1 && server_->in_flight() == 0; }));
}

TEST_F(HttpServerTest, FinishesStreamsAfterItStoppedAccepting) {
  std::promise<void> go_on;
  stream_ = [&](StreamWriter& out) {
    out.Write("data: one\n\n");
    go_on.get_future().wait();
    EXPECT_TRUE(out.Write("data: two\n\n"));
  };
  Start();
  RawClient client(server_->port());
  client.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").ReadUntil("data: one\n\n");
  server_->StopAccepting();
  EXPECT_TRUE(Becomes([&] { return !RawClient(server_->port()).connected(); }));
  go_on.set_value();
  EXPECT_THAT(client.ReadToEnd(), HasSubstr("data: two\n\n\r\n0\r\n\r\n"));  // and it is closed
}

TEST_F(HttpServerTest, StopCutsOffAStreamThatDoesNotEnd) {
  std::promise<void> cut;
  stream_ = [&](StreamWriter& out) {
    while (out.Write("data: more\n\n")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    cut.set_value();
  };
  Start();
  RawClient client(server_->port());
  client.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").ReadUntil("data: more\n\n");
  server_->Stop();
  cut.get_future().wait();
  EXPECT_THAT(client.ReadToEnd(), Not(HasSubstr("\r\n0\r\n\r\n")));  // the client can tell
  EXPECT_EQ(sent_, 1);
}

TEST_F(HttpServerTest, ConnectionsThatComeAtOnceAreAllServedAtOnce) {
  constexpr int kClients = 300;
  std::latch all_streaming(kClients);
  stream_ = [&](StreamWriter& out) {
    all_streaming.arrive_and_wait();
    out.Write("data: all\n\n");
  };
  Start();
  for (int round = 0; round < 2; ++round) Ask("GET /item/a HTTP/1.1\r\n");  // idle threads wait
  std::deque<RawClient> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(server_->port());
  for (RawClient& client : clients) client.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  for (RawClient& client : clients)
    EXPECT_THAT(client.ReadUntil("data: all\n\n"), HasSubstr("data: all"));
}

TEST_F(HttpServerTest, APathAsLongAsIsTakenFitsTheStackOfItsThread) {
  Start();
  const std::string answer = Ask(fmt::format("GET /{} HTTP/1.1\r\n", std::string(4000, 'a')));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Ask(fmt::format("GET /{} HTTP/1.1\r\n", std::string(4200, 'a'))),
              StartsWith("HTTP/1.1 414"));
}

TEST_F(HttpServerTest, NamesThePortThatIsTaken) {
  Start();
  HttpServer second({.port = server_->port()});
  const Status status = second.Start();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message,
              HasSubstr(fmt::format("cannot listen on 127.0.0.1:{}", server_->port())));
}

TEST_F(HttpServerTest, AllowsOtherOriginsOnlyWhereItWasTold) {
  Start();
  EXPECT_THAT(Ask("GET /item/a HTTP/1.1\r\nOrigin: http://a\r\n"),
              Not(HasSubstr("Access-Control")));
  Start({.allowed_origins = {"http://a"}});
  EXPECT_THAT(Ask("GET /item/a HTTP/1.1\r\nOrigin: http://a\r\n"),
              HasSubstr("Access-Control-Allow-Origin: http://a\r\n"));
  EXPECT_THAT(Ask("GET /item/a HTTP/1.1\r\nOrigin: http://b\r\n"),
              Not(HasSubstr("Access-Control")));
  Start({.allowed_origins = {"*"}});
  const std::string preflight = Ask("OPTIONS /echo HTTP/1.1\r\nOrigin: http://b\r\n");
  EXPECT_THAT(preflight, StartsWith("HTTP/1.1 204"));
  EXPECT_THAT(preflight, HasSubstr("Access-Control-Allow-Origin: *\r\n"));
  // The official JavaScript client sends headers of its own.
  EXPECT_THAT(Ask("OPTIONS /echo HTTP/1.1\r\nOrigin: http://b\r\n"
                  "Access-Control-Request-Headers: authorization,x-stainless-os\r\n"),
              HasSubstr("Access-Control-Allow-Headers: authorization,x-stainless-os\r\n"));
}

TEST_F(HttpServerTest, TakesABodyWhoseTypeNobodyNamed) {
  Start({.body_bytes_max = 1 << 20});
  const std::string body(100'000, 'x');  // more than the library takes of a form
  for (const char* type : {"", "Content-Type: application/x-www-form-urlencoded\r\n"})
    EXPECT_THAT(Ask(Post("/echo", body.size()) + type, body), HasSubstr(body + "|")) << type;
}

TEST_F(HttpServerTest, AnswersHeadAsGetWithoutABody) {
  Start();
  const std::string answer = Ask("HEAD /item/abc HTTP/1.1\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_THAT(answer, ::testing::EndsWith("\r\n\r\n"));
  EXPECT_THAT(Ask("HEAD /echo HTTP/1.1\r\n"), StartsWith("HTTP/1.1 405"));
}

TEST_F(HttpServerTest, WhatNobodyServesIsShownToOtherwise) {
  std::mutex mutex;
  std::vector<int> seen;
  Start({.body_bytes_max = 1000}, [&](const ServerRequest& request, ServerReply& reply) {
    EXPECT_EQ(request.route, "");
    reply.headers.emplace_back("X-Seen", "yes");
    reply.on_sent = [&, status = reply.status] {
      const std::lock_guard lock(mutex);
      seen.push_back(status);
    };
  });
  for (const std::string& head :
       {std::string("GET /nowhere HTTP/1.1\r\n"), std::string("GET /echo HTTP/1.1\r\n"),
        Post("/echo", 5000), Post("/echo", 1) + "Content-Encoding: gzip\r\n"})
    EXPECT_THAT(Ask(head, "x"), HasSubstr("X-Seen: yes\r\n")) << head;
  EXPECT_TRUE(Becomes([&] {
    const std::lock_guard lock(mutex);
    return seen.size() == 4;
  }));
  EXPECT_THAT(seen, ::testing::UnorderedElementsAre(404, 405, 413, 415));
  EXPECT_THAT(Ask("GET /item/a HTTP/1.1\r\n"), Not(HasSubstr("X-Seen")));
}

}  // namespace
}  // namespace nextgate::gateway
