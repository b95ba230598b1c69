#include "gateway/upstream/http_response_parser.h"

#include <gtest/gtest.h>

namespace nextgate::gateway {
namespace {

struct Parsed {
  Status status;
  std::string body;
  bool done = false;
  bool reusable = false;
  int code = 0;
};

// Fed in pieces of `step` bytes, then closed if it is not done.
Parsed Parse(std::string_view bytes, size_t step) {
  HttpResponseParser parser;
  Parsed parsed;
  while (!bytes.empty() && parsed.status) {
    parsed.status = parser.Feed(bytes.substr(0, step), parsed.body);
    bytes.remove_prefix(std::min(step, bytes.size()));
  }
  if (parsed.status && !parser.done()) parsed.status = parser.Close();
  if (parsed.status && parser.done()) {
    parsed.done = true;
    parsed.reusable = parser.reusable();
    parsed.code = parser.head().status;
  }
  return parsed;
}

TEST(HttpResponseParser, ReadsEveryFramingHoweverItIsSplit) {
  struct Case {
    std::string_view bytes;
    std::string_view body;
    bool reusable;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true},
      {"HTTP/1.1 204 No Content\r\n\r\n", "", true},
      {"HTTP/1.1 200\r\ncontent-length:2\r\nConnection: close\r\n\r\nok", "ok", false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false},
      {"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", false},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "x", true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
       "Chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n"
       "Trailer: t\r\n\r\n",
       "abc0123456789", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1", "ok", false},
  };
  for (const Case& one : cases)
    for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, size_t{1000}}) {
      const Parsed parsed = Parse(one.bytes, step);
      ASSERT_TRUE(parsed.status) << one.bytes << ": " << parsed.status.error().message;
      EXPECT_TRUE(parsed.done) << one.bytes;
      EXPECT_EQ(parsed.body, one.body);
      EXPECT_EQ(parsed.reusable, one.reusable) << one.bytes << step;
    }
}

TEST(HttpResponseParser, RefusesWhatCouldBeReadInTwoWays) {
  const std::string_view cases[] = {
      "HTTP/2 200 OK\r\n\r\n",
      "garbage\r\n\r\n",
      "HTTP/1.1 2x0 OK\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1 101 Switching\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
      "HTTP/1.1 200 OK\r\nNoColon\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: b\nB: c\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
  };
  for (const std::string_view bytes : cases)
    for (const size_t step : {size_t{1}, size_t{1000}})
      EXPECT_FALSE(Parse(bytes, step).status) << bytes;
}

TEST(HttpResponseParser, AnEndBeforeTheEndIsAnError) {
  for (const std::string_view bytes :
       {"", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"})
    EXPECT_FALSE(Parse(bytes, 1000).status) << bytes;
}

TEST(HttpResponseParser, HeadsAndFramingLinesAreBounded) {
  HttpResponseParser head;
  std::string body;
  ASSERT_TRUE(head.Feed("HTTP/1.1 200 OK\r\n", body));
  Status status;
  for (int i = 0; i < 100 && status; ++i)
    status = head.Feed("A: " + std::string(1000, 'x') + "\r\n", body);
  EXPECT_FALSE(status);
  HttpResponseParser line;
  EXPECT_FALSE(line.Feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                             std::string(HttpResponseParser::kLineBytesMax + 1, '0'),
                         body));
}

}  // namespace
}  // namespace nextgate::gateway
