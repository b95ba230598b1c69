// What became of the requests: of this process or of all instances, in a window, in groups.
#pragma once

#include "gateway/admin/context.h"

namespace nextgate::gateway::admin {

Status ShowStats(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

}  // namespace nextgate::gateway::admin
