#include "gateway/admin/config.h"

#include <fmt/format.h>

#include <utility>

#include "gateway/admin/query.h"
#include "gateway/flags.h"

namespace nextgate::gateway::admin {
namespace {

Json TextOrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }
double Gib(int64_t bytes) { return static_cast<double>(bytes) / (int64_t{1} << 30); }
// What has no effect with upstreams.
Json WithoutModel(Json flags) {
  for (const Flag& flag : ServeFlags())
    if ((flag.group == "Model" || flag.group == "Engine") && flags.contains(flag.name))
      flags[std::string(flag.name)] = nullptr;
  return flags;
}
Json Masked(const std::string& secret) { return secret.empty() ? Json() : Json("set"); }

Json ModelFlags(const ServeOptions& o) {
  return {{"model", o.model},
          {"served-model-name", o.served_model_names},
          {"revision", o.revision},
          {"load-format", o.load_format},
          {"hf-overrides", TextOrNull(o.hf_overrides)},
          {"generation-config", o.generation_config},
          {"chat-template", TextOrNull(o.chat_template)},
          {"dtype", o.dtype},
          {"device", o.device},
          {"tensor-parallel-size", o.tensor_parallel_size}};
}
Json EngineFlags(const ServeOptions& o) {
  return {{"max-model-len", o.max_model_len},
          {"max-num-seqs", o.max_num_seqs},
          {"max-num-batched-tokens", o.max_num_batched_tokens},
          {"gpu-memory-utilization", o.gpu_memory_utilization},
          {"enable-chunked-prefill", o.enable_chunked_prefill},
          {"enable-prefix-caching", o.enable_prefix_caching},
          {"prefix-cache-fraction", o.prefix_cache_fraction},
          {"prefix-state-format", o.prefix_state_format},
          {"prefix-host-gib", Gib(o.prefix_host_bytes)},
          {"kv-offloading-size", Gib(o.prefix_host_bytes)},
          {"prefix-disk-dir", TextOrNull(o.prefix_disk_dir)},
          {"prefix-disk-gib", Gib(o.prefix_disk_bytes)},
          {"seed", o.seed},
          {"num-threads", o.num_threads}};
}
Json ServerFlags(const ServeOptions& o) {
  const int32_t default_admin_port = o.port == 0 ? 0 : o.port + 1;
  return {{"host", o.host},
          {"port", o.port},
          {"admin-host", o.admin_host},
          {"admin-port", o.admin_port.value_or(default_admin_port)},
          {"admin-api-key-file", TextOrNull(o.admin_api_key_file)},
          {"api-key", o.api_keys.empty() ? Json() : Json(fmt::format("{} set", o.api_keys.size()))},
          {"api-key-file", TextOrNull(o.api_key_file)},
          {"allowed-origins", o.allowed_origins},
          {"disable-access-log", o.disable_access_log},
          {"log-level", o.log_level},
          {"max-logprobs", o.max_logprobs},
          {"max-body-bytes", o.max_body_bytes},
          {"max-messages", o.max_messages},
          {"max-waiting-requests", o.max_waiting_requests},
          {"shutdown-timeout", o.shutdown_timeout_s},
          {"shutdown-timeout-s", o.shutdown_timeout_s}};
}
Json CacheFlags(const ServeOptions& o) {
  return {{"enable-answer-cache", o.enable_answer_cache},
          {"cache-memory-bytes", o.cache_memory_bytes},
          {"cache-ttl-s", o.cache_ttl_s},
          {"cache-route-ttl-s", o.cache_route_ttl_s},
          {"cache-ttl-max-s", o.cache_ttl_max_s},
          {"cache-time-words-ttl-s", o.cache_time_words_ttl_s},
          {"cache-prompt-bytes-min", o.cache_prompt_bytes_min},
          {"cache-prompt-bytes-max", o.cache_prompt_bytes_max},
          {"cache-entry-bytes-max", o.cache_entry_bytes_max},
          {"cache-controls", o.cache_controls.empty()
                                 ? Json({"ttl", "namespace", "refresh", "semantic"})
                                 : Json(o.cache_controls)},
          {"cache-sampled", o.cache_sampled},
          {"cache-replay-tokens-per-s", o.cache_replay_tokens_per_s},
          {"cache-tools", o.cache_tools},
          {"cache-normalised", o.cache_normalised}};
}
Json SemanticFlags(const ServeOptions& o) {
  Json routes = Json::object();
  for (const auto& [route, mode] : o.cache_semantic_route)
    routes[route] = cache::SemanticModeName(mode);
  return {{"cache-semantic", cache::SemanticModeName(o.cache_semantic)},
          {"cache-semantic-route", std::move(routes)},
          {"cache-semantic-verifier", o.cache_semantic_verifier},
          {"cache-semantic-threshold", o.cache_semantic_threshold},
          {"cache-semantic-error-max", o.cache_semantic_error_max},
          {"cache-semantic-confidence", o.cache_semantic_confidence},
          {"cache-semantic-observe", o.cache_semantic_observe},
          {"cache-semantic-gates",
           o.cache_semantic_gates.empty() ? Json({"all"}) : Json(o.cache_semantic_gates)},
          {"cache-semantic-entries-max", o.cache_semantic_entries_max},
          {"cache-semantic-dir", TextOrNull(o.cache_semantic_dir)},
          {"cache-judge", TextOrNull(o.cache_judge)},
          {"cache-judge-model", TextOrNull(o.cache_judge_model)},
          {"cache-judge-api-key-file", TextOrNull(o.cache_judge_api_key_file)},
          {"cache-judge-tls-ca-file", TextOrNull(o.cache_judge_tls_ca_file)},
          {"cache-comparator-error",
           o.cache_comparator_error ? Json(o.cache_comparator_error->Text()) : Json()}};
}
Json SharedCacheFlags(const ServeOptions& o) {
  return {{"cache-url", TextOrNull(o.cache_url)},
          {"cache-secret-file", TextOrNull(o.cache_secret_file)},
          {"cache-namespace", o.cache_namespace},
          {"cache-max-stale-s", o.cache_max_stale_s},
          {"cache-password-file", TextOrNull(o.cache_password_file)},
          {"cache-encryption-key-file", TextOrNull(o.cache_encryption_key_file)},
          {"cache-tls-ca-file", TextOrNull(o.cache_tls_ca_file)}};
}
Json UpstreamFlags(const ServeOptions& o) {
  return {{"upstream", o.upstreams},
          {"upstream-api-key-file", TextOrNull(o.upstream_api_key_file)},
          {"upstream-model", TextOrNull(o.upstream_model)},
          {"upstream-revision", TextOrNull(o.upstream_revision)},
          {"upstream-tls-ca-file", TextOrNull(o.upstream_tls_ca_file)},
          {"upstream-retries", o.upstream_retries},
          {"upstream-connect-timeout-s", o.upstream_connect_timeout_s},
          {"upstream-first-byte-timeout-s", o.upstream_first_byte_timeout_s},
          {"upstream-idle-timeout-s", o.upstream_idle_timeout_s},
          {"upstream-timeout-s", o.upstream_timeout_s}};
}
Json EmbedderFlags(const ServeOptions& o) {
  return {
      {"embedding-model", TextOrNull(o.embedding_model)},
      {"embedding-threads", o.embedding_threads},
      {"embedding-url", TextOrNull(o.embedding_url)},
      {"embedding-url-model", TextOrNull(o.embedding_url_model)},
      {"embedding-dimension", o.embedding_dimension == 0 ? Json() : Json(o.embedding_dimension)},
      {"embedding-shorten", o.embedding_shorten},
      {"embedding-revision", TextOrNull(o.embedding_revision)},
      {"embedding-api-key-file", TextOrNull(o.embedding_api_key_file)},
      {"embedding-tls-ca-file", TextOrNull(o.embedding_tls_ca_file)},
      {"embedding-timeout-ms", o.embedding_timeout_ms}};
}

}  // namespace

