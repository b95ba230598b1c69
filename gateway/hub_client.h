// Requests to the hub: its token, its redirects, its error codes, and trying again.
//
// Threads: HubClient is const and may be used by several threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "gateway/http_client.h"
#include "gateway/hub.h"

namespace nextgate::gateway {

// Counts attempts that brought nothing and waits between them.
class Retry {
 public:
  explicit Retry(const HubConfig& config) : config_(config) {}
  void OnProgress() { failures_ = 0; }
  // Waits before the next attempt, at least `retry_after_ms`; false if there is none left, or
  // `stop`.
  bool Wait(const std::atomic<bool>& stop, int64_t retry_after_ms = 0);

 private:
  const HubConfig& config_;
  int failures_ = 0;
};

class HubClient {
 public:
  // `config` and `stop` must outlive the client; setting `stop` ends every wait and transfer.
  static Result<std::unique_ptr<HubClient>> Open(const HubConfig& config,
                                                 const std::atomic<bool>& stop);

  struct Call {
    std::string method = "GET";
    std::string path;  // below the endpoint, percent-encoded, begins with "/"
    std::string what;  // for messages: "Qwen/Qwen3-Next at main"
    HttpHeaders headers;
    bool leave_endpoint = true;  // follow redirects to other origins (without the token)
    std::function<bool(const HttpResponse&)> on_head;  // not called for redirects that are followed
    std::function<bool(std::string_view)> on_body;
  };
  // One attempt. An answer of 400 and above is an error: kUnavailable if trying again may help
  // (then *retry_after_ms is what the hub asks for), else final.
  Result<HttpResponse> Send(const Call& call, int64_t* retry_after_ms) const;

  // The body of a GET, with retries.
  Result<std::string> GetText(const std::string& path, const std::string& what) const;
  // The headers of a HEAD answered by the endpoint itself, with retries.
  Result<HttpResponse> GetHead(const std::string& path, const std::string& what) const;

 private:
  HubClient(const HubConfig& config, const std::atomic<bool>& stop, Url endpoint)
      : config_(config), stop_(stop), endpoint_(std::move(endpoint)) {}
  std::unexpected<Error> StatusError(const HttpResponse& response, const std::string& what) const;
  std::string ProxyFor(const Url& url) const;

  const HubConfig& config_;
  const std::atomic<bool>& stop_;
  const Url endpoint_;
};

}  // namespace nextgate::gateway
