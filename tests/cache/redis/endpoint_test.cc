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

TEST(RedisEndpoint, ReadsTheSentinelsAndTheirMaster) {
  const auto many = ParseRedisUrl("redis+sentinel://app@s1,s2:26380,[::1]:26381/ours/2");
  ASSERT_TRUE(many) << many.error().message;
  EXPECT_EQ(many->kind, RedisEndpoint::Kind::kSentinel);
  EXPECT_THAT(many->known, ::testing::ElementsAre(RedisNode{"s1", 26379}, RedisNode{"s2", 26380},
                                                  RedisNode{"::1", 26381}));
  EXPECT_EQ(many->master, "ours");
  EXPECT_EQ(many->database, 2);
  EXPECT_EQ(many->user, "app");
  EXPECT_FALSE(many->tls);
  EXPECT_EQ(many->ToString(), "redis+sentinel://s1:26379,s2:26380,[::1]:26381/ours/2");
  const auto one = ParseRedisUrl("rediss+sentinel://s1/ours");
  ASSERT_TRUE(one);
  EXPECT_TRUE(one->tls);
  EXPECT_EQ(one->ToString(), "rediss+sentinel://s1:26379/ours/0");
}

TEST(RedisEndpoint, ReadsTheNodesOfACluster) {
  const auto cluster = ParseRedisUrl("rediss+cluster://app@n1:7000,n2");
  ASSERT_TRUE(cluster) << cluster.error().message;
  EXPECT_EQ(cluster->kind, RedisEndpoint::Kind::kCluster);
  EXPECT_THAT(cluster->known, ::testing::ElementsAre(RedisNode{"n1", 7000}, RedisNode{"n2", 6379}));
  EXPECT_TRUE(cluster->tls);
  EXPECT_EQ(cluster->ToString(), "rediss+cluster://n1:7000,n2:6379");
  EXPECT_TRUE(ParseRedisUrl("redis+cluster://n1/0"));
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
  EXPECT_THAT(error("redis+other://h"), HasSubstr("expected redis://"));
  EXPECT_THAT(error("redisx://h"), HasSubstr("expected redis://"));
  EXPECT_THAT(error("redis://a,b"), HasSubstr("names no host"));
  EXPECT_THAT(error("redis+sentinel://s1"), HasSubstr("which master"));
  EXPECT_THAT(error("redis+sentinel://s1//0"), HasSubstr("which master"));
  EXPECT_THAT(error("redis+sentinel://s1,/ours"), HasSubstr("names no host"));
  EXPECT_THAT(error("redis+sentinel://s1/ours/x"), HasSubstr("the database"));
  EXPECT_THAT(error("redis+cluster://n1/1"), HasSubstr("the database of a cluster"));
  EXPECT_THAT(error("redis://[::1"), HasSubstr("']'"));
  EXPECT_THAT(error("redis://[::1]6379"), HasSubstr(":PORT"));
}

TEST(RedisEndpoint, RefusesAPasswordInTheUrlAndDoesNotRepeatIt) {
  for (const char* url : {"redis://:hunter2@host", "redis://app:hunter2@host:1/0",
                          "redis+sentinel://:hunter2@s1,s2/ours"}) {
    const auto endpoint = ParseRedisUrl(url);
    ASSERT_FALSE(endpoint);
    EXPECT_THAT(endpoint.error().message, HasSubstr("password does not belong in the URL"));
    EXPECT_THAT(endpoint.error().message, Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace nextgate::cache
