// A finished answer, kept so that one entry serves both a stream and a body: the deltas as they
// were produced, with their boundaries, and what closes them. The cache knows no OpenAI shapes:
// what a delta looks like on the wire is the gateway's, which renders live and stored deltas
// through the same code, so that a replay differs from the original in `id` and `created` only.
//
// Layout: deltas of all choices in the order they were sent, their texts in one string, token ids
// in one array, logprobs and extras in one string each; a delta is 20 bytes of end offsets. A body
// is the concatenation by choice.
//
// Threads: Answer is immutable and shared between threads. AnswerBuilder belongs to one thread.
// Invariants: (1) end offsets ascend; (2) every delta's choice has an AnswerChoice; (3) offsets fit
// in 32 bits (the builder refuses to grow past 1 GiB).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nextgate::cache {

struct AnswerUsage {
  int32_t prompt_tokens = 0;
  int32_t completion_tokens = 0;
  int32_t cached_tokens = 0;  // prompt tokens taken from the prefix cache
};

// How one choice ended, and what of it is not a delta.
struct AnswerChoice {
  std::string finish_reason;  // "stop", "length", "tool_calls"
  std::string stop_reason;    // JSON of vLLM's stop_reason (string or token id); "" means null
  std::string extras;         // JSON object of further members, in the gateway's format; "" if none
};

// One delta of one choice; the views point into the Answer.
struct AnswerDelta {
  int32_t choice = 0;
  std::string_view text;               // valid UTF-8
  std::span<const int32_t> token_ids;  // the tokens behind it, if known
  std::string_view logprobs;  // comma-joined JSON values, one per token; "" if not asked for
  std::string_view extras;    // JSON object of further members, in the gateway's format; "" if none
};

class Answer {
 public:
  size_t num_deltas() const { return ends_.size(); }
  // The i-th delta in the order of the stream. REQUIRES: i < num_deltas().
  AnswerDelta delta(size_t i) const;

  std::span<const AnswerChoice> choices() const { return choices_; }
  const AnswerUsage& usage() const { return usage_; }
  // JSON object of response members beside choices and usage (prompt_logprobs, …); "" if none.
  const std::string& extras() const { return extras_; }

  // All text of one choice: the body's content.
  std::string ChoiceText(int32_t choice) const;

  // Bytes this answer holds in memory, for the store's accounting.
  size_t SizeBytes() const;

 private:
  friend class AnswerBuilder;
  struct Ends {
    int32_t choice;
    uint32_t text, tokens, logprobs, extras;
  };

  std::string text_;
  std::vector<int32_t> tokens_;
  std::string logprobs_;
  std::string delta_extras_;
  std::vector<Ends> ends_;
  std::vector<AnswerChoice> choices_;
  AnswerUsage usage_;
  std::string extras_;
};

// Records an answer while it is produced.
class AnswerBuilder {
 public:
  // An answer growing past `bytes_max` is given up: its memory is freed and Finish returns nothing.
  explicit AnswerBuilder(size_t bytes_max = size_t{1} << 30);

  // Copies `delta`. REQUIRES: delta.choice >= 0. Ignored after overflow.
  void Append(const AnswerDelta& delta);
  bool overflowed() const { return overflowed_; }

  // What was recorded so far; the views are valid until the next Append or Finish.
  size_t num_deltas() const { return answer_ == nullptr ? 0 : answer_->num_deltas(); }
  int32_t num_choices() const { return choice_max_ + 1; }  // up to the last that a delta spoke of
  AnswerDelta delta(size_t i) const { return answer_->delta(i); }  // REQUIRES: i < num_deltas()

  struct Ending {
    std::vector<AnswerChoice> choices;  // by index
    AnswerUsage usage;
    std::string extras;
  };
  // The answer, or nullptr after overflow. The builder is then empty.
  // REQUIRES: every appended delta's choice < ending.choices.size().
  std::shared_ptr<const Answer> Finish(Ending ending);

 private:
  const size_t bytes_max_;
  bool overflowed_ = false;
  size_t bytes_ = 0;
  int32_t choice_max_ = -1;
  std::unique_ptr<Answer> answer_;
};

}  // namespace nextgate::cache
