#include "cache/redis/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nextgate::cache {
namespace {

using ::testing::HasSubstr;

TEST(RedisEndpoint, ReadsEveryPartOfAUrl) {
  const auto plain = ParseRedisUrl("redis://cache.internal");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->host, "cache.internal");
  EXPECT_EQ(plain->port, 6379);
  EXPECT_EQ(plain->database, 0);
  EXPECT_FALSE(plain->tls);

  const auto full = ParseRedisUrl("rediss://app@10.0.0.7:6390/3");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->user, "app");
  EXPECT_EQ(full->host, "10.0.0.7");
  EXPECT_EQ(full->port, 6390);
  EXPECT_EQ(full->database, 3);
  EXPECT_TRUE(full->tls);
  EXPECT_EQ(full->ToString(), "rediss://10.0.0.7:6390/3");

  const auto v6 = ParseRedisUrl("redis://[::1]:7000/");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->ToString(), "redis://[::1]:7000/0");
}

TEST(RedisEndpoint, SaysWhatIsWrongWithAUrl) {
  const auto error = [](std::string_view url) {
    const auto endpoint = ParseRedisUrl(url);
    return endpoint ? "no error" : endpoint.error().message;
  };
  EXPECT_THAT(error("http://x"), HasSubstr("expected redis://"));
  EXPECT_THAT(error("localhost:6379"), HasSubstr("expected redis://"));
  EXPECT_THAT(error("redis://"), HasSubstr("names no host"));
  EXPECT_THAT(error("redis://a b"), HasSubstr("names no host"));
  EXPECT_THAT(error("redis://h:0"), HasSubstr("the port: expected a whole number from 1 to 65535"));
  EXPECT_THAT(error("redis://h:99999"), HasSubstr("the port"));
  EXPECT_THAT(error("redis://h:"), HasSubstr("the port"));
  EXPECT_THAT(error("redis://h/x"), HasSubstr("the database"));
  EXPECT_THAT(error("redis://[::1"), HasSubstr("']'"));
  EXPECT_THAT(error("redis://[::1]6379"), HasSubstr(":PORT"));
}

TEST(RedisEndpoint, RefusesAPasswordInTheUrlAndDoesNotRepeatIt) {
  for (const char* url : {"redis://:hunter2@host", "redis://app:hunter2@host:1/0"}) {
    const auto endpoint = ParseRedisUrl(url);
    ASSERT_FALSE(endpoint);
    EXPECT_THAT(endpoint.error().message, HasSubstr("password does not belong in the URL"));
    EXPECT_THAT(endpoint.error().message, Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace nextgate::cache
