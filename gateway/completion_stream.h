// From the tokens of one choice to the text deltas its client sees: detokenised, stop strings found
// and held back until it is certain that they are none, token ids and log probabilities kept beside
// their text.
//
// Threads: one choice, one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/answer.h"
#include "engine/request.h"
#include "engine/tokenizer/detokenizer.h"
#include "engine/tokenizer/tokenizer.h"
#include "gateway/openai/api_request.h"

namespace nextgate::gateway {

// Finds the first of several stop strings in text that arrives in pieces.
class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  struct Fed {
    std::string text;            // certain: before the stop, or no beginning of one
    std::optional<size_t> stop;  // which stop string was completed; nothing more may be fed
  };
  // Adds `text`. Of several stops in it the one that begins first counts; of those the first in the
  // list.
  Fed Feed(std::string_view text);
  // What was held back: no more text comes.
  std::string Flush() { return std::exchange(held_, {}); }

  const std::string& stop(size_t index) const { return stops_[index]; }

 private:
  std::vector<std::string> stops_;
  std::string held_;  // the beginning of a stop string, perhaps
};

// What a client gets at once.
struct ChoiceDelta {
  std::string text;
  std::vector<int32_t> token_ids;
  std::vector<std::string> logprobs;  // JSON, one per token, if asked for
  bool empty() const { return text.empty() && token_ids.empty(); }
};

class ChoiceStream {
 public:
  // Both must outlive the stream.
  ChoiceStream(const openai::ApiRequest& request, const engine::Tokenizer& tokenizer);

  // The prompt as the beginning of the answer (echo): its text, and with log probabilities one
  // entry per token.
  void Echo(const std::vector<int32_t>& prompt,
            const std::vector<engine::PositionLogprobs>& logprobs);

  // Takes an event; afterwards TakeDelta gives what became certain. Once ended() is true the
  // generation is to be cancelled if it has not finished, and nothing more may be added.
  void Add(const engine::GenerationEvent& event);
  // Takes tokens that were said before, and returns the text that was certain with them: afterwards the
  // stream stands where it stood then. Before the first Add.
  std::string Resume(const std::vector<int32_t>& token_ids);
  // The same for a choice that had ended.
  void ResumeEnded(int32_t completion_tokens, const cache::AnswerChoice& end);

  // The delta that is certain now; empty text is possible with `at_end`. Nothing if there is
  // nothing to say yet.
  std::optional<ChoiceDelta> TakeDelta();

  bool ended() const { return !finish_reason_.empty(); }
  const std::string& finish_reason() const {
    return finish_reason_;
  }  // "stop", "length", "abort", "error"
  const std::string& stop_reason() const {
    return stop_reason_;
  }  // JSON: a stop string, a token id, or "" for null
  const std::string& error() const { return error_; }
  int32_t completion_tokens() const { return completion_tokens_; }
  // Where a stop string cut the answer: of completion_tokens() those whose text lies wholly in what was
  // kept of it. -1: none did.
  int32_t tokens_kept() const { return tokens_kept_; }

 private:
  void AddToken(const engine::GenerationEvent::Token& token, bool silent);
  void AddText(std::string_view text);
  void Certain(size_t bytes);
  void Finish(const engine::GenerationEvent::Finished& finished);
  void Keep(int32_t id, const std::optional<engine::PositionLogprobs>& logprobs);

  const openai::ApiRequest& request_;
  const engine::Tokenizer& tokenizer_;
  engine::Detokenizer detokenizer_;
  StopStrings stops_;
  ChoiceDelta delta_;  // text is certain; tokens as they came
  int32_t completion_tokens_ = 0;
  // With stop strings: how much of the text is known and certain, and where those tokens end in it that
  // may yet be cut off.
  struct TokenEnd {
    int32_t tokens = 0;
    size_t bytes = 0;
  };
  size_t bytes_known_ = 0;
  size_t bytes_certain_ = 0;
  std::deque<TokenEnd> uncertain_;
  int32_t tokens_certain_ = 0;
  int32_t tokens_kept_ = -1;
  std::string finish_reason_;
  std::string stop_reason_;
  std::string error_;
};

// The log probabilities of one position as OpenAI's chat shape has them, JSON. No `logprobs`: the
// first token of a prompt.
std::string LogprobJson(int32_t id, const engine::PositionLogprobs* logprobs,
                        const engine::Tokenizer& tokenizer, bool as_token_ids);

}  // namespace nextgate::gateway
