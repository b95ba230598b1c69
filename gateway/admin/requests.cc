#include "gateway/admin/requests.h"

#include <algorithm>

#include "gateway/admin/query.h"

namespace nextgate::gateway::admin {
namespace {

constexpr int64_t kListedMax = 1000;
constexpr int64_t kListedDefault = 50;

}  // namespace

Status ListRequests(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {"limit"});
  const int64_t limit = query.Whole("limit", 1, kListedMax).value_or(kListedDefault);
  RETURN_IF_ERROR(query.status());
  Json requests = Json::array();
  const int64_t now_ns = c.clock.MonotonicNs();
  for (const LiveRequests::Request& live : c.live.Oldest(static_cast<size_t>(limit)))
    requests.push_back({{"id", live.id},
                        {"route", live.route},
                        {"model", live.model},
                        {"key", live.key},
                        {"stream", live.stream},
                        {"phase", PhaseName(live.phase)},
                        {"age_ms", std::max<int64_t>(0, now_ns - live.began_ns) / 1'000'000},
                        {"tokens", live.tokens}});
  AnswerJson(reply, {{"live_requests", c.live.size()}, {"requests", std::move(requests)}});
  return {};
}

}  // namespace nextgate::gateway::admin
