#include "gateway/embeddings_endpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <utility>

#include "gateway/openai/error.h"

namespace nextgate::gateway {
namespace {

using std::chrono::steady_clock;

std::string_view CodeOf(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUnauthenticated:
      return "invalid_api_key";
    case ErrorCode::kNotFound:
      return "model_not_found";
    case ErrorCode::kResourceExhausted:
      return "rate_limit_exceeded";
    default:
      return "";
  }
}

int64_t TokensAbout(std::span<const std::string> texts) {
  int64_t tokens = 0;
  for (const std::string& text : texts) tokens += gateway::TokensAbout(text);
  return tokens;
}

}  // namespace

void EmbeddingsEndpoint::Handle(const ServerRequest& http, ServerReply& reply) const {
  RequestRecord record{.id = RequestIdFrom(http.header("X-Request-Id")),
                       .route = http.path,
                       .path = "embedder",
                       .began_ns = p_.clock.MonotonicNs()};
  reply.headers.emplace_back("X-Request-Id", record.id);
  LimitStanding standing;
  Result<std::string> body = std::unexpected(Error());
  if (const auto principal = p_.auth.Identify(http.header("Authorization")); !principal) {
    body = std::unexpected(principal.error());
  } else {
    record.key = (*principal)->label;
    body = Answer(http, *principal, standing);
  }
  if (body) {
    reply.body = std::move(*body);
  } else {
    const Error& error = body.error();
    reply.status = openai::HttpStatus(error.code);
    reply.body = openai::ErrorBody(error, CodeOf(error));
    if (error.code == ErrorCode::kResourceExhausted || error.code == ErrorCode::kUnavailable)
      reply.headers.emplace_back("Retry-After", std::to_string(standing.retry_after_s));
  }
  AddLimitHeaders(standing, reply.headers);
  record.status = reply.status;
  reply.on_sent = [this, record] {
    p_.metrics.Count({.route = record.route, .status = record.status, .generates = false});
    if (p_.access_log) WriteAccessLine(record, p_.clock);
  };
}

Result<std::string> EmbeddingsEndpoint::Answer(const ServerRequest& http,
                                               const PrincipalPtr& principal,
                                               LimitStanding& standing) const {
  if (!p_.ready.load()) return MakeError(ErrorCode::kUnavailable, "the server is shutting down");
  if (!p_.hop.empty() && http.header("Via").find(p_.hop) != std::string::npos)
    return InvalidArgument(
        "this request has been here before: --embedding-url leads to this server");
  ASSIGN_OR_RETURN(const openai::EmbeddingsRequest request,
                   openai::ParseEmbeddingsRequest(http.body));
  RETURN_IF_ERROR(Check(request, *principal));
  Ticket ticket;
  const int64_t tokens = TokensAbout(request.input);
  Status admitted = p_.admission.Admit(principal, ticket);
  if (admitted) admitted = ticket.ReserveTokens(tokens);
  standing = *ticket.standing();
  RETURN_IF_ERROR(std::move(admitted));
  ASSIGN_OR_RETURN(const auto embeddings, EmbedAll(http, request));
  int64_t used = 0;
  for (const cache::Embedding& one : embeddings) used += one.num_tokens;
  ticket.Settle(used > 0 ? used : tokens);
  standing = *ticket.standing();
  return openai::EmbeddingsBody(p_.names.front(), embeddings, request.base64);
}

Status EmbeddingsEndpoint::Check(const openai::EmbeddingsRequest& request,
                                 const Principal& principal) const {
  if (!request.model.empty() && std::ranges::find(p_.names, request.model) == p_.names.end())
    return MakeError(ErrorCode::kNotFound,
                     fmt::format("the model '{}' makes no embeddings here; there is: {}",
                                 request.model.substr(0, 200), p_.names.front()),
                     "model");
  const auto may_use = [&](const std::string& model) {
    return std::ranges::find(p_.names, model) != p_.names.end();
  };
  if (!principal.models.empty() && std::ranges::none_of(principal.models, may_use))
    return MakeError(ErrorCode::kPermissionDenied,
                     fmt::format("this API key may not use the model '{}'; it may use: {}",
                                 p_.names.front(), fmt::join(principal.models, ", ")),
                     "model");
  const int64_t dimension = p_.embedder.info().dimension;
  if (request.dimensions != 0 && request.dimensions != dimension)
    return InvalidArgument(fmt::format("dimensions: this model's vectors have {} values, got {}",
                                       dimension, request.dimensions),
                           "dimensions");
  return {};
}

Result<std::vector<cache::Embedding>> EmbeddingsEndpoint::EmbedAll(
    const ServerRequest& http, const openai::EmbeddingsRequest& request) const {
  const auto deadline = steady_clock::now() + kTimeMax;
  std::vector<cache::Embedding> all;
  std::span<const std::string> rest = request.input;
  while (!rest.empty()) {
    if (http.client_left()) return MakeError(ErrorCode::kCancelled, "the client has left");
    size_t count = 0;
    for (size_t bytes = 0; count < std::min(rest.size(), p_.batch_texts_max); ++count) {
      bytes += rest[count].size();
      if (count > 0 && bytes > p_.batch_bytes_max) break;
    }
    auto some = p_.embedder.Embed(rest.first(count), deadline);
    if (!some)
      return MakeError(some.error().code, fmt::format("the embedder: {}", some.error().message));
    for (cache::Embedding& one : *some) {
      if (one.truncated && !request.truncate)
        return MakeError(
            ErrorCode::kOutOfRange,
            fmt::format("input[{}] is longer than this model takes: shorten it, or send "
                        "truncate_prompt_tokens -1, and its end does not count",
                        all.size()),
            "input");
      all.push_back(std::move(one));
    }
    rest = rest.subspan(count);
  }
  return all;
}

}  // namespace nextgate::gateway
