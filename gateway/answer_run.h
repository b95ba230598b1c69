// One request at the engine: n generations per prompt, pumped until all have ended.
//
// Threads: one at a time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "base/status.h"
#include "cache/answer.h"
#include "engine/engine.h"
#include "gateway/completion_stream.h"
#include "gateway/openai/api_request.h"
#include "gateway/prompt_builder.h"

namespace nextgate::gateway {

class AnswerRun {
 public:
  // What is said on the way, in order.
  struct Listener {
    std::function<void(const cache::AnswerDelta&)> delta;
    std::function<void(int32_t index, const cache::AnswerChoice&)> finish;
  };

  // Submits everything; choice i·n + j is sample j of prompt i. All references must outlive the
  // run. Errors: the engine's (a prompt that never fits, a full queue).
  static Result<std::unique_ptr<AnswerRun>> Start(engine::Engine& engine,
                                                  const engine::Tokenizer& tokenizer,
                                                  std::shared_ptr<const openai::ApiRequest> request,
                                                  std::vector<Prompt> prompts,
                                                  const std::string& id);

  // Waits up to `timeout` for something to say and says it. False when every choice has ended.
  bool Pump(std::chrono::milliseconds timeout, const Listener& listener);

  // How it ended.
  struct Outcome {
    cache::AnswerBuilder::Ending ending;
    cache::AnswerUsage usage;
    bool complete = false;  // every choice ended by itself: stop or length
    std::vector<std::string> finish_reasons;
    std::string error;  // of the first choice that failed, or ""
  };
  // REQUIRES: Pump returned false.
  Outcome Finish() const;

  int32_t num_choices() const { return static_cast<int32_t>(choices_.size()); }

 private:
  struct Choice {
    Choice(const openai::ApiRequest& request, const engine::Tokenizer& tokenizer)
        : stream(request, tokenizer) {}
    std::unique_ptr<engine::Generation> generation;  // null once ended
    ChoiceStream stream;
    size_t prompt = 0;
    int32_t prompt_tokens = 0;
    int32_t cached_tokens = 0;
    std::vector<engine::PositionLogprobs> prompt_logprobs;
  };

  AnswerRun(const engine::Tokenizer& tokenizer, std::shared_ptr<const openai::ApiRequest> request,
            std::vector<Prompt> prompts)
      : tokenizer_(tokenizer),
        request_owner_(std::move(request)),
        request_(*request_owner_),
        prompts_(std::move(prompts)) {}
  bool Advance(int32_t index, std::chrono::milliseconds timeout, const Listener& listener);
  cache::AnswerChoice Ending(const Choice& choice) const;
  std::string ChoiceExtras(const Choice& choice) const;
  std::string AnswerExtras() const;
  cache::AnswerUsage Usage() const;

  const engine::Tokenizer& tokenizer_;
  const std::shared_ptr<const openai::ApiRequest> request_owner_;  // who asked may have left
  const openai::ApiRequest& request_;
  std::vector<Prompt> prompts_;
  std::vector<std::unique_ptr<Choice>> choices_;
};

}  // namespace nextgate::gateway
