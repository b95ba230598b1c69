// The Generator over other servers: anything that speaks OpenAI's API, another nextgate or a vLLM. No
// engine and no tokenizer are needed for it.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "gateway/generator.h"
#include "gateway/http_server.h"
#include "gateway/upstream/call.h"

namespace nextgate::gateway {

class Upstream final : public Generator {
 public:
  struct Options {
    std::vector<std::string> urls;  // in order of preference; at least one
    std::string model;              // asked for whatever the client says; "": what the client says
    std::string revision;           // the operator's: another one, other answers
    std::string api_key;
    std::string ca_file;  // PEM; empty: the system's authorities
    UpstreamTimeouts timeouts;
    int retries = 2;
    Breaker::Options breaker;
  };
  // kInvalidArgument for a URL that is none, and a CA file that cannot be read. Connects to nobody.
  static Result<std::unique_ptr<Upstream>> Open(const Options& options);

  // Never fails: what goes wrong is the source's to say.
  Result<std::unique_ptr<AnswerSource>> Start(std::shared_ptr<const openai::ApiRequest> request,
                                              const std::string& id) override;
  // Asks again, as a stream, and leaves out what was said; an error in its outcome if the upstream says
  // something else now.
  Result<std::unique_ptr<AnswerSource>> Continue(
      const std::shared_ptr<const openai::ApiRequest>& request, const std::string& id,
      const Said& said) override;
  std::unique_ptr<openai::AnswerWriter> NewWriter(const openai::ApiRequest& request, std::string id,
                                                  int64_t created_s, int32_t num_choices,
                                                  bool replay) const override;
  std::string_view name() const override { return "upstream"; }
  const std::string& fingerprint() const override { return fingerprint_; }
  const std::string& model() const { return options_.model; }

  // Every request of ours says so in its Via (RFC 9110, 7.6.3). kInvalidArgument if `via`, a request's, shows that
  // it has been here: an --upstream leads back to this server.
  Status CheckNoLoop(std::string_view via) const;

  // Any other request, passed on with its answer; waits for it. `path` as UpstreamRequest has it.
  ForeignReply Forward(std::string path, const ServerRequest& http, const std::string& id);

  // Whether an upstream answers; asked at most once a second.
  bool Answers();

  std::vector<UpstreamStats> stats() const;

 private:
  explicit Upstream(const Options& options);
  std::unique_ptr<AnswerSource> Begin(const openai::ApiRequest& request, const std::string& id,
                                      std::string body);
  ForeignReply Ask(const CallSettings& settings, UpstreamRequest request,
                   const std::function<bool()>& client_left) const;

  const Options options_;
  CallSettings settings_;
  CallSettings probe_settings_;  // the same upstreams, with little patience
  std::string fingerprint_;
  const std::string hop_;   // of our Via: nobody else's
  std::mutex probe_mutex_;  // guards the next two
  std::chrono::steady_clock::time_point probed_{};
  bool answers_ = false;
};

}  // namespace nextgate::gateway
