// What the handlers of the admin API work on, in front of a ChatPipeline whose engine the test decides.
#pragma once

#include <string>
#include <vector>

#include "gateway/admin/context.h"
#include "tests/gateway/chat_pipeline_fixture.h"

namespace nextgate::gateway::admin {

class AdminContextTest : public ChatPipelineTest {
 protected:
  AdminKeyRing no_keys_;
  cache::InvalidationLog invalidation_log_{{}, {.invalidations = invalidations_, .store = store_}};
  cache::StatsKeeper keeper_{stats_, store_, nullptr, "test"};
  openai::ParseLimits limits_{.vocab_size = 8192, .model_default = "m"};
  ServeOptions options_;
  Recorder recorder_{.metrics = metrics_};
  std::vector<std::string> names_ = {"m"};
  RequestReader reader_{.limits = limits_, .model_names = names_};
  AdminContext context_{.keys = no_keys_,
                        .pipeline = pipeline_,
                        .flights = flights_,
                        .exact = exact_,
                        .single_flight = nullptr,
                        .writer = writer_,
                        .keeper = keeper_,
                        .live = live_,
                        .catalogue = nullptr,
                        .invalidations = invalidation_log_,
                        .partitioner = partitioner_,
                        .reader = reader_,
                        .options = options_,
                        .recorder = recorder_,
                        .engine = &engine_,
                        .generator = &generator_};
};

}  // namespace nextgate::gateway::admin
