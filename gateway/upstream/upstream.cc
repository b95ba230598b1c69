#include "gateway/upstream/upstream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "gateway/access_log.h"
#include "gateway/openai/error.h"
#include "gateway/said.h"
#include "gateway/upstream/json_members.h"
#include "gateway/upstream/run.h"
#include "gateway/upstream/writer.h"

namespace nextgate::gateway {

using openai::Endpoint;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kStep(20);  // how soon a client that left is noticed
constexpr size_t kForwardedBytesMax = size_t{64} << 20;
constexpr std::chrono::seconds kProbeAgain(1);

std::string Joined(const std::string& via, const std::string& hop) {
  return (via.empty() ? "" : via + ", ") + "1.1 " + hop;
}

}  // namespace

Upstream::Upstream(const Options& options) : options_(options), hop_("nextgate-" + RandomId()) {}

Status Upstream::CheckNoLoop(std::string_view via) const {
  if (via.find(hop_) == std::string_view::npos) return {};
  return InvalidArgument("this request has been here before: an --upstream leads to this server");
}

Result<std::unique_ptr<Upstream>> Upstream::Open(const Options& options) {
  std::unique_ptr<Upstream> upstream(new Upstream(options));
  CallSettings& settings = upstream->settings_;
  settings.api_key = options.api_key;
  settings.ca_file = options.ca_file;
  settings.timeouts = options.timeouts;
  settings.rounds_max = 1 + options.retries;
  std::vector<std::string> identity;
  for (const std::string& text : options.urls) {
    ASSIGN_OR_RETURN(Url url, ParseUpstreamUrl(text));
    identity.push_back(url.ToString());
    settings.peers.push_back(std::make_shared<UpstreamPeer>(std::move(url), options.breaker));
  }
  if (settings.peers.empty()) return InvalidArgument("no upstream", "upstream");
  const bool https = std::ranges::any_of(
      settings.peers, [](const auto& peer) { return peer->base().scheme == "https"; });
  if (https || !options.ca_file.empty()) RETURN_IF_ERROR(CheckTlsAuthorities(options.ca_file));
  upstream->probe_settings_ = settings;
  upstream->probe_settings_.rounds_max = 1;
  upstream->probe_settings_.timeouts = {.connect = milliseconds(1000),
                                        .first_byte = milliseconds(2000),
                                        .idle = milliseconds(2000),
                                        .total = milliseconds(3000)};
  // Which of several comes first does not matter: they are to be equal.
  std::ranges::sort(identity);
  std::string text = fmt::format("{}\n{}", options.model, options.revision);
  for (const std::string& url : identity) text += "\n" + url;
  upstream->fingerprint_ = "upstream-" + HashBytes(text).Hex();
  return upstream;
}

Result<std::unique_ptr<AnswerSource>> Upstream::Start(
    std::shared_ptr<const openai::ApiRequest> request, const std::string& id) {
  return Begin(*request, id, *request->forwarded_body);
}

Result<std::unique_ptr<AnswerSource>> Upstream::Continue(
    const std::shared_ptr<const openai::ApiRequest>& request, const std::string& id,
    const Said& said) {
  if (said.empty()) return Start(request, id);
  // What was said are chunks, or all of a body: as a stream its rest can be told in either case.
  const MemberEdit edits[] = {{.name = "stream", .value = "true"},
                              {.name = "stream_options", .value = R"({"include_usage":true})"}};
  const std::string& body = *request->forwarded_body;
  return TellTheRest(Begin(*request, id, request->stream ? body : WithMembers(body, edits)), said);
}

std::unique_ptr<AnswerSource> Upstream::Begin(const openai::ApiRequest& request,
                                              const std::string& id, std::string body) {
  UpstreamRequest upstream_request{
      .path = request.endpoint == Endpoint::kChat ? "/v1/chat/completions" : "/v1/completions",
      .headers = {{"Content-Type", "application/json"},
                  {"X-Request-Id", id},
                  {"Cache-Control", request.forwarded_cache_control},
                  {"Via", Joined(request.forwarded_via, hop_)}},
      .body = std::move(body),
      .id = id};
  return std::make_unique<UpstreamRun>(settings_, std::move(upstream_request), request.n,
                                       request.stream);
}

std::unique_ptr<openai::AnswerWriter> Upstream::NewWriter(const openai::ApiRequest& request,
                                                          std::string id, int64_t created_s,
                                                          int32_t, bool replay) const {
  return std::make_unique<UpstreamWriter>(request, std::move(id), created_s, replay);
}

ForeignReply Upstream::Forward(std::string path, const ServerRequest& http, const std::string& id) {
  if (const Status status = CheckNoLoop(http.header("Via")); !status)
    return {.status = 400, .body = openai::ErrorBody(status.error())};
  UpstreamRequest request{
      .method = http.method, .path = std::move(path), .body = http.body, .id = id};
  request.headers = {{"X-Request-Id", id}, {"Via", Joined(http.header("Via"), hop_)}};
  if (http.method == "POST") request.headers.emplace_back("Content-Type", "application/json");
  return Ask(settings_, std::move(request), http.client_left);
}

ForeignReply Upstream::Ask(const CallSettings& settings, UpstreamRequest request,
                           const std::function<bool()>& client_left) const {
  UpstreamCall call(settings, std::move(request));
  ForeignReply reply;
  while (true) {
    switch (call.Step(kStep)) {
      case UpstreamCall::News::kNothing:
        if (!client_left()) break;
        reply.status = 499;
        return reply;
      case UpstreamCall::News::kHead:
        reply.status = call.head().status;
        reply.headers = PassedOn(call.head().headers);
        if (const auto type = FindHeader(call.head().headers, "Content-Type"); !type.empty())
          reply.content_type = type;
        break;
      case UpstreamCall::News::kBody:
        reply.body += call.piece();
        if (reply.body.size() <= kForwardedBytesMax) break;
        return ReplyOf({.phase = UpstreamPhase::kBody, .text = "its answer is too long"}, {});
      case UpstreamCall::News::kEnd:
        return reply;
      case UpstreamCall::News::kFailed:
        return ReplyOf(call.failure(), call.retry_in());
    }
  }
}

bool Upstream::Answers() {
  const std::lock_guard lock(probe_mutex_);
  if (steady_clock::now() - probed_ < kProbeAgain && probed_ != steady_clock::time_point{})
    return answers_;
  const ForeignReply reply =
      Ask(probe_settings_, {.method = "GET", .path = "/v1/models", .id = "ready"},
          [] { return false; });
  answers_ = reply.status < 500;
  probed_ = steady_clock::now();
  return answers_;
}

std::vector<UpstreamStats> Upstream::stats() const {
  std::vector<UpstreamStats> all;
  for (const auto& peer : settings_.peers) all.push_back(peer->stats());
  return all;
}

}  // namespace nextgate::gateway
