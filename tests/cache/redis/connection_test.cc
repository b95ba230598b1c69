#include "cache/redis/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/black_hole.h"
#include "tests/support/redis_server.h"

namespace nextgate::cache {
namespace {

using test::RedisServer;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Deadline In(int ms) { return std::chrono::steady_clock::now() + std::chrono::milliseconds(ms); }
Deadline Soon() { return In(20'000); }

RedisEndpoint At(int port) { return {.host = "127.0.0.1", .port = port}; }

Result<std::unique_ptr<RedisConnection>> Open(const RedisEndpoint& endpoint,
                                              Deadline deadline = Soon()) {
  auto addresses = ResolveRedis(endpoint, Soon());
  if (!addresses) return std::unexpected(addresses.error());
  return RedisConnection::Open(endpoint, *addresses, deadline);
}

TEST(RedisConnection, PipelinesCommandsOfAnyBytes) {
  RedisServer server;
  auto connection = Open(At(server.port()));
  ASSERT_TRUE(connection) << connection.error().message;
  const std::string odd("a\0b\r\n{}*3\r\n\xff", 13);
  const std::string large(3 << 20, 'x');
  const std::vector<RedisCommand> commands = {
      {"SET", "k", odd},         {"GET", "k"},          {"GET", "absent"}, {"INCR", "n"},
      {"NOSUCHCOMMAND"},         {"SET", "big", large}, {"GET", "big"},    {"RPUSH", "l", "1", odd},
      {"LRANGE", "l", "0", "-1"}};
  const auto replies = (*connection)->Run(commands, Soon());
  ASSERT_TRUE(replies) << replies.error().message;
  using Type = RedisReply::Type;
  EXPECT_EQ((*replies)[0].text, "OK");
  EXPECT_EQ((*replies)[1].text, odd);
  EXPECT_EQ((*replies)[2].type, Type::kNil);
  EXPECT_EQ((*replies)[3].integer, 1);
  EXPECT_TRUE((*replies)[4].is_error());
  EXPECT_THAT((*replies)[4].ToStatus("X").error().message, StartsWith("Redis: X: ERR"));
  EXPECT_EQ((*replies)[6].text, large);
  ASSERT_EQ((*replies)[8].elements.size(), 2u);
  EXPECT_EQ((*replies)[8].elements[1].text, odd);
  EXPECT_TRUE((*connection)->Usable());
}

TEST(RedisConnection, LogsInAndSaysWhenItMayNot) {
  RedisServer server({"--requirepass", "open sesame", "--user", "app", "on", ">pw", "~*", "+@all"});
  RedisEndpoint endpoint = At(server.port());
  auto connection = Open(endpoint);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(connection.error().message, HasSubstr("NOAUTH"));

  endpoint.password = "wrong-secret";
  connection = Open(endpoint);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(connection.error().message, Not(HasSubstr("wrong-secret")));

  endpoint.password = "open sesame";
  EXPECT_TRUE(Open(endpoint));
  endpoint.user = "app";
  endpoint.password = "pw";
  EXPECT_TRUE(Open(endpoint));
}

TEST(RedisConnection, SelectsItsDatabase) {
  RedisServer server;
  RedisEndpoint endpoint = At(server.port());
  endpoint.database = 3;
  const RedisCommand set[] = {{"SET", "k", "v"}};
  ASSERT_TRUE((*Open(endpoint))->Run(set, Soon()));
  const RedisCommand get[] = {{"GET", "k"}};
  EXPECT_EQ((*(*Open(endpoint))->Run(get, Soon()))[0].text, "v");
  endpoint.database = 0;
  EXPECT_EQ((*(*Open(endpoint))->Run(get, Soon()))[0].type, RedisReply::Type::kNil);
  endpoint.database = 99;
  EXPECT_THAT(Open(endpoint).error().message, HasSubstr("SELECT"));
}

TEST(RedisConnection, NobodyThereIsAnError) {
  const auto connection = Open(At(test::FreePort()));
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(connection.error().message, HasSubstr("refused"));
}

TEST(RedisConnection, AnAddressWhereNothingAnswersLeavesTimeForTheNext) {
  const test::BlackHole nothing;
  RedisServer server;
  const SocketAddresses addresses = {NumericAddress("127.0.0.1", nothing.port())->front(),
                                     NumericAddress("127.0.0.1", server.port())->front()};
  auto connection = RedisConnection::Open(At(server.port()), addresses, In(1000));
  ASSERT_TRUE(connection) << connection.error().message;
  connection = RedisConnection::Open(At(server.port()), SocketAddresses{addresses[0]}, In(50));
  ASSERT_FALSE(connection);
  EXPECT_THAT(connection.error().message, HasSubstr("took too long"));
}

// Without a deadline these would wait for ever.
TEST(RedisConnection, AHungServerEndsAtTheDeadline) {
  RedisServer server;
  auto connection = Open(At(server.port()));
  ASSERT_TRUE(connection);
  server.Pause();
  const RedisCommand ping[] = {{"PING"}};
  const auto replies = (*connection)->Run(ping, In(30));
  ASSERT_FALSE(replies);
  EXPECT_EQ(replies.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(replies.error().message, HasSubstr("took too long"));
  EXPECT_FALSE(Open(At(server.port()), In(30)));  // accepted by the kernel, answered by nobody
  server.Resume();
}

TEST(RedisConnection, NoticesThatTheServerHasGone) {
  RedisServer server;
  auto connection = Open(At(server.port()));
  ASSERT_TRUE(connection);
  server.Kill();
  EXPECT_FALSE((*connection)->Usable());
  const RedisCommand ping[] = {{"PING"}};
  EXPECT_FALSE((*connection)->Run(ping, Soon()));
}

TEST(RedisConnection, TlsIsCheckedAgainstTheCaAndTheHost) {
  const std::string certificates = test::MakeCertificates();
  const int tls_port = test::FreePort();
  RedisServer server({"--bind", "127.0.0.1", "127.0.0.2", "--tls-port", std::to_string(tls_port),
                      "--tls-cert-file", certificates + "/server.pem", "--tls-key-file",
                      certificates + "/server.key", "--tls-ca-cert-file", certificates + "/ca.pem",
                      "--tls-auth-clients", "no"});
  RedisEndpoint endpoint = At(tls_port);
  endpoint.tls = true;
  endpoint.ca_file = certificates + "/ca.pem";
  auto connection = Open(endpoint);
  ASSERT_TRUE(connection) << connection.error().message;
  const std::string large(1 << 20, 'x');
  const std::vector<RedisCommand> commands = {{"SET", "big", large}, {"GET", "big"}};
  const auto replies = (*connection)->Run(commands, Soon());
  ASSERT_TRUE(replies) << replies.error().message;
  EXPECT_EQ((*replies)[1].text, large);
  EXPECT_TRUE((*connection)->Usable());

  endpoint.ca_file.clear();  // the system's authorities do not know ours
  connection = Open(endpoint);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(connection.error().message, HasSubstr("is not trusted"));

  endpoint.ca_file = certificates + "/ca.pem";
  endpoint.host = "127.0.0.2";  // the certificate names 127.0.0.1 only
  connection = Open(endpoint);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ErrorCode::kPermissionDenied);

  endpoint.port = server.port();  // no TLS there
  EXPECT_FALSE(Open(endpoint, In(100)));
  endpoint.ca_file = "/does/not/exist.pem";
  EXPECT_THAT(Open(endpoint).error().message, HasSubstr("no certificates"));
}

}  // namespace
}  // namespace nextgate::cache
