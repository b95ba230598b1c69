// The requests that this instance is answering now, without what they ask.
#pragma once

#include "gateway/admin/context.h"

namespace nextgate::gateway::admin {

Status ListRequests(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

}  // namespace nextgate::gateway::admin