Json EffectiveFlags(const ServeOptions& o) {
  Json flags = Json::object();
  for (const auto& group : {ModelFlags, EngineFlags, ServerFlags, CacheFlags, SemanticFlags,
                            SharedCacheFlags, EmbedderFlags, UpstreamFlags})
    flags.update(group(o));
  return o.upstreams.empty() ? flags : WithoutModel(std::move(flags));
}

Status ShowConfig(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  Json flags = EffectiveFlags(c.options);
  if (c.server != nullptr) flags["admin-port"] = c.server->port();
  AnswerJson(reply, {{"version", NEXTGATE_VERSION},
                     {"model_names", c.reader.model_names},
                     {"flags", std::move(flags)},
                     {"reloadable", kReloadable},
                     {"secrets",
                      {{"cache-secret", Masked(c.options.cache_secret)},
                       {"cache-password", Masked(c.options.cache_password)},
                       {"judge-api-key", Masked(c.options.cache_judge_api_key)},
                       {"embedding-api-key", Masked(c.options.embedding_api_key)},
                       {"upstream-api-key", Masked(c.options.upstream_api_key)}}}});
  return {};
}

Status ReloadConfig(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  if (c.reloader == nullptr)
    return MakeError(ErrorCode::kUnimplemented, "this server has nothing that can be reloaded");
  ASSIGN_OR_RETURN(const Reloader::Report report, c.reloader->Reload(request.caller.label));
  Json reloaded = Json::object();
  for (const auto& [flag, keys] : report.keys) reloaded[flag] = {{"keys", keys}};
  AnswerJson(reply, {{"reloaded", std::move(reloaded)}, {"needs_restart", report.needs_restart}});
  return {};
}

Status ListKeys(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  Json keys = Json::array();
  const auto held = c.keys.Get();
  for (const AdminKeys::Key& key : held->keys())
    keys.push_back({{"label", key.caller.label}, {"role", RoleName(key.caller.role)}});
  AnswerJson(reply, {{"keys", std::move(keys)},
                     {"caller",
                      {{"label", request.caller.label}, {"role", RoleName(request.caller.role)}}}});
  return {};
}

}  // namespace nextgate::gateway::admin
