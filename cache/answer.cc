#include "cache/answer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace nextgate::cache {

AnswerDelta Answer::delta(size_t i) const {
  CHECK(i < ends_.size());
  const Ends begin = i == 0 ? Ends{} : ends_[i - 1];
  const Ends& end = ends_[i];
  const auto slice = [](const std::string& all, uint32_t from, uint32_t to) {
    return std::string_view(all).substr(from, to - from);
  };
  return {.choice = end.choice,
          .text = slice(text_, begin.text, end.text),
          .token_ids = std::span(tokens_).subspan(begin.tokens, end.tokens - begin.tokens),
          .logprobs = slice(logprobs_, begin.logprobs, end.logprobs),
          .extras = slice(delta_extras_, begin.extras, end.extras)};
}

std::string Answer::ChoiceText(int32_t choice) const {
  std::string text;
  for (size_t i = 0; i < ends_.size(); ++i)
    if (ends_[i].choice == choice) text += delta(i).text;
  return text;
}

size_t Answer::SizeBytes() const {
  size_t bytes = sizeof *this + text_.capacity() + tokens_.capacity() * sizeof(int32_t) +
                 logprobs_.capacity() + delta_extras_.capacity() + ends_.capacity() * sizeof(Ends) +
                 choices_.capacity() * sizeof(AnswerChoice) + extras_.capacity();
  for (const AnswerChoice& choice : choices_)
    bytes +=
        choice.finish_reason.capacity() + choice.stop_reason.capacity() + choice.extras.capacity();
  return bytes;
}

AnswerBuilder::AnswerBuilder(size_t bytes_max)
    : bytes_max_(std::min(bytes_max, size_t{1} << 30)), answer_(std::make_unique<Answer>()) {}

void AnswerBuilder::Append(const AnswerDelta& delta) {
  CHECK(delta.choice >= 0);
  if (overflowed_) return;
  bytes_ += delta.text.size() + delta.token_ids.size_bytes() + delta.logprobs.size() +
            delta.extras.size() + sizeof(Answer::Ends);
  if (bytes_ > bytes_max_) {
    overflowed_ = true;
    answer_.reset();
    return;
  }
  Answer& answer = *answer_;
  answer.text_ += delta.text;
  answer.tokens_.insert(answer.tokens_.end(), delta.token_ids.begin(), delta.token_ids.end());
  answer.logprobs_ += delta.logprobs;
  answer.delta_extras_ += delta.extras;
  answer.ends_.push_back({.choice = delta.choice,
                          .text = static_cast<uint32_t>(answer.text_.size()),
                          .tokens = static_cast<uint32_t>(answer.tokens_.size()),
                          .logprobs = static_cast<uint32_t>(answer.logprobs_.size()),
                          .extras = static_cast<uint32_t>(answer.delta_extras_.size())});
  choice_max_ = std::max(choice_max_, delta.choice);
}

std::shared_ptr<const Answer> AnswerBuilder::Finish(Ending ending) {
  if (answer_ == nullptr) return nullptr;
  CHECK(choice_max_ < static_cast<int64_t>(ending.choices.size()));
  Answer& answer = *answer_;
  answer.choices_ = std::move(ending.choices);
  answer.usage_ = ending.usage;
  answer.extras_ = std::move(ending.extras);
  // It will lie in a store for long: give back what growing left over.
  answer.text_.shrink_to_fit();
  answer.tokens_.shrink_to_fit();
  answer.logprobs_.shrink_to_fit();
  answer.delta_extras_.shrink_to_fit();
  answer.ends_.shrink_to_fit();
  return std::shared_ptr<const Answer>(std::move(answer_));
}

}  // namespace nextgate::cache
