// What would become of a request: every rule's verdict, every tier's, the canonical request that is
// compared. Nothing is counted, generated or moved by asking.
#pragma once

#include "gateway/admin/context.h"

namespace nextgate::gateway::admin {

Status Explain(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

}  // namespace nextgate::gateway::admin
