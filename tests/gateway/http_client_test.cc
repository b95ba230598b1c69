#include "gateway/http_client.h"

#include <gtest/gtest.h>

#include "gateway/http_server.h"
#include "tests/gateway/fake_hub.h"

namespace nextgate::gateway {
namespace {

TEST(Url, IsTakenApartAndPutTogether) {
  const auto text = [](std::string_view url) {
    const auto parsed = ParseUrl(url);
    return parsed ? parsed->ToString() : "(" + parsed.error().message.substr(0, 3) + ")";
  };
  EXPECT_EQ(text("https://Hub.Example/a%2Fb?c=d#e"), "https://hub.example:443/a%2Fb?c=d");
  EXPECT_EQ(text("HTTP://h:8080"), "http://h:8080/");
  EXPECT_EQ(text("http://h?q"), "http://h:80/?q");
  EXPECT_EQ(text("http://[::1]:5/x"), "http://[::1]:5/x");
  for (const char* bad :
       {"", "h", "ftp://h", "http://", "http://:80", "http://h:0", "http://h:99999", "http://h:8x",
        "http://h/a b", "http://h/\n", "http://ü", "://h"})
    EXPECT_EQ(text(bad), "(not)") << bad;
  const auto secret = ParseUrl("http://user:secret@h/");
  ASSERT_FALSE(secret.has_value());
  EXPECT_EQ(secret.error().message.find("secret@"), std::string::npos);
}

TEST(Url, RedirectsLeadWhereBrowsersGo) {
  const Url base = *ParseUrl("https://hub:444/a/b?q=/x/");
  const auto leads = [&](std::string_view location) {
    const auto url = ResolveLocation(base, location);
    return url ? url->ToString() : "(error)";
  };
  EXPECT_EQ(leads("http://cdn/x"), "http://cdn:80/x");
  EXPECT_EQ(leads("//cdn/x"), "https://cdn:443/x");
  EXPECT_EQ(leads("/x?y"), "https://hub:444/x?y");
  EXPECT_EQ(leads("c"), "https://hub:444/a/c");
  EXPECT_EQ(leads("/x?to=http://other/"), "https://hub:444/x?to=http://other/");
  EXPECT_EQ(leads("c?to=http://other/"), "https://hub:444/a/c?to=http://other/");
  EXPECT_EQ(leads("ftp://cdn/x"), "(error)");
}

TEST(PercentEncode, LeavesOnlyUnreservedCharacters) {
  EXPECT_EQ(PercentEncode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(PercentEncode("a/b c%é?"), "a%2Fb%20c%25%C3%A9%3F");
}

TEST(SendHttp, HandsOverStatusHeadersAndBodyInOrder) {
  const std::string body(300'000, 'x');
  RawServer server([&](const RawRequest& request) {
    EXPECT_EQ(request.target, "/a%2Fb?c=d%20e");
    EXPECT_EQ(request.headers.at("x-asked"), "yes");
    return "HTTP/1.1 206 Partial\r\nX-Answer: 42\r\nContent-Length: 300000\r\n\r\n" + body;
  });
  std::string got;
  int heads = 0;
  const auto response = SendHttp({.url = *ParseUrl(server.Origin() + "/a%2Fb?c=d%20e"),
                                  .headers = {{"X-Asked", "yes"}},
                                  .on_head =
                                      [&](const HttpResponse& head) {
                                        EXPECT_TRUE(got.empty());
                                        EXPECT_EQ(FindHeader(head.headers, "x-answer"), "42");
                                        return ++heads == 1;
                                      },
                                  .on_body =
                                      [&](std::string_view piece) {
                                        got += piece;
                                        return true;
                                      }});
  ASSERT_TRUE(response.has_value()) << response.error().message;
  EXPECT_EQ(response->status, 206);
  EXPECT_EQ(heads, 1);
  EXPECT_TRUE(got == body);
}

TEST(SendHttp, SendsABodyWithAnyMethod) {
  HttpServer server({});
  const auto echo = [](const ServerRequest& http, ServerReply& reply) {
    reply.body = http.method + " " + http.header("Content-Type") + " " + http.body;
  };
  for (const char* method : {"POST", "PUT", "DELETE"}) server.Route(method, "/echo", echo);
  ASSERT_TRUE(server.Start());
  for (const std::string method : {"POST", "PUT", "DELETE"}) {
    std::string answer;
    const auto response =
        SendHttp({.method = method,
                  .url = *ParseUrl("http://127.0.0.1:" + std::to_string(server.port()) + "/echo"),
                  .headers = {{"Content-Type", "text/plain"}},
                  .body = "the body",
                  .on_body = [&](std::string_view piece) {
                    answer += piece;
                    return true;
                  }});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(answer, method + " text/plain the body");
  }
}

TEST(SendHttp, ABrokenBodyIsAnErrorAfterItsPieces) {
  RawServer server([](const RawRequest&) {
    return std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
  });
  std::string got;
  const auto response = SendHttp(
      {.url = *ParseUrl(server.Origin()), .on_head = {}, .on_body = [&](std::string_view piece) {
         got += piece;
         return true;
       }});
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(got, "only this");
}

TEST(SendHttp, StoppingIsNoErrorAndRedirectsAreNotFollowed) {
  std::atomic<int> requests = 0;
  RawServer server([&](const RawRequest&) {
    ++requests;
    return std::string("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 4\r\n\r\nbody");
  });
  const Url url = *ParseUrl(server.Origin());
  const auto stopped =
      SendHttp({.url = url, .on_head = [](const HttpResponse&) { return false; }, .on_body = {}});
  ASSERT_TRUE(stopped.has_value());
  EXPECT_EQ(stopped->status, 302);
  EXPECT_EQ(FindHeader(stopped->headers, "Location"), "/next");
  const auto whole = SendHttp({.url = url, .on_head = {}, .on_body = {}});
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->status, 302);
  EXPECT_EQ(requests, 2);
}

TEST(SendHttp, AProxyMayAskForAPassword) {
  RawServer proxy([&](const RawRequest& request) {
    EXPECT_EQ(request.target, "http://hub.example/a");
    const auto credentials = request.headers.find("proxy-authorization");
    const bool known = credentials != request.headers.end() &&
                       credentials->second == "Basic dXNlcjpwQHM6cw==";  // user:p@s:s
    return known ? std::string("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                 : std::string("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
  });
  const std::string host = proxy.Origin().substr(std::string("http://").size());
  const auto status = [&](const std::string& through) {
    const auto response = SendHttp(
        {.url = *ParseUrl("http://hub.example/a"), .proxy = through, .on_head = {}, .on_body = {}});
    return response ? response->status : -1;
  };
  EXPECT_EQ(status("http://user:p%40s:s@" + host), 200);
  EXPECT_EQ(status("user:p@s:s@" + host + "/"), 200);
  EXPECT_EQ(status("http://user@" + host), 407);
  EXPECT_EQ(status(host), 407);
}

TEST(SendHttp, AProxyThatCannotBeUsedIsNamedWithoutItsPassword) {
  for (const char* proxy :
       {"socks5://user:secret@h:1", "http://user:secret@", "http://user:secret@h:x",
        "https://user:secret@h:1", "http://user:secret@h h"}) {
    const auto response = SendHttp(
        {.url = *ParseUrl("http://hub.example/a"), .proxy = proxy, .on_head = {}, .on_body = {}});
    ASSERT_FALSE(response.has_value()) << proxy;
    EXPECT_NE(response.error().message.find("http_proxy"), std::string::npos)
        << response.error().message;
    EXPECT_EQ(response.error().message.find("secret"), std::string::npos);
  }
}

TEST(SendHttp, NonsenseIsAnErrorNotACrash) {
  for (const char* answer : {"", "\r\n\r\n", "HTTP/9.9 abc\r\n\r\n", "SSH-2.0-x\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\nxx",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx"}) {
    RawServer server([&](const RawRequest&) { return std::string(answer); });
    const auto response =
        SendHttp({.url = *ParseUrl(server.Origin()), .on_head = {}, .on_body = {}});
    EXPECT_FALSE(response.has_value()) << answer;
  }
}

}  // namespace
}  // namespace nextgate::gateway
