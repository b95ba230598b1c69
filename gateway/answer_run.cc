#include "gateway/answer_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace nextgate::gateway {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

// Prompt log probabilities in vLLM's shape: null, then per position an object from token id to its
// figures.
Json PromptLogprobsJson(const std::vector<engine::PositionLogprobs>& positions,
                        const engine::Tokenizer& tokenizer) {
  Json list = Json::array({nullptr});
  for (const engine::PositionLogprobs& position : positions) {
    Json entry;
    const auto add = [&](const engine::TokenLogprob& token) {
      Json figures;
      figures["logprob"] = std::max(token.logprob, -9999.0f);
      figures["rank"] = token.rank;
      figures["decoded_token"] =
          tokenizer.Decode(std::span(&token.token, 1), /*skip_special=*/false);
      entry[std::to_string(token.token)] = std::move(figures);
    };
    for (const engine::TokenLogprob& token : position.top) add(token);
    add(position.chosen);
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace

Result<std::unique_ptr<AnswerSource>> AnswerRun::Start(
    engine::Engine& engine, const engine::Tokenizer& tokenizer,
    std::shared_ptr<const openai::ApiRequest> shared_request, std::vector<Prompt> prompts,
    const std::string& id, const Said* said) {
  std::unique_ptr<AnswerRun> run(
      new AnswerRun(tokenizer, std::move(shared_request), std::move(prompts)));
  const openai::ApiRequest& request = run->request_;
  const int32_t limit = engine.info().max_model_len;
  for (size_t p = 0; p < run->prompts_.size(); ++p) {
    const Prompt& prompt = run->prompts_[p];
    const auto length = static_cast<int32_t>(prompt.tokens.size());
    const int32_t fallback = std::min(request.max_tokens_default.value_or(limit), limit - length);
    const int32_t asked = request.max_tokens.value_or(fallback);
    if (length == 0)
      return InvalidArgument("the prompt is empty: at least one token is needed", "prompt");
    if (length >= limit || asked > limit - length)
      return MakeError(
          ErrorCode::kOutOfRange,
          fmt::format("this model takes {} tokens in all; the prompt has {}{}", limit, length,
                      request.max_tokens
                          ? fmt::format(" and max_tokens asks for {}: at most {} fit", asked,
                                        std::max(0, limit - length))
                          : ""),
          request.endpoint == openai::Endpoint::kChat ? "messages" : "prompt");
    for (int32_t i = 0; i < request.n; ++i) {
      engine::GenerationRequest generation{.id = id,
                                           .prompt = prompt.tokens,
                                           .message_borders = prompt.message_borders,
                                           .marked_borders = prompt.marked_borders,
                                           .sampling = request.sampling,
                                           .max_tokens = asked,
                                           .min_tokens = request.min_tokens,
                                           .ignore_eos = request.ignore_eos,
                                           .stop_token_ids = request.stop_token_ids,
                                           .may_be_cut = !request.stop.empty(),
                                           .num_logprobs = request.num_logprobs,
                                           .num_prompt_logprobs = request.num_prompt_logprobs,
                                           .priority = request.priority,
                                           .cache_salt = request.prefix_scope};
      if (request.echo && request.num_logprobs >= 0)
        generation.num_prompt_logprobs =
            std::max(generation.num_prompt_logprobs, request.num_logprobs);
      if (generation.sampling.seed) *generation.sampling.seed += static_cast<uint64_t>(i);
      run->choices_.push_back(std::make_unique<Choice>(request, tokenizer));
      Choice& choice = *run->choices_.back();
      choice.prompt = p;
      if (said != nullptr)
        RETURN_IF_ERROR(run->Resume(run->choices_.size() - 1, *said, &generation));
      if (!choice.stream.ended()) {
        ASSIGN_OR_RETURN(choice.generation, engine.Submit(std::move(generation)));
      }
    }
  }
  return run;
}

// The choice stands where it stood when this much of it was said.
Status AnswerRun::Resume(size_t index, const Said& said, engine::GenerationRequest* generation) {
  const Said::Choice& before = said.choice(static_cast<int32_t>(index));
  ChoiceStream& stream = choices_[index]->stream;
  if (before.end) {
    stream.ResumeEnded(static_cast<int32_t>(before.token_ids.size()), *before.end);
    return {};
  }
  // A choice that ends says so with its last tokens, so these do not end it.
  if (stream.Resume(before.token_ids) != before.text || stream.ended())
    return DataLoss("what was said is not the text of its tokens");
  generation->forced = before.token_ids;
  choices_[index]->resumed = !before.token_ids.empty();
  return {};
}

bool AnswerRun::Pump(milliseconds timeout, const Listener& listener) {
  bool said = false;
  int32_t waiting = -1;
  for (int32_t i = 0; i < num_choices(); ++i) {
    if (!choices_[static_cast<size_t>(i)]->generation) continue;
    if (Advance(i, milliseconds(0), listener)) said = true;
    if (waiting < 0 && choices_[static_cast<size_t>(i)]->generation) waiting = i;
  }
  if (waiting < 0) return false;
  // All choices advance in the same steps, so waiting for one of them is waiting for all.
  if (!said) Advance(waiting, timeout, listener);
  return std::ranges::any_of(choices_,
                             [](const auto& choice) { return choice->generation != nullptr; });
}

// Takes what has come for one choice. True if there was something.
bool AnswerRun::Advance(int32_t index, milliseconds timeout, const Listener& listener) {
  Choice& choice = *choices_[static_cast<size_t>(index)];
  engine::GenerationEvent event = choice.generation->Next(timeout);
  if (!event.started && event.tokens.empty() && !event.finished) return false;
  if (event.started) {
    choice.prompt_tokens = event.started->prompt_tokens;
    choice.cached_tokens = event.started->cached_tokens;
    choice.prompt_logprobs = std::move(event.started->prompt_logprobs);
    if (request_.return_token_ids && !choice.resumed) choice.first_extras = PromptTokenIds(choice);
    if (request_.echo) choice.stream.Echo(prompts_[choice.prompt].tokens, choice.prompt_logprobs);
  }
  choice.stream.Add(event);
  if (auto delta = choice.stream.TakeDelta()) {
    std::string logprobs;
    for (const std::string& one : delta->logprobs) logprobs += (logprobs.empty() ? "" : ",") + one;
    if (listener.delta)
      listener.delta({.choice = index,
                      .text = delta->text,
                      .token_ids = delta->token_ids,
                      .logprobs = logprobs,
                      .extras = std::exchange(choice.first_extras, {})});
  }
  if (choice.stream.ended()) {
    if (const int32_t kept = choice.stream.tokens_kept(); kept >= 0)
      choice.generation->Cancel(kept);
    choice.generation.reset();
    if (listener.finish) listener.finish(index, Ending(choice));
  }
  return true;
}

cache::AnswerChoice AnswerRun::Ending(const Choice& choice) const {
  return {.finish_reason = choice.stream.finish_reason(),
          .stop_reason = choice.stream.stop_reason(),
          .extras = ChoiceExtras(choice)};
}

std::string AnswerRun::PromptTokenIds(const Choice& choice) const {
  return Json{{"prompt_token_ids", prompts_[choice.prompt].tokens}}.dump();
}

// vLLM puts these beside a choice of completions and beside all choices of a chat.
std::string AnswerRun::ChoiceExtras(const Choice& choice) const {
  if (request_.endpoint != openai::Endpoint::kCompletion) return "";
  Json extras = Json::object();
  if (request_.num_prompt_logprobs >= 0)
    extras["prompt_logprobs"] = PromptLogprobsJson(choice.prompt_logprobs, tokenizer_);
  if (request_.return_token_ids) extras["prompt_token_ids"] = prompts_[choice.prompt].tokens;
  return extras.empty() ? "" : extras.dump();
}

std::string AnswerRun::AnswerExtras() const {
  if (request_.endpoint != openai::Endpoint::kChat) return "";
  Json extras = Json::object();
  if (request_.num_prompt_logprobs >= 0)
    extras["prompt_logprobs"] = PromptLogprobsJson(choices_[0]->prompt_logprobs, tokenizer_);
  if (request_.return_token_ids) extras["prompt_token_ids"] = prompts_[0].tokens;
  return extras.empty() ? "" : extras.dump();
}

AnswerRun::Outcome AnswerRun::Finish() const {
  Outcome outcome{.usage = Usage(), .complete = true};
  outcome.ending = {.choices = {}, .usage = outcome.usage, .extras = AnswerExtras()};
  for (const auto& choice : choices_) {
    const std::string& reason = choice->stream.finish_reason();
    if (reason != "stop" && reason != "length") outcome.complete = false;
    if (reason == "error" && outcome.error.empty()) outcome.error = choice->stream.error();
    outcome.finish_reasons.push_back(reason);
    outcome.ending.choices.push_back(Ending(*choice));
  }
  return outcome;
}

// Each prompt counts once, whatever n is.
cache::AnswerUsage AnswerRun::Usage() const {
  cache::AnswerUsage usage;
  for (size_t i = 0; i < choices_.size(); ++i) {
    usage.completion_tokens += choices_[i]->stream.completion_tokens();
    if (i % static_cast<size_t>(request_.n) != 0) continue;
    usage.prompt_tokens += static_cast<int32_t>(prompts_[choices_[i]->prompt].tokens.size());
    usage.cached_tokens += choices_[i]->cached_tokens;
  }
  return usage;
}

}  // namespace nextgate::gateway
