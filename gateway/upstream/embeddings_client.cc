#include "gateway/upstream/embeddings_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "gateway/access_log.h"
#include "gateway/base64.h"
#include "gateway/json_limits.h"

namespace nextgate::gateway {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr milliseconds kStepMax = std::chrono::hours(1);
constexpr size_t kDepthMax = 8;
// Of an answer, beside its vectors and for each text; a value in decimal takes 25 at most.
constexpr size_t kAnswerBytes = 64 << 10, kItemBytes = 1 << 10, kValueBytes = 32;

std::unexpected<Error> TooLate() {
  return MakeError(ErrorCode::kDeadlineExceeded, "the embedding was not there in time");
}

std::optional<std::vector<float>> ValuesOf(const Json& embedding) {
  if (embedding.is_string()) return FloatsFromBase64(embedding.get_ref<const std::string&>());
  if (!embedding.is_array()) return std::nullopt;
  std::vector<float> values;
  values.reserve(embedding.size());
  for (const Json& value : embedding) {
    if (!value.is_number()) return std::nullopt;
    const auto number = value.get<double>();  // beyond a float's range: not finite
    values.push_back(std::abs(number) <= std::numeric_limits<float>::max()
                         ? static_cast<float>(number)
                         : std::numeric_limits<float>::infinity());
  }
  return values;
}

// False for what has no length. Zero stays zero.
bool MakeUnit(std::vector<float>& values) {
  double squares = 0;
  for (const float x : values) squares += static_cast<double>(x) * x;
  if (!std::isfinite(squares)) return false;
  const double length = std::sqrt(squares);
  if (length > 0)
    for (float& x : values) x = static_cast<float>(x / length);
  return true;
}

// What a status that is not 200 means to the caller.
Error ErrorOf(int status) {
  const std::string text = fmt::format("it answered with status {}", status);
  if (status == 429) return {ErrorCode::kResourceExhausted, text, ""};
  const bool refuses = status == 401 || status == 403 || status == 404;
  const bool of_the_text = status >= 400 && status < 500 && !refuses;
  return {of_the_text ? ErrorCode::kDataLoss : ErrorCode::kUnavailable, text, ""};
}

}  // namespace

Result<std::vector<std::vector<float>>> ReadEmbeddings(std::string_view body, size_t count,
                                                       int64_t dimension) {
  if (LookOverJson(body, kDepthMax) != JsonFault::kNone) return DataLoss("its answer is not JSON");
  const Json answer = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  const auto data = answer.is_object() ? answer.find("data") : answer.end();
  if (!answer.is_object() || data == answer.end() || !data->is_array())
    return DataLoss("its answer has no list of embeddings");
  if (data->size() != count)
    return DataLoss(
        fmt::format("expected {} embeddings in its answer, got {}", count, data->size()));
  std::vector<std::vector<float>> vectors(count);
  std::vector<bool> seen(count);
  for (const Json& item : *data) {
    const auto index = item.is_object() ? item.find("index") : item.end();
    const auto embedding = item.is_object() ? item.find("embedding") : item.end();
    if (!item.is_object() || index == item.end() || embedding == item.end() ||
        !index->is_number_unsigned())
      return DataLoss("an embedding in its answer has no index or no values");
    const auto at = index->get<uint64_t>();
    if (at >= count || seen[at])
      return DataLoss("the embeddings in its answer have the wrong indices");
    auto values = ValuesOf(*embedding);
    if (!values) return DataLoss("an embedding in its answer is no list of numbers");
    if (static_cast<int64_t>(values->size()) != dimension)
      return DataLoss(fmt::format("its vectors have {} values, --embedding-dimension is {}",
                                  values->size(), dimension));
    if (!MakeUnit(*values)) return DataLoss("a vector in its answer is not finite");
    seen[at] = true;
    vectors[at] = std::move(*values);
  }
  return vectors;
}

EmbeddingsClient::EmbeddingsClient(const Options& options, Url url)
    : options_(options),
      info_{options.model, options.revision, options.dimension},
      hop_("nextgate-" + RandomId()),
      peer_(std::move(url), options.breaker) {}

Result<std::unique_ptr<EmbeddingsClient>> EmbeddingsClient::Open(const Options& options) {
  ASSIGN_OR_RETURN(Url url, ParseUpstreamUrl(options.url));
  if (url.scheme == "https" || !options.ca_file.empty())
    RETURN_IF_ERROR(CheckTlsAuthorities(options.ca_file));
  return std::unique_ptr<EmbeddingsClient>(new EmbeddingsClient(options, std::move(url)));
}

