#include "gateway/prefix_scope.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace nextgate::gateway {
namespace {

TEST(PrefixScope, WhoSaysNothingSharesWithAllWhoSayNothing) {
  EXPECT_EQ(PrefixScope({}, ""), "");
  EXPECT_EQ(PrefixScope({.name_space = "chosen for stored answers"}, ""), "");
}

TEST(PrefixScope, DifferentPartsNeverMakeOneScope) {
  std::set<std::string> scopes;
  const std::string texts[] = {"", "a", "b", "ab", "1:a", "0:", "a0:0:"};
  for (const auto& tenant : texts)
    for (const auto& team : texts)
      for (const auto& user : texts)
        for (const auto& salt : texts)
          EXPECT_TRUE(
              scopes.insert(PrefixScope({.tenant = tenant, .team = team, .user = user}, salt))
                  .second)
              << tenant << ' ' << team << ' ' << user << ' ' << salt;
}

}  // namespace
}  // namespace nextgate::gateway
