#include "gateway/cache_status.h"

#include <fmt/format.h>

#include <algorithm>

namespace nextgate::gateway {

std::string CacheStatusHit(int64_t ttl_s) {
  return fmt::format("nextgate; hit; ttl={}", std::max<int64_t>(0, ttl_s));
}
std::string CacheStatusCollapsed() { return "nextgate; fwd=miss; collapsed"; }
std::string CacheStatusMiss() { return "nextgate; fwd=miss"; }
std::string CacheStatusBypass(std::string_view reason_code) {
  return fmt::format("nextgate; fwd=bypass; detail={}", reason_code);
}
std::string CacheStatusUnanswered() { return "nextgate; detail=only_if_cached"; }

void MarkStored(ReplyHeaders& headers) {
  const auto ours = std::ranges::find(headers, "Cache-Status", &ReplyHeaders::value_type::first);
  if (ours != headers.end()) ours->second += "; stored";
}

}  // namespace nextgate::gateway
