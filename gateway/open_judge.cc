#include "gateway/open_judge.h"

#include <chrono>
#include <string>
#include <utility>

#include "gateway/upstream/request.h"

namespace nextgate::gateway {

using std::chrono::seconds;

Result<OpenedJudge> OpenJudge(const ServeOptions& options, Generator& served,
                              const openai::ParseLimits& limits) {
  OpenedJudge opened;
  if (options.cache_judge.empty()) return opened;
  const auto for_upstream = [](std::string model) {
    return [model = std::move(model)](const std::string& body) {
      return ReadForUpstream(openai::Endpoint::kChat, body, model);
    };
  };
  if (options.cache_judge == kJudgeIsModel) {
    const ModelJudge::Read for_engine = [&limits](const std::string& body) {
      return openai::ParseChatRequest(body, limits);
    };
    opened.id = served.fingerprint();
    opened.judge = std::make_unique<ModelJudge>(
        served, options.upstream_model,
        options.upstreams.empty() ? for_engine : for_upstream(options.upstream_model));
    return opened;
  }
  opened.id = options.cache_judge_model;
  auto server = Upstream::Open({.urls = {options.cache_judge},
                                .model = options.cache_judge_model,
                                .revision = "",
                                .api_key = options.cache_judge_api_key,
                                .ca_file = options.cache_judge_tls_ca_file,
                                .timeouts = {.connect = seconds(5),
                                             .first_byte = seconds(30),
                                             .idle = seconds(30),
                                             .total = seconds(30)},
                                .retries = 1});
  if (!server)
    return MakeError(server.error().code, "--cache-judge: " + server.error().message,
                     "cache-judge");
  opened.server = std::move(*server);
  opened.judge = std::make_unique<ModelJudge>(*opened.server, options.cache_judge_model,
                                              for_upstream(options.cache_judge_model));
  return opened;
}

}  // namespace nextgate::gateway
