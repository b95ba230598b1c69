// The engine's prefix cache from outside: what it saved, what it would do for a request and why, a picture
// of what it holds, and forgetting it. Numbers and positions, never prompts. Where upstreams answer there
// is no engine, and all of this is kNotFound.
#pragma once

#include "gateway/admin/context.h"

namespace nextgate::gateway::admin {

Status ShowPrefixStats(const AdminContext& c, const AdminRequest& request, ServerReply& reply);
Status ExplainPrefix(const AdminContext& c, const AdminRequest& request, ServerReply& reply);
Status ResetPrefix(const AdminContext& c, const AdminRequest& request, ServerReply& reply);
Status ShowPrefixMap(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

}  // namespace nextgate::gateway::admin
