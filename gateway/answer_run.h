// One request at the engine: n generations per prompt, pumped until all have ended.
//
// Threads: one at a time.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "cache/answer.h"
#include "engine/engine.h"
#include "gateway/completion_stream.h"
#include "gateway/generator.h"
#include "gateway/openai/api_request.h"
#include "gateway/prompt_builder.h"
#include "gateway/said.h"

namespace nextgate::gateway {

class AnswerRun final : public AnswerSource {
 public:
  // Submits everything; choice i·n + j is sample j of prompt i. All references must outlive the
  // run. Errors: the engine's (a full queue), and kOutOfRange for a prompt that never fits. With
  // `said` it goes on from there; kDataLoss if its tokens do not make its text.
  static Result<std::unique_ptr<AnswerSource>> Start(
      engine::Engine& engine, const engine::Tokenizer& tokenizer,
      std::shared_ptr<const openai::ApiRequest> request, std::vector<Prompt> prompts,
      const std::string& id, const Said* said = nullptr);

  bool Pump(std::chrono::milliseconds timeout, const Listener& listener) override;
  Outcome Finish() const override;
  int32_t num_choices() const override { return static_cast<int32_t>(choices_.size()); }

 private:
  struct Choice {
    Choice(const openai::ApiRequest& request, const engine::Tokenizer& tokenizer)
        : stream(request, tokenizer) {}
    std::unique_ptr<engine::Generation> generation;  // null once ended
    ChoiceStream stream;
    std::string first_extras;  // of the first delta to come
    bool resumed = false;      // the first delta was said before
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
  Status Resume(size_t index, const Said& said, engine::GenerationRequest* generation);
  bool Advance(int32_t index, std::chrono::milliseconds timeout, const Listener& listener);
  cache::AnswerChoice Ending(const Choice& choice) const;
  std::string PromptTokenIds(const Choice& choice) const;
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
