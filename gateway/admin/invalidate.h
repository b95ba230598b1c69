// Invalidation: what was made before now and looks like this is not served any more, here, on every
// instance that shares the Redis, and after restarts (cache/redis/invalidation_log.h). A dry run counts
// what it would be.
#pragma once

#include "gateway/admin/context.h"

namespace nextgate::gateway::admin {

Status Invalidate(const AdminContext& c, const AdminRequest& request, ServerReply& reply);
Status ListInvalidations(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

}  // namespace nextgate::gateway::admin
