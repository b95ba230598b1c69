#include "gateway/engine_generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
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

// The text of an assistant's message that says one; else "".
std::string_view AssistantContent(const nlohmann::ordered_json& message) {
  if (message["role"] != "assistant") return "";
  const auto content = message.find("content");
  if (content == message.end()) return "";
  if (content->is_string()) return content->get_ref<const std::string&>();
  if (!content->is_array() || content->size() != 1) return "";
  return content->front()["text"].get_ref<const std::string&>();  // text parts only are let in
}

}  // namespace

EngineGenerator::EngineGenerator(const Parts& parts)
    : p_(parts),
      fingerprint_(FingerprintOf(parts)),
      answers_(std::make_unique<AnswerIds>(parts.tokenizer)) {}

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
  ASSIGN_OR_RETURN(std::vector<Prompt> prompts, BuildPrompts(*request, Recall::kOwnAnswers));
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

void EngineGenerator::Remember(const ApiRequest& request, const cache::Answer& answer) {
  // What goes on with a message comes back as the end of a longer one.
  if (request.endpoint != openai::Endpoint::kChat || request.continue_final_message) return;
  std::vector<std::vector<int32_t>> ids(answer.choices().size());
  for (size_t i = 0; i < answer.num_deltas(); ++i) {
    const cache::AnswerDelta delta = answer.delta(i);
    auto& own = ids[static_cast<size_t>(delta.choice)];
    own.insert(own.end(), delta.token_ids.begin(), delta.token_ids.end());
  }
  for (size_t c = 0; c < ids.size(); ++c)
    answers_->Remember(request.prefix_scope, answer.ChoiceText(static_cast<int32_t>(c)), ids[c]);
}

// Where the contents of assistants stand in the rendered text as they are, and were said here.
std::vector<PromptBuilder::KnownText> EngineGenerator::OwnAnswers(const ApiRequest& request,
                                                                  const RenderedChat& chat) const {
  std::vector<PromptBuilder::KnownText> known;
  int32_t known_message = -1;  // of the last of them
  auto piece = chat.pieces.begin();
  size_t piece_begin = 0;
  for (const auto& [message, begin, end] : chat.message_texts) {
    while (piece_begin + piece->text.size() <= begin) piece_begin += (piece++)->text.size();
    const auto text = std::string_view(piece->text).substr(begin - piece_begin, end - begin);
    if (AssistantContent((*request.messages)[static_cast<size_t>(message)]) != text) continue;
    auto own = answers_->Find(request.prefix_scope, text);
    if (!own) continue;
    // The same text may stand before, as its role does where the template prints that.
    if (message == std::exchange(known_message, message)) known.pop_back();
    known.push_back({.begin = begin, .end = begin + own->bytes, .ids = std::move(own->ids)});
  }
  return known;
}

Result<std::vector<Prompt>> EngineGenerator::BuildPrompts(const ApiRequest& request,
                                                          Recall recall) const {
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
    const auto known = recall == Recall::kOwnAnswers ? OwnAnswers(request, chat)
                                                     : std::vector<PromptBuilder::KnownText>();
    prompts.push_back(p_.prompts.Build(chat, request.marked_messages, known));
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
  ASSIGN_OR_RETURN(std::vector<Prompt> prompts, BuildPrompts(request, Recall::kOwnAnswers));
  std::vector<engine::PrefixExplanation> explained;
  for (Prompt& prompt : prompts) {
    engine::GenerationRequest generation{.prompt = std::move(prompt.tokens),
                                         .message_borders = std::move(prompt.message_borders),
                                         .marked_borders = std::move(prompt.marked_borders),
                                         .max_tokens = 0,
                                         .num_prompt_logprobs = request.num_prompt_logprobs,
                                         .cache_salt = request.prefix_scope};
    if (request.echo)  // its log probabilities are the prompt's too
      generation.num_prompt_logprobs =
          std::max(generation.num_prompt_logprobs, request.num_logprobs);
    ASSIGN_OR_RETURN(explained.emplace_back(), p_.engine.ExplainPrefix(generation));
  }
  return explained;
}

}  // namespace nextgate::gateway
