#include "gateway/admin/keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace nextgate::gateway::admin {
namespace {

using ::testing::HasSubstr;

ServerRequest From(const std::string& address, std::map<std::string, std::string> headers = {}) {
  return {.remote_address = address,
          .header = [headers = std::move(headers)](const std::string& name) {
            const auto found = headers.find(name);
            return found == headers.end() ? "" : found->second;
          }};
}
ServerRequest With(const std::string& key) {
  return From("127.0.0.1", {{"Authorization", "Bearer " + key}, {"Host", "anything.example"}});
}

TEST(AdminKeys, KnowWhoIsAskingAndWhatTheyMay) {
  const NewKey writer = MakeKey(Role::kWrite, "ops"), reader = MakeKey(Role::kRead, "");
  const auto keys = AdminKeys::Parse("# keys\n\n" + writer.line + "\r\n" + reader.line +
                                     "\nread:a-plain-key-of-24-bytes  grafana\n");
  ASSERT_TRUE(keys) << keys.error().message;
  ASSERT_EQ(keys->keys().size(), 3u);
  const auto ops = keys->Identify(With(writer.key));
  ASSERT_TRUE(ops);
  EXPECT_EQ(ops->label, "ops");
  EXPECT_TRUE(AdminKeys::Require(*ops, Role::kWrite));
  EXPECT_TRUE(AdminKeys::Require(*ops, Role::kRead));
  const auto line_4 = keys->Identify(With(reader.key));
  ASSERT_TRUE(line_4);
  EXPECT_EQ(line_4->label, "line-4");
  EXPECT_TRUE(AdminKeys::Require(*line_4, Role::kRead));
  const Status denied = AdminKeys::Require(*line_4, Role::kWrite);
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(denied.error().message, HasSubstr("role write"));
  EXPECT_EQ(keys->Identify(With("a-plain-key-of-24-bytes"))->label, "grafana");

  for (const ServerRequest& stranger :
       {With("a-plain-key-of-24-bytez"), With(""), With(writer.line), From("127.0.0.1"),
        From("127.0.0.1", {{"Authorization", writer.key}})}) {
    const auto caller = keys->Identify(stranger);
    ASSERT_FALSE(caller) << "with keys the loopback needs one too";
    EXPECT_EQ(caller.error().code, ErrorCode::kUnauthenticated);
  }
}

TEST(AdminKeys, AFileIsRefusedByLineAndItsKeysAreNotRepeated) {
  const std::map<std::string, std::string> wrong = {
      {"", "no key in it"},
      {"# only a comment\n", "no key in it"},
      {"read:0123456789abcdef\nsecret-without-role-0123456789\n", "line 2: expected read:KEY"},
      {"admin:0123456789abcdef\n", "line 1: expected read:KEY"},
      {"read:too-short\n", "line 1: a key has at least 16 characters"},
      {"\n\nwrite:sha256:12ab\n", "line 3: sha256: needs 64"},
      {"read:0123456789abcdef two words\n", "line 1: a label has"},
      {"read:0123456789abcdef\nwrite:0123456789abcdef\n", "line 2: this key was given before"}};
  for (const auto& [text, message] : wrong) {
    const auto keys = AdminKeys::Parse(text);
    ASSERT_FALSE(keys) << text;
    EXPECT_THAT(keys.error().message, HasSubstr(message));
    EXPECT_THAT(keys.error().message, Not(HasSubstr("0123456789")));
  }
}

TEST(AdminKeys, WithoutKeysTheLoopbackMayAndNobodyElseNorAWebPage) {
  const AdminKeys none;
  for (const char* address : {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"})
    for (const char* host : {"", "localhost", "localhost:8001", "127.0.0.1:8001", "[::1]:8001"})
      EXPECT_TRUE(none.Identify(From(address, {{"Host", host}}))) << address << " " << host;
  EXPECT_EQ(none.Identify(From("127.0.0.1"))->label, "loopback");
  EXPECT_TRUE(none.Identify(
      From("127.0.0.1", {{"Host", "127.0.0.1:8001"}, {"Origin", "http://127.0.0.1:8001"}})));

  const ServerRequest strangers[] = {
      From("10.0.0.7"),
      From("::ffff:10.0.0.7"),
      From(""),
      From("127.0.0.1", {{"Host", "rebound.example:8001"}}),
      From("127.0.0.1", {{"Host", "127.0.0.1:8001"}, {"Origin", "https://evil.example"}}),
      From("127.0.0.1", {{"Host", "127.0.0.1:8001"}, {"Origin", "null"}})};
  for (const ServerRequest& stranger : strangers) {
    const auto caller = none.Identify(stranger);
    ASSERT_FALSE(caller);
    EXPECT_EQ(caller.error().code, ErrorCode::kPermissionDenied);
  }
}

TEST(AdminKeys, NewKeysAreLongAndNeverTheSame) {
  const NewKey a = MakeKey(Role::kRead, "x"), b = MakeKey(Role::kRead, "x");
  EXPECT_NE(a.key, b.key);
  EXPECT_EQ(a.key.size(), 47u);
  EXPECT_THAT(a.line, Not(HasSubstr(a.key)));
}

}  // namespace
}  // namespace nextgate::gateway::admin
