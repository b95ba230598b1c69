// The Generator over this process' engine: template → tokens → AnswerRun. It remembers what it said, so that
// the next turn of a conversation begins with the tokens of this one.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "gateway/answer_ids.h"
#include "gateway/chat_template.h"
#include "gateway/generator.h"
#include "gateway/prompt_builder.h"

namespace nextgate::gateway {

class EngineGenerator final : public Generator {
 public:
  struct Parts {
    engine::Engine& engine;
    const engine::Tokenizer& tokenizer;
    const ChatTemplate* chat_template;  // null: a base model without one
    const PromptBuilder& prompts;
    int32_t waiting_max = 1024;  // requests in the engine's queue beyond which a client gets 429
    int32_t choices_max = 2048;  // of one request, n for each prompt: what the engine's queue holds
  };
  // All parts outlive the generator.
  explicit EngineGenerator(const Parts& parts);

  Result<std::unique_ptr<AnswerSource>> Start(std::shared_ptr<const openai::ApiRequest> request,
                                              const std::string& id) override;
  // Not for requests that want figures of their prompt: those come with the beginning.
  Result<std::unique_ptr<AnswerSource>> Continue(
      const std::shared_ptr<const openai::ApiRequest>& request, const std::string& id,
      const Said& said) override;
  // The checkpoint's, and what was given in its place on the command line: the chat template, the
  // tokens that end an answer.
  const std::string& fingerprint() const override { return fingerprint_; }

  // Of chats: so that the conversation goes on with the tokens that were sampled (answer_ids.h).
  void Remember(const openai::ApiRequest& request, const cache::Answer& answer) override;

  // The tokens of a request's prompts; for /tokenize, which depends on nothing else, without what is
  // remembered.
  enum class Recall { kNothing, kOwnAnswers };
  Result<std::vector<Prompt>> BuildPrompts(const openai::ApiRequest& request,
                                           Recall recall = Recall::kNothing) const;

  // What the prefix cache would do for each of them. Errors as Start's.
  Result<std::vector<engine::PrefixExplanation>> ExplainPrefix(
      const openai::ApiRequest& request) const;

 private:
  std::vector<PromptBuilder::KnownText> OwnAnswers(const openai::ApiRequest& request,
                                                   const RenderedChat& chat) const;
  Result<std::unique_ptr<AnswerSource>> Begin(std::shared_ptr<const openai::ApiRequest> request,
                                              const std::string& id, const Said* said);
  const Parts p_;
  const std::string fingerprint_;
  const std::unique_ptr<AnswerIds> answers_;
};

}  // namespace nextgate::gateway
