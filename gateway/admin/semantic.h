// The semantic tier for operators: what would be served for a request and why (a part of explain),
// thresholds that the evidence supports, and feedback on hits.
#pragma once

#include "gateway/admin/context.h"

namespace nextgate::gateway::admin {

// The tier's part of POST /admin/cache/explain: {"tier", "verdict": "disabled" | "not_asked" | an outcome,
// "mode", "cosine", "threshold", "p_right", "neighbours": [{"id", "cosine", "gates": [{"gate", "on",
// "verdict", "detail"}]}]}. `asking`: no tier before it has answered.
Json ExplainSemantic(const AdminContext& c, const ChatPipeline::Planned& planned, bool asking);

// GET /admin/cache/thresholds: what Verifier::Suggest says, by partition.
Status ShowThresholds(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

// POST /admin/cache/feedback {"entry": id, "verdict": "right" | "wrong", "asked": {"endpoint", "request",
// "headers", "scope"}}: the last as explain takes it. Without the tier both are kNotFound.
Status TakeFeedback(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

// POST /admin/cache/comparator: asks what compares answers about all pairs of which the truth is known, and
// says how often it was wrong, with the flag that tells the server so. Waits for the judge: minutes, with a
// slow one. kResourceExhausted while another one runs, kUnavailable where nearly nothing got a label.
Status CountComparatorErrors(const AdminContext& c, const AdminRequest& request,
                             ServerReply& reply);

// The tier's figures of this process, for GET /admin/cache/stats: embedder, mode, index, served_error,
// reembedding, comparisons, rejections, queue and logs. An empty object without it.
Json SemanticStatsJson(const AdminContext& c);

}  // namespace nextgate::gateway::admin
