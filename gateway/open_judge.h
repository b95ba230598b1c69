// The judge of answers that --cache-judge asks for.
//
// Threads: call at start.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "gateway/generator.h"
#include "gateway/model_judge.h"
#include "gateway/openai/api_request.h"
#include "gateway/serve_options.h"
#include "gateway/upstream/upstream.h"

namespace nextgate::gateway {

struct OpenedJudge {
  std::unique_ptr<Upstream> server;   // null: the judge is what is served
  std::unique_ptr<ModelJudge> judge;  // null: none is asked for
  std::string id;                     // of the model: equal for those who judge alike
};

// `served` makes the answers of this server, whose requests `limits` belong to; both outlive the judge.
// kInvalidArgument as Upstream::Open has it. Connects to nobody.
Result<OpenedJudge> OpenJudge(const ServeOptions& options, Generator& served,
                              const openai::ParseLimits& limits);

}  // namespace nextgate::gateway
