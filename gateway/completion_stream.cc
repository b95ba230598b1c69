#include "gateway/completion_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace nextgate::gateway {
namespace {

using Json = nlohmann::ordered_json;

constexpr float kLowestLogprob = -9999.0f;  // JSON has no infinity; vLLM writes the same

// The longest end of `text` that a stop string begins with.
size_t HeldLength(std::string_view text, const std::vector<std::string>& stops) {
  size_t longest = 0;
  for (const std::string& stop : stops) {
    for (size_t length = std::min(text.size(), stop.size() - 1); length > longest; --length)
      if (text.ends_with(std::string_view(stop).substr(0, length))) longest = length;
  }
  return longest;
}

Json TokenJson(int32_t id, float logprob, const engine::Tokenizer& tokenizer, bool as_token_ids) {
  const std::string_view bytes = tokenizer.TokenBytes(id);
  Json json;
  json["token"] = as_token_ids ? fmt::format("token_id:{}", id)
                               : tokenizer.Decode(std::span(&id, 1), /*skip_special=*/false);
  json["logprob"] = std::max(logprob, kLowestLogprob);
  Json list = Json::array();
  for (const char byte : bytes) list.push_back(static_cast<unsigned char>(byte));
  json["bytes"] = std::move(list);
  return json;
}

}  // namespace

StopStrings::Fed StopStrings::Feed(std::string_view text) {
  held_ += text;
  size_t first = std::string::npos;
  std::optional<size_t> which;
  for (size_t i = 0; i < stops_.size(); ++i) {
    const size_t at = held_.find(stops_[i]);
    if (at < first) {
      first = at;
      which = i;
    }
  }
  if (which) {
    Fed fed{held_.substr(0, first), which};
    held_.clear();
    return fed;
  }
  const size_t certain = held_.size() - HeldLength(held_, stops_);
  Fed fed{held_.substr(0, certain), std::nullopt};
  held_.erase(0, certain);
  return fed;
}

std::string LogprobJson(int32_t id, const engine::PositionLogprobs* logprobs,
                        const engine::Tokenizer& tokenizer, bool as_token_ids) {
  Json json =
      TokenJson(id, logprobs == nullptr ? 0 : logprobs->chosen.logprob, tokenizer, as_token_ids);
  if (logprobs == nullptr) json["logprob"] = nullptr;
  json["top_logprobs"] = Json::array();
  if (logprobs != nullptr)
    for (const engine::TokenLogprob& top : logprobs->top)
      json["top_logprobs"].push_back(TokenJson(top.token, top.logprob, tokenizer, as_token_ids));
  return json.dump();
}

ChoiceStream::ChoiceStream(const openai::ApiRequest& request, const engine::Tokenizer& tokenizer)
    : request_(request),
      tokenizer_(tokenizer),
      detokenizer_(tokenizer, request.skip_special_tokens),
      stops_(request.stop) {}

void ChoiceStream::Echo(const std::vector<int32_t>& prompt,
                        const std::vector<engine::PositionLogprobs>& logprobs) {
  delta_.text += tokenizer_.Decode(prompt, request_.skip_special_tokens);
  for (size_t i = 0; i < prompt.size(); ++i) {
    delta_.token_ids.push_back(prompt[i]);
    if (request_.num_logprobs < 0) continue;
    const bool known = i > 0 && i - 1 < logprobs.size();
    delta_.logprobs.push_back(LogprobJson(prompt[i], known ? &logprobs[i - 1] : nullptr, tokenizer_,
                                          request_.return_tokens_as_token_ids));
  }
}

void ChoiceStream::Add(const engine::GenerationEvent& event) {
  CHECK(!ended());
  for (size_t i = 0; i < event.tokens.size() && !ended(); ++i) {
    const bool last = i + 1 == event.tokens.size();
    const bool is_stop_token =
        last && event.finished && event.finished->stop_token == event.tokens[i].id;
    AddToken(event.tokens[i], is_stop_token && !request_.include_stop_str_in_output);
  }
  if (event.finished && !ended()) Finish(*event.finished);
}

std::string ChoiceStream::Resume(const std::vector<int32_t>& token_ids) {
  for (const int32_t id : token_ids) {
    AddToken({.id = id, .logprobs = {}}, /*silent=*/false);
    if (ended()) break;
  }
  return std::exchange(delta_, {}).text;
}

void ChoiceStream::ResumeEnded(int32_t completion_tokens, const cache::AnswerChoice& end) {
  completion_tokens_ = completion_tokens;
  finish_reason_ = end.finish_reason;
  stop_reason_ = end.stop_reason;
}

// `silent`: a stop token, whose own text is not part of the answer.
void ChoiceStream::AddToken(const engine::GenerationEvent::Token& token, bool silent) {
  ++completion_tokens_;
  Keep(token.id, token.logprobs);
  if (silent) return;
  const std::string text = detokenizer_.Add(token.id);
  bytes_known_ += text.size();
  if (!request_.stop.empty() && detokenizer_.whole())
    uncertain_.push_back({.tokens = completion_tokens_, .bytes = bytes_known_});
  // Stop strings are not looked for before min_tokens tokens are out.
  if (completion_tokens_ <= request_.min_tokens) {
    delta_.text += text;
    Certain(text.size());
    return;
  }
  AddText(text);
}

// So much more of the text is the answer's for good, and the tokens that end in it.
void ChoiceStream::Certain(size_t bytes) {
  bytes_certain_ += bytes;
  for (; !uncertain_.empty() && uncertain_.front().bytes <= bytes_certain_; uncertain_.pop_front())
    tokens_certain_ = uncertain_.front().tokens;
}

void ChoiceStream::Keep(int32_t id, const std::optional<engine::PositionLogprobs>& logprobs) {
  delta_.token_ids.push_back(id);
  if (request_.num_logprobs < 0) return;
  delta_.logprobs.push_back(LogprobJson(id, logprobs ? &*logprobs : nullptr, tokenizer_,
                                        request_.return_tokens_as_token_ids));
}

void ChoiceStream::AddText(std::string_view text) {
  if (text.empty()) return;
  const StopStrings::Fed fed = stops_.Feed(text);
  delta_.text += fed.text;
  Certain(fed.text.size());
  if (!fed.stop) return;
  const std::string& stop = stops_.stop(*fed.stop);
  if (request_.include_stop_str_in_output) {
    delta_.text += stop;
    Certain(stop.size());
  }
  tokens_kept_ = tokens_certain_;
  finish_reason_ = "stop";
  stop_reason_ = Json(stop).dump();
}

void ChoiceStream::Finish(const engine::GenerationEvent::Finished& finished) {
  AddText(detokenizer_.Flush());
  if (ended()) return;  // the last bytes completed a stop string
  delta_.text += stops_.Flush();
  switch (finished.reason) {
    case engine::FinishReason::kStop:
      finish_reason_ = "stop";
      if (std::ranges::find(request_.stop_token_ids, finished.stop_token) !=
          request_.stop_token_ids.end())
        stop_reason_ = std::to_string(finished.stop_token);
      return;
    case engine::FinishReason::kLength:
      finish_reason_ = "length";
      return;
    case engine::FinishReason::kCancelled:
      finish_reason_ = "abort";
      return;
    case engine::FinishReason::kError:
      finish_reason_ = "error";
      error_ = finished.error;
      return;
  }
}

std::optional<ChoiceDelta> ChoiceStream::TakeDelta() {
  if (delta_.text.empty() && !(ended() && !delta_.empty())) return std::nullopt;
  return std::exchange(delta_, {});
}

}  // namespace nextgate::gateway
