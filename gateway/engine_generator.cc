#include "gateway/engine_generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "base/hash.h"
#include "gateway/answer_run.h"

namespace nextgate::gateway {

using openai::ApiRequest;

namespace {

std::string FingerprintOf(const EngineGenerator::Parts& parts) {
  std::string material = parts.engine.info().fingerprint;
  for (const int32_t id : parts.engine.info().eos_token_ids) material += fmt::format(" {}", id);
  if (parts.chat_template != nullptr) material += "\n" + parts.chat_template->source();
  return HashBytes(material).Hex();
}

}  // namespace

EngineGenerator::EngineGenerator(const Parts& parts)
    : p_(parts), fingerprint_(FingerprintOf(parts)) {}

Result<std::unique_ptr<AnswerSource>> EngineGenerator::Start(
    std::shared_ptr<const ApiRequest> request, const std::string& id) {
  return Begin(std::move(request), id, nullptr);
}

Result<std::unique_ptr<AnswerSource>> EngineGenerator::Continue(
    const std::shared_ptr<const ApiRequest>& request, const std::string& id, const Said& said) {
  if (request->echo || request->num_prompt_logprobs >= 0)
    return MakeError(ErrorCode::kUnimplemented, "the beginning of this answer is the prompt's");
  return Begin(request, id, &said);
}

Result<std::unique_ptr<AnswerSource>> EngineGenerator::Begin(
    std::shared_ptr<const ApiRequest> request, const std::string& id, const Said* said) {
  ASSIGN_OR_RETURN(std::vector<Prompt> prompts, BuildPrompts(*request));
  if (const auto choices = static_cast<int64_t>(prompts.size()) * request->n;
      choices > p_.choices_max)
    return InvalidArgument(
        fmt::format("{} prompts with n = {} are {} answers: at most {} are made for one request",
                    prompts.size(), request->n, choices, p_.choices_max),
        prompts.size() > 1 ? "prompt" : "n");
  if (const int32_t waiting = p_.engine.Stats().waiting; waiting >= p_.waiting_max)
    return MakeError(ErrorCode::kResourceExhausted,
                     fmt::format("{} requests are waiting: try again later", waiting));
  return AnswerRun::Start(p_.engine, p_.tokenizer, std::move(request), std::move(prompts), id,
                          said);
}

Result<std::vector<Prompt>> EngineGenerator::BuildPrompts(const ApiRequest& request) const {
  std::vector<Prompt> prompts;
  if (request.endpoint == openai::Endpoint::kChat) {
    if (p_.chat_template == nullptr)
      return InvalidArgument(
          "this model has no chat template: use /v1/completions, or start with --chat-template",
          "messages");
    ASSIGN_OR_RETURN(
        const RenderedChat chat,
        p_.chat_template->Render({.messages = request.messages.get(),
                                  .template_kwargs = request.chat_template_kwargs.get(),
                                  .add_generation_prompt = request.add_generation_prompt,
                                  .continue_final_message = request.continue_final_message}));
    prompts.push_back(p_.prompts.Build(chat));
    return prompts;
  }
  for (const openai::CompletionPrompt& prompt : request.prompts) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
      prompts.push_back({.tokens = *ids});
    } else {
      prompts.push_back({.tokens = p_.tokenizer.Encode(std::get<std::string>(prompt))});
    }
  }
  return prompts;
}

Result<std::vector<engine::PrefixExplanation>> EngineGenerator::ExplainPrefix(
    const ApiRequest& request) const {
  ASSIGN_OR_RETURN(std::vector<Prompt> prompts, BuildPrompts(request));
  std::vector<engine::PrefixExplanation> explained;
  for (Prompt& prompt : prompts) {
    engine::GenerationRequest generation{.prompt = std::move(prompt.tokens),
                                         .message_borders = std::move(prompt.message_borders),
                                         .max_tokens = 0,
                                         .num_prompt_logprobs = request.num_prompt_logprobs,
                                         .cache_salt = request.cache_salt};
    if (request.echo)  // its log probabilities are the prompt's too
      generation.num_prompt_logprobs =
          std::max(generation.num_prompt_logprobs, request.num_logprobs);
    ASSIGN_OR_RETURN(explained.emplace_back(), p_.engine.ExplainPrefix(generation));
  }
  return explained;
}

}  // namespace nextgate::gateway
