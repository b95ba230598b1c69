#include "gateway/prefix_scope.h"

#include <fmt/format.h>

namespace nextgate::gateway {

std::string PrefixScope(const cache::Scope& who, std::string_view salt) {
  if (who.tenant.empty() && who.team.empty() && who.user.empty() && salt.empty()) return "";
  std::string scope;
  for (const std::string_view part :
       {std::string_view(who.tenant), std::string_view(who.team), std::string_view(who.user), salt})
    scope += fmt::format("{}:{}", part.size(), part);
  return scope;
}

}  // namespace nextgate::gateway
