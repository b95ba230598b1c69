// The stored answers: listed without questions and answers, shown with both, deleted here and in Redis.
// (Copies that other instances hold in memory live on until their time is over.)
#pragma once

#include "cache/entry_summary.h"
#include "gateway/admin/context.h"
#include "gateway/admin/query.h"

namespace nextgate::gateway::admin {

Status ListEntries(const AdminContext& c, const AdminRequest& request, ServerReply& reply);
Status ShowEntry(const AdminContext& c, const AdminRequest& request, ServerReply& reply);
Status DeleteEntry(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

// For explain too.
Json SummaryJson(const cache::EntrySummary& entry, int64_t now_unix_ms);
// The canonical request behind a key's material, as an object; null if it has none.
Json CanonicalJson(std::string_view material);

// The parameter `scope`: true for the whole cluster, which is also the default while Redis answers.
// An error if the cluster is asked for and there is none.
Result<bool> WantsCluster(const AdminContext& c, QueryReader& query);

}  // namespace nextgate::gateway::admin