Result<std::vector<cache::Embedding>> EmbeddingsClient::Embed(std::span<const std::string> texts,
                                                              Deadline deadline) {
  if (texts.empty()) return std::vector<cache::Embedding>();
  if (steady_clock::now() >= deadline) return TooLate();
  const auto attempt = peer_.Admit();
  if (!attempt) return MakeError(ErrorCode::kUnavailable, "the embedder has failed before");
  const size_t item_bytes = kItemBytes + static_cast<size_t>(options_.dimension) * kValueBytes;
  UpstreamPhase phase = UpstreamPhase::kBody;
  const auto body =
      Ask(RequestOf(texts), kAnswerBytes + texts.size() * item_bytes, deadline, phase);
  Result<std::vector<std::vector<float>>> vectors =
      body ? ReadEmbeddings(*body, texts.size(), options_.dimension)
           : std::unexpected(body.error());
  // A text that it does not take says nothing against it.
  if (!vectors &&
      !(phase == UpstreamPhase::kStatus && vectors.error().code == ErrorCode::kDataLoss))
    peer_.Failed(*attempt, phase, vectors.error().message);
  else
    peer_.Succeeded(*attempt);
  if (!vectors) return std::unexpected(vectors.error());
  std::vector<cache::Embedding> embeddings;
  embeddings.reserve(texts.size());
  for (std::vector<float>& values : *vectors) embeddings.push_back({.values = std::move(values)});
  return embeddings;
}

std::string EmbeddingsClient::RequestOf(std::span<const std::string> texts) const {
  Json body = {{"model", options_.model}, {"input", texts}, {"encoding_format", "float"}};
  if (options_.shorten) body["dimensions"] = options_.dimension;
  const std::string text = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  const Url& url = peer_.base();
  const bool default_port = url.port == (url.scheme == "https" ? 443 : 80);
  std::string request = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: nextgate\r\n", peer_.Target("/v1/embeddings"),
      default_port ? url.host : fmt::format("{}:{}", url.host, url.port));
  if (!options_.api_key.empty())
    request += fmt::format("Authorization: Bearer {}\r\n", options_.api_key);
  request += fmt::format(
      "Accept-Encoding: identity\r\nContent-Type: application/json\r\nVia: 1.1 {}\r\n"
      "Content-Length: {}\r\n\r\n",
      hop_, text.size());
  return request += text;
}

struct EmbeddingsClient::Reply {
  Result<std::string> body;
  UpstreamPhase phase = UpstreamPhase::kBody;  // that failed
  bool stale = false;                          // the idle connection was closed
};

// The body of a 200. `phase`: where it failed.
Result<std::string> EmbeddingsClient::Ask(const std::string& request, size_t body_bytes_max,
                                          Deadline deadline, UpstreamPhase& phase) {
  for (bool again = false;; again = true) {
    std::unique_ptr<Socket> idle = again ? nullptr : peer_.TakeIdle();
    peer_.Begin(again, idle == nullptr);
    Reply reply = Exchange(request, body_bytes_max, deadline, std::move(idle));
    peer_.End();
    if (!again && reply.stale) continue;
    phase = reply.phase;
    return std::move(reply.body);
  }
}

EmbeddingsClient::Reply EmbeddingsClient::Exchange(const std::string& request,
                                                   size_t body_bytes_max, Deadline deadline,
                                                   std::unique_ptr<Socket> idle) {
  // Each phase may take all the time there is: the deadline is looked at here.
  const auto left = [&] {
    const auto now = steady_clock::now();
    return now >= deadline ? milliseconds(0)
                           : duration_cast<milliseconds>(
                                 std::min<Deadline::duration>(deadline - now, kStepMax));
  };
  const milliseconds all = left() + milliseconds(1);
  HttpExchange exchange(
      {.url = peer_.base(),
       .ca_file = options_.ca_file,
       .timeouts = {.connect = all, .first_byte = all, .idle = all, .total = all}},
      request, std::move(idle));
  std::string body;
  while (true) {
    const milliseconds step = left();
    if (step == milliseconds(0)) return {TooLate(), UpstreamPhase::kTotal, false};
    switch (exchange.Step(step)) {
      case HttpExchange::News::kNothing:
        break;
      case HttpExchange::News::kHead:
        if (exchange.head().status != 200)
          return {std::unexpected(ErrorOf(exchange.head().status)), UpstreamPhase::kStatus, false};
        break;
      case HttpExchange::News::kBody:
        body += exchange.piece();
        if (body.size() > body_bytes_max)
          return {DataLoss("its answer is too long"), UpstreamPhase::kBody, false};
        break;
      case HttpExchange::News::kEnd:
        peer_.KeepIdle(exchange.TakeSocket());
        return {std::move(body), UpstreamPhase::kBody, false};
      case HttpExchange::News::kFailed: {
        const UpstreamFailure& failure = exchange.failure();
        if (failure.timed_out) return {TooLate(), failure.phase, false};
        return {MakeError(ErrorCode::kUnavailable, failure.text), failure.phase, exchange.stale()};
      }
    }
  }
}

}  // namespace nextgate::gateway
