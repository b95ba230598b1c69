#include "gateway/hub_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>

#include "base/log.h"

namespace nextgate::gateway {
namespace {

constexpr int kRedirectsMax = 10;
constexpr size_t kTextBytesMax = size_t{64} << 20;
constexpr int64_t kRetryDelayMaxMs = 30'000;
constexpr int64_t kRetryAfterMaxMs = 120'000;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

int64_t RetryAfterMs(const HttpResponse& response) {
  const std::string_view value = FindHeader(response.headers, "Retry-After");
  int64_t seconds = 0;
  std::from_chars(value.data(), value.data() + value.size(), seconds);
  return std::clamp<int64_t>(seconds, 0, kRetryAfterMaxMs / 1000) * 1000;
}

}  // namespace

bool Retry::Wait(const std::atomic<bool>& stop, int64_t retry_after_ms) {
  if (++failures_ >= config_.attempts_max) return false;
  const int64_t doubled = config_.retry_delay_ms << std::min(failures_ - 1, 16);
  int64_t left_ms = std::max(std::min(doubled, kRetryDelayMaxMs), retry_after_ms);
  while (left_ms > 0 && !stop) {
    const int64_t nap_ms = std::min<int64_t>(left_ms, 50);
    std::this_thread::sleep_for(std::chrono::milliseconds(nap_ms));
    left_ms -= nap_ms;
  }
  return !stop;
}

Result<std::unique_ptr<HubClient>> HubClient::Open(const HubConfig& config,
                                                   const std::atomic<bool>& stop) {
  auto endpoint = ParseUrl(config.endpoint);
  if (!endpoint) {
    endpoint.error().message = "HF_ENDPOINT: " + endpoint.error().message;
    return std::unexpected(std::move(endpoint.error()));
  }
  while (endpoint->target.ends_with('/')) endpoint->target.pop_back();
  return std::unique_ptr<HubClient>(new HubClient(config, stop, std::move(*endpoint)));
}

Result<HttpResponse> HubClient::Send(const Call& call, int64_t* retry_after_ms) const {
  Url url = endpoint_;
  url.target += call.path;
  for (int hop = 0; hop <= kRedirectsMax; ++hop) {
    HttpRequest request{.method = call.method,
                        .url = url,
                        .headers = call.headers,
                        .proxy = ProxyFor(url),
                        .read_timeout_ms = config_.read_timeout_ms,
                        .on_head = {},
                        .on_body = call.on_body};
    // Storage hosts get signed URLs; a token there would only be a token given away.
    if (!config_.token.empty() && url.Origin() == endpoint_.Origin())
      request.headers.emplace_back("Authorization", "Bearer " + config_.token);
    request.on_head = [&](const HttpResponse& head) {
      if (head.status >= 300) return false;  // redirects and errors are read from their headers
      return !call.on_head || call.on_head(head);
    };
    ASSIGN_OR_RETURN(HttpResponse response, SendHttp(request));
    if (response.status >= 400) {
      if (retry_after_ms != nullptr) *retry_after_ms = RetryAfterMs(response);
      return StatusError(response, call.what);
    }
    if (!IsRedirect(response.status)) return response;

    ASSIGN_OR_RETURN(Url next, ResolveLocation(url, FindHeader(response.headers, "Location")));
    if (url.scheme == "https" && next.scheme == "http")
      return MakeError(ErrorCode::kDataLoss, fmt::format("{}: {} redirects to {} without TLS",
                                                         call.what, url.Origin(), next.Origin()));
    if (!call.leave_endpoint && next.Origin() != endpoint_.Origin()) return response;
    url = std::move(next);
  }
  return DataLoss(fmt::format("{}: more than {} redirects", call.what, kRedirectsMax));
}

Result<std::string> HubClient::GetText(const std::string& path, const std::string& what) const {
  Retry retry(config_);
  while (true) {
    std::string text;
    int64_t retry_after_ms = 0;
    const auto response = Send({.path = path,
                                .what = what,
                                .headers = {},
                                .on_head = {},
                                .on_body =
                                    [&](std::string_view piece) {
                                      text += piece;
                                      return text.size() <= kTextBytesMax && !stop_;
                                    }},
                               &retry_after_ms);
    if (response && text.size() > kTextBytesMax)
      return DataLoss(fmt::format("{}: the answer is larger than {} bytes", what, kTextBytesMax));
    if (response) return text;
    if (response.error().code != ErrorCode::kUnavailable || !retry.Wait(stop_, retry_after_ms))
      return std::unexpected(response.error());
    LogWarning("{}; trying again", response.error().message);
  }
}

Result<HttpResponse> HubClient::GetHead(const std::string& path, const std::string& what) const {
  Retry retry(config_);
  while (true) {
    int64_t retry_after_ms = 0;
    auto response = Send({.method = "HEAD",
                          .path = path,
                          .what = what,
                          .headers = {},
                          .leave_endpoint = false,
                          .on_head = {},
                          .on_body = {}},
                         &retry_after_ms);
    if (response || response.error().code != ErrorCode::kUnavailable ||
        !retry.Wait(stop_, retry_after_ms))
      return response;
  }
}

std::unexpected<Error> HubClient::StatusError(const HttpResponse& response,
                                              const std::string& what) const {
  const std::string_view code = FindHeader(response.headers, "X-Error-Code");
  const std::string where =
      fmt::format("{}: {} answers {}", what, endpoint_.Origin(), response.status);
  const bool has_token = !config_.token.empty();
  if (code == "GatedRepo" || response.status == 403)
    return MakeError(
        has_token ? ErrorCode::kPermissionDenied : ErrorCode::kUnauthenticated,
        fmt::format("{}: access is restricted. {}", where,
                    has_token ? "Accept the model's conditions on its page, with the account whose "
                                "HF_TOKEN is set"
                              : "Set HF_TOKEN to the token of an account that accepted the model's "
                                "conditions"));
  if (code == "RevisionNotFound")
    return NotFound(fmt::format("{}: there is no such revision", where));
  if (code == "EntryNotFound") return NotFound(fmt::format("{}: there is no such file", where));
  if (response.status == 401)
    return MakeError(
        ErrorCode::kUnauthenticated,
        fmt::format("{}: there is no such model, or it is private. {}", where,
                    has_token ? "HF_TOKEN is not accepted, or its account may not see it"
                              : "If it is yours, set HF_TOKEN"));
  if (response.status == 404)
    return NotFound(fmt::format("{}: there is no such model or revision", where));
  if (response.status == 416)
    return MakeError(ErrorCode::kTooLarge,
                     fmt::format("{}: the file ends before the part asked for", where));
  if (response.status == 408 || response.status == 429 || response.status >= 500)
    return MakeError(ErrorCode::kUnavailable, where);
  return MakeError(ErrorCode::kInternal, where);
}

std::string HubClient::ProxyFor(const Url& url) const {
  std::string_view rest = config_.no_proxy;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    std::string_view name = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    while (name.starts_with(' ') || name.starts_with('.')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (name == "*") return {};
    if (name.empty() || !url.host.ends_with(name)) continue;
    if (url.host.size() == name.size() || url.host[url.host.size() - name.size() - 1] == '.')
      return {};
  }
  return url.scheme == "https" ? config_.https_proxy : config_.http_proxy;
}

}  // namespace nextgate::gateway
