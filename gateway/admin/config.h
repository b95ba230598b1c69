// The configuration a server runs with: every flag that has an effect and its value, secrets masked.
#pragma once

#include "gateway/admin/context.h"

namespace nextgate::gateway::admin {

Status ShowConfig(const AdminContext& c, const AdminRequest& request, ServerReply& reply);
Status ReloadConfig(const AdminContext& c, const AdminRequest& request, ServerReply& reply);
Status ListKeys(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

// By flag name without dashes. A secret is "set" or null, a list of secrets "N set". With upstreams null for
// what only a model has.
Json EffectiveFlags(const ServeOptions& options);

}  // namespace nextgate::gateway::admin
