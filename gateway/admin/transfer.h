// Entries out of the answer cache and into one, as JSON lines (entry_json.h). An export begins with
// {"nextgate_export": 1} and ends with {"nextgate_export_end": {"entries": N, "complete": true}}, so that a
// cut file can be told from a whole one. What is exported from one cache and imported into another one
// with the same secret and the same model is found there.
//
// Memory: an export holds a few entries at a time; an import holds its body, which the server bounds.
#pragma once

#include "gateway/admin/context.h"

namespace nextgate::gateway::admin {

Status Export(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

// Takes each line by itself and says what became of them: imported, kept_newer (there was one that was
// made later), expired, rejected, and the first few errors by line. An entry whose scope does not go with
// its material under this server's secret is rejected: it could never be found, or by somebody else.
Status Import(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

}  // namespace nextgate::gateway::admin
