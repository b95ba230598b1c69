#include "gateway/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "base/log.h"
#include "gateway/admin/context.h"
#include "gateway/openai/error.h"
#include "gateway/openai/field_reader.h"
#include "gateway/prefix_scope.h"

namespace nextgate::gateway {
namespace {

using openai::ApiRequest;
using openai::Json;

void Answer(ServerReply& reply, const Json& json, int status = 200) {
  reply.status = status;
  reply.body = json.dump(-1, ' ', false, Json::error_handler_t::replace);
}
void Answer(ServerReply& reply, const Error& error, std::string_view code = "") {
  reply.status = openai::HttpStatus(error.code);
  reply.body = openai::ErrorBody(error, code);
}

// Whether the key may ask for what it asks for. With an upstream the body goes on as it came, so it must
// be one that every reader reads alike.
Status CheckModelRight(const Principal& principal, const ApiRequest& request) {
  if (principal.models.empty()) return {};
  if (request.ambiguous)
    return InvalidArgument(
        "a key that may use some models only needs a body that is one JSON object with each name "
        "once");
  if (std::ranges::find(principal.models, request.model) != principal.models.end()) return {};
  return MakeError(ErrorCode::kPermissionDenied,
                   fmt::format("this API key may not use the model '{}'; it may use: {}",
                               request.model.substr(0, 200), fmt::join(principal.models, ", ")),
                   "model");
}

// Names of fields that nobody knows, each said once a process.
void LogIgnored(const std::vector<std::string>& names) {
  static std::mutex mutex;
  static std::set<std::string> said;
  constexpr size_t kSaidMax = 256;
  const std::lock_guard lock(mutex);
  for (const std::string& name : names)
    if (name.size() <= 64 && said.size() < kSaidMax && said.insert(name).second)
      LogDebug("ignored_field={}", Json(name).dump());
}

// A generating endpoint: key → parse → model → pipeline.
void Generate(const RouteContext& c, openai::Endpoint endpoint, const ServerRequest& http,
              ServerReply& reply) {
  RequestRecord record{.id = RequestIdFrom(http.header("X-Request-Id")),
                       .route = http.path,
                       .began_ns = c.clock.MonotonicNs()};
  reply.headers.emplace_back("X-Request-Id", record.id);
  const auto principal = c.auth.Identify(http.header("Authorization"));
  if (!principal)
    return c.pipeline.Refuse(principal.error(), std::move(record), reply, "invalid_api_key");
  record.key = (*principal)->label;
  if (!c.ready.load())
    return c.pipeline.Refuse({ErrorCode::kUnavailable, "the server is shutting down", ""},
                             std::move(record), reply);
  auto request = c.reader.Read(endpoint, http.body, http.header);
  if (!request) {
    const bool unknown = request.error().code == ErrorCode::kNotFound;
    return c.pipeline.Refuse(request.error(), std::move(record), reply,
                             unknown ? "model_not_found" : "");
  }
  if (Status status = CheckModelRight(**principal, *request); !status)
    return c.pipeline.Refuse(status.error(), std::move(record), reply);
  LogIgnored(request->ignored_fields);
  request->prefix_scope = PrefixScope((*principal)->scope, request->cache_salt);
  Ticket ticket;
  const Status admitted = c.admission.Admit(*principal, ticket);
  const auto standing = ticket.standing();  // the ticket goes with the request
  if (admitted) {
    c.pipeline.Run(std::make_shared<const ApiRequest>(std::move(*request)), http, std::move(record),
                   reply, std::move(ticket));
  } else {
    c.pipeline.Refuse(admitted.error(), std::move(record), reply, "rate_limit_exceeded", *standing);
  }
  AddLimitHeaders(*standing, reply.headers);
}

Json ModelJson(const RouteContext& c, const std::string& name) {
  Json json;
  json["id"] = name;
  json["object"] = "model";
  json["created"] = c.created_s;
  json["owned_by"] = "nextgate";
  json["root"] = c.model_root;
  json["max_model_len"] = c.engine->info().max_model_len;
  return json;
}

Json EmbeddingModelJson(const RouteContext& c) {
  Json json;
  json["id"] = c.embeddings->names().front();
  json["object"] = "model";
  json["created"] = c.created_s;
  json["owned_by"] = "nextgate";
  return json;
}

void ListModels(const RouteContext& c, const ServerRequest&, ServerReply& reply) {
  Json json;
  json["object"] = "list";
  json["data"] = Json::array();
  for (const std::string& name : c.reader.model_names) json["data"].push_back(ModelJson(c, name));
  if (c.embeddings != nullptr) json["data"].push_back(EmbeddingModelJson(c));
  Answer(reply, json);
}

void OneModel(const RouteContext& c, const ServerRequest& http, ServerReply& reply) {
  if (c.embeddings != nullptr && http.parameter == c.embeddings->names().front())
    return Answer(reply, EmbeddingModelJson(c));
  if (Status status = c.reader.CheckModel(http.parameter); !status)
    return Answer(reply, status.error(), "model_not_found");
  Answer(reply, ModelJson(c, http.parameter));
}

void NoEmbeddings(const RouteContext&, const ServerRequest&, ServerReply& reply) {
  Answer(reply,
         Error{ErrorCode::kNotFound,
               "this server makes no embeddings: it was started without --embedding-model and "
               "--embedding-url",
               ""});
}

// vLLM's /tokenize: `prompt`, or `messages` through the chat template.
void Tokenize(const RouteContext& c, const ServerRequest& http, ServerReply& reply) {
  auto object = openai::ParseBody(http.body);
  if (!object) return Answer(reply, object.error());
  openai::FieldReader read(**object);
  const bool chat = read.Find("messages") != nullptr;
  const bool with_strings = read.Bool("return_token_strs", false);
  const auto model = read.Text("model");
  const auto prompt = read.Text("prompt");
  if (!chat && !prompt) read.Fail("expected prompt, a string, or messages, a list", "prompt");
  if (!read.status()) return Answer(reply, read.status().error());
  if (Status status = c.reader.CheckModel(model.value_or("")); !status)
    return Answer(reply, status.error(), "model_not_found");
  std::vector<int32_t> tokens;
  if (chat) {
    auto request = openai::ParseChatRequest(http.body, c.reader.limits);
    if (!request) return Answer(reply, request.error());
    auto prompts = c.generator->BuildPrompts(*request);
    if (!prompts) return Answer(reply, prompts.error());
    tokens = std::move(prompts->front().tokens);
  } else {
    tokens = c.tokenizer->Encode(*prompt);
  }
  Json json;
  json["count"] = tokens.size();
  json["max_model_len"] = c.engine->info().max_model_len;
  json["tokens"] = tokens;
  json["token_strs"] = nullptr;
  if (with_strings) {
    json["token_strs"] = Json::array();
    for (const int32_t id : tokens) json["token_strs"].push_back(c.tokenizer->TokenString(id));
  }
  Answer(reply, json);
}

void Detokenize(const RouteContext& c, const ServerRequest& http, ServerReply& reply) {
  auto object = openai::ParseBody(http.body);
  if (!object) return Answer(reply, object.error());
  openai::FieldReader read(**object);
  if (read.Find("tokens") == nullptr) read.Fail("tokens: missing", "tokens");
  const auto model = read.Text("model");
  const std::vector<int32_t> tokens =
      read.status() ? read.TokenIds("tokens", c.reader.limits.vocab_size) : std::vector<int32_t>();
  if (!read.status()) return Answer(reply, read.status().error());
  if (Status status = c.reader.CheckModel(model.value_or("")); !status)
    return Answer(reply, status.error(), "model_not_found");
  Json json;
  json["prompt"] = c.tokenizer->Decode(tokens, /*skip_special=*/false);
  Answer(reply, json);
}

// With an upstream: asked there, answered as there.
void PassOn(const RouteContext& c, const ServerRequest& http, ServerReply& reply) {
  std::string path = http.path.substr(0, http.path.size() - http.parameter.size());
  for (const char part : http.parameter)  // the path came decoded
    path += part == '/' ? "/" : PercentEncode(std::string_view(&part, 1));
  const auto id =
      std::ranges::find(reply.headers, "X-Request-Id", &std::pair<std::string, std::string>::first);
  ForeignReply answer = c.upstream->Forward(
      std::move(path), http,
      id != reply.headers.end() ? id->second : RequestIdFrom(http.header("X-Request-Id")));
  reply.status = answer.status;
  reply.content_type = std::move(answer.content_type);
  reply.headers.insert(reply.headers.end(), answer.headers.begin(), answer.headers.end());
  reply.body = std::move(answer.body);
}

void Health(const RouteContext& c, const ServerRequest&, ServerReply& reply) {
  if (c.engine == nullptr) return Answer(reply, Json{{"status", "ok"}});
  const int64_t age_ms = c.engine->HeartbeatAgeMs();
  Json json;
  json["status"] = age_ms <= kHeartbeatMaxMs ? "ok" : "the engine thread hangs";
  json["heartbeat_age_ms"] = age_ms;
  Answer(reply, json, age_ms <= kHeartbeatMaxMs ? 200 : 503);
}

void Ready(const RouteContext& c, const ServerRequest&, ServerReply& reply) {
  const bool ready = c.ready.load() && (c.upstream == nullptr || c.upstream->Answers());
  Json json;
  json["ready"] = ready;
  Answer(reply, json, ready ? 200 : 503);
}

void Expose(const RouteContext& c, const ServerRequest&, ServerReply& reply) {
  reply.content_type = Metrics::kContentType;
  std::optional<engine::EngineStats> engine;
  if (c.engine != nullptr) engine = c.engine->Stats();
  reply.body = c.metrics.Expose(
      engine, c.cache_stats.Snapshot(), c.exact.store().stats(),
      admin::SharedStatsOf(c.exact, c.single_flight),
      c.upstream == nullptr ? std::vector<UpstreamStats>() : c.upstream->stats(), c.invalidations);
  if (c.embedder != nullptr) reply.body += Metrics::ExposeEmbedder(c.embedder->stats());
}

void Version(const RouteContext&, const ServerRequest&, ServerReply& reply) {
  Json json;
  json["version"] = NEXTGATE_VERSION;
  Answer(reply, json);
}

using RouteFunction = void (*)(const RouteContext& c, const ServerRequest& http,
                               ServerReply& reply);

HttpServer::Handler Open(const RouteContext& c, RouteFunction function) {
  return c.recorder.Recorded(
      /*quiet=*/true,
      [&c, function](const ServerRequest& http, ServerReply& reply) { function(c, http, reply); });
}

// Behind a check of who asks.
HttpServer::Handler Checked(const RouteContext& c, RouteFunction function,
                            Status (*check)(const RouteContext&, const ServerRequest&)) {
  return c.recorder.Recorded(
      /*quiet=*/false, [&c, function, check](const ServerRequest& http, ServerReply& reply) {
        const Status status = check(c, http);
        if (status) return function(c, http, reply);
        const bool unknown = status.error().code == ErrorCode::kUnauthenticated;
        Answer(reply, status.error(), unknown ? "invalid_api_key" : "");
      });
}

HttpServer::Handler Keyed(const RouteContext& c, RouteFunction function) {
  return Checked(c, function, [](const RouteContext& context, const ServerRequest& http) -> Status {
    RETURN_IF_ERROR(context.auth.Identify(http.header("Authorization")));
    return {};
  });
}

// Who looks for the admin API at the clients' port is told that it has one of its own; not which, since
// whoever asks here needs no key.
void HintAtAdminPort(const ServerRequest& http, ServerReply& reply) {
  if (!http.path.starts_with("/admin") && !http.path.starts_with("/dashboard")) return;
  reply.status = 404;
  reply.body = openai::ErrorBody(
      {ErrorCode::kNotFound,
       fmt::format("there is no {} at this port; the admin API and the dashboard are at the one of "
                   "--admin-port, port + 1 unless it was given",
                   http.path),
       ""});
}

// What no route takes: the reply has its error already.
HttpServer::Handler Refused(const RouteContext& c) {
  return c.recorder.Recorded(/*quiet=*/false, [](const ServerRequest&, ServerReply&) {});
}

}  // namespace

void RegisterApiRoutes(HttpServer& server, const RouteContext& c) {
  server.Route("POST", "/v1/chat/completions", [&c](const ServerRequest& http, ServerReply& reply) {
    Generate(c, openai::Endpoint::kChat, http, reply);
  });
  server.Route("POST", "/v1/completions", [&c](const ServerRequest& http, ServerReply& reply) {
    Generate(c, openai::Endpoint::kCompletion, http, reply);
  });
  server.Route(
      "POST", "/v1/embeddings",
      c.embeddings == nullptr ? Keyed(c, NoEmbeddings)
                              : [&c](const ServerRequest& http, ServerReply& reply) {
                                  c.embeddings->Handle(http, reply);
                                });
  const bool pass_on = c.upstream != nullptr;
  server.Route("GET", "/v1/models", Keyed(c, pass_on ? PassOn : ListModels));
  server.Route("GET", "/v1/models/*", Keyed(c, pass_on ? PassOn : OneModel));
  server.Route("POST", "/tokenize", Keyed(c, pass_on ? PassOn : Tokenize));
  server.Route("POST", "/detokenize", Keyed(c, pass_on ? PassOn : Detokenize));
  server.Route("GET", "/health", Open(c, Health));
  server.Route("GET", "/ready", Open(c, Ready));
  server.Route("GET", "/version", Open(c, Version));
  server.Route("GET", "/metrics", Open(c, Expose));
  server.Otherwise(c.recorder.Recorded(/*quiet=*/false, HintAtAdminPort));
}

void RegisterAdminRoutes(HttpServer& server, const RouteContext& c) {
  server.Route("GET", "/health", Open(c, Health));
  server.Route("GET", "/ready", Open(c, Ready));
  server.Route("GET", "/metrics", Open(c, Expose));
  server.Otherwise(Refused(c));
}

}  // namespace nextgate::gateway
