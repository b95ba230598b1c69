#include "gateway/admin/prefix.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"
#include "gateway/admin/explain.h"
#include "gateway/admin/query.h"

namespace nextgate::gateway::admin {
namespace {

constexpr int64_t kNodesMax = 2000;
constexpr int64_t kNodesDefault = 200;

Status RequireEngine(const AdminContext& c) {
  if (c.engine != nullptr) return {};
  return NotFound(
      "this server has no engine and no prefix cache: --upstream answers what is not stored");
}

Json CheckpointJson(const engine::PrefixCheckpoint& checkpoint) {
  return {{"tokens", checkpoint.tokens},
          {"kind", engine::CheckpointKindName(checkpoint.kind)},
          {"hits", checkpoint.hits}};
}

struct Verdict {
  const char* code;
  std::string why;
};

Verdict Judge(const engine::PrefixExplanation& e, bool enabled) {
  if (!enabled) return {"disabled", "the prefix cache is switched off"};
  if (e.resumed_tokens > 0 && e.resumed_tokens == e.matched_tokens)
    return {"resumed",
            e.known_tokens > e.matched_tokens && e.matched_tokens == e.resume_max
                ? fmt::format("all of it that may be resumed: the tokens after {} have to be "
                              "computed in any case",
                              e.resume_max)
                : "all of it that is known: a checkpoint is where the known tokens end"};
  if (e.resumed_tokens > 0)
    return {"replayed",
            fmt::format("the last checkpoint is at {}; the {} tokens from there to {}, "
                        "where the known ones end, are computed again",
                        e.resumed_tokens, e.matched_tokens - e.resumed_tokens, e.matched_tokens)};
  if (e.matched_tokens > 0)
    return {"lost", fmt::format("the KV of {} tokens is there, and no checkpoint to go on from",
                                e.matched_tokens)};
  if (e.limited)
    return {"limited", "the log probabilities of the prompt are asked for, so it is computed"};
  if (e.resume_max == 0) return {"too_short", "it has no whole block before its last token"};
  return {"unknown", "no prompt that is remembered begins like this"};
}

Json ExplanationJson(const engine::PrefixExplanation& e, bool enabled) {
  const Verdict verdict = Judge(e, enabled);
  Json checkpoints = Json::array();
  Json from;
  for (const engine::PrefixCheckpoint& checkpoint : e.checkpoints) {
    checkpoints.push_back(CheckpointJson(checkpoint));
    if (checkpoint.tokens == e.resumed_tokens) from = checkpoints.back();
  }
  Json leaves = Json::array();
  for (const engine::PlacedCheckpoint& placed : e.leaves)
    leaves.push_back(
        {{"tokens", placed.position}, {"kind", engine::CheckpointKindName(placed.kind)}});
  const int32_t behind = e.matched_tokens - e.resumed_tokens;
  return {{"verdict", verdict.code},
          {"why", verdict.why},
          {"prompt_tokens", e.prompt_tokens},
          {"resume_limit", e.resume_max},
          {"known_tokens", e.known_tokens},
          {"resumed_tokens", e.resumed_tokens},
          {"replayed_tokens", e.resumed_tokens > 0 ? behind : 0},
          {"lost_tokens", e.resumed_tokens > 0 ? 0 : behind},
          {"computed_tokens", e.prompt_tokens - e.resumed_tokens},
          {"resumed_from", std::move(from)},
          {"checkpoints", std::move(checkpoints)},
          {"would_leave", std::move(leaves)}};
}

}  // namespace

Status ShowPrefixStats(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  RETURN_IF_ERROR(RequireEngine(c));
  const engine::EngineStats engine = c.engine->Stats();
  const engine::PrefixStats& p = engine.prefix;
  Json tiers = Json::array();
  for (const engine::PrefixTierStats& tier : p.tiers)
    tiers.push_back({{"name", tier.name},
                     {"works", tier.works},
                     {"state", tier.state},
                     {"records", tier.records},
                     {"bytes", tier.bytes},
                     {"bytes_max", tier.bytes_max},
                     {"stored", tier.stored},
                     {"store_failures", tier.store_failures},
                     {"skipped", tier.skipped},
                     {"evicted", tier.evicted},
                     {"loaded", tier.loaded},
                     {"load_failures", tier.load_failures},
                     {"discovered", tier.discovered}});
  AnswerJson(reply,
             {{"enabled", c.options.enable_prefix_caching},
              {"state_format", c.options.prefix_state_format},
              {"lookups", p.lookups},
              {"lookups_limited", p.lookups_limited},
              {"waits", p.waits},
              {"hit_rate", p.queried_tokens > 0 ? Json(static_cast<double>(p.resumed_tokens) /
                                                       static_cast<double>(p.queried_tokens))
                                                : Json()},
              {"tokens",
               {{"queried", p.queried_tokens},
                {"matched", p.matched_tokens},
                {"resumed", p.resumed_tokens},
                {"replayed", p.replayed_tokens},
                {"lost", p.lost_tokens},
                {"computed", p.queried_tokens - p.resumed_tokens}}},
              {"blocks",
               {{"tokens_each", p.block_tokens},
                {"total", engine.kv_blocks_total},
                {"used", engine.kv_blocks_used},
                {"cached", p.blocks_cached},
                {"idle", p.blocks_idle},
                {"evicted", p.blocks_evicted}}},
              {"checkpoints",
               {{"bytes_each", p.checkpoint_bytes},
                {"total", p.checkpoints_total},
                {"used", p.checkpoints_used},
                {"made", p.checkpoints_made},
                {"evicted", p.checkpoints_evicted},
                {"refused", p.checkpoints_refused}}},
              {"tiers", std::move(tiers)}});
  return {};
}

Status ExplainPrefix(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  RETURN_IF_ERROR(RequireEngine(c));
  ASSIGN_OR_RETURN(const Question question, ReadQuestion(c, request.http.body));
  const auto explained = c.generator->ExplainPrefix(question.request);
  if (!explained && explained.error().code == ErrorCode::kInvalidArgument)
    return std::unexpected(WithinRequest(explained.error()));
  if (!explained) return std::unexpected(explained.error());
  Json prompts = Json::array();
  for (const engine::PrefixExplanation& one : *explained)
    prompts.push_back(ExplanationJson(one, c.options.enable_prefix_caching));
  AnswerJson(reply, {{"prompts", std::move(prompts)}});
  return {};
}

Status ResetPrefix(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  RETURN_IF_ERROR(RequireEngine(c));
  ASSIGN_OR_RETURN(const int32_t dropped, c.engine->ResetPrefixCache());
  const int32_t left = c.engine->Stats().prefix.blocks_cached;
  LogInfo("audit who={} action=reset_prefix_cache blocks_dropped={} blocks_in_use={}",
          request.caller.label, dropped, left);
  AnswerJson(reply, {{"blocks_dropped", dropped}, {"blocks_in_use", left}});
  return {};
}

Status ShowPrefixMap(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {"limit"});
  const int64_t limit = query.Whole("limit", 1, kNodesMax).value_or(kNodesDefault);
  RETURN_IF_ERROR(query.status());
  RETURN_IF_ERROR(RequireEngine(c));
  ASSIGN_OR_RETURN(const auto map, c.engine->PrefixMap(static_cast<int32_t>(limit)));
  const engine::PrefixStats stats = c.engine->Stats().prefix;
  Json nodes = Json::array();
  int64_t shown = 0;  // tokens
  for (const engine::PrefixNode& node : map) {
    shown += node.tokens;
    nodes.push_back({{"parent", node.parent < 0 ? Json() : Json(node.parent)},
                     {"begin", node.begin},
                     {"tokens", node.tokens},
                     {"users", node.users},
                     {"blocks_below", node.blocks_below},
                     {"checkpoint", node.checkpoint ? CheckpointJson(*node.checkpoint) : Json()}});
  }
  AnswerJson(reply, {{"blocks_shown", shown / stats.block_tokens},
                     {"blocks_cached", stats.blocks_cached},
                     {"nodes", std::move(nodes)}});
  return {};
}

}  // namespace nextgate::gateway::admin
