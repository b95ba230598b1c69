#include "gateway/said.h"

#include <algorithm>
#include <span>
#include <utility>

#include "gateway/upstream/chunk.h"

namespace nextgate::gateway {

using cache::AnswerChoice;
using cache::AnswerDelta;

Said::Choice& Said::At(int32_t index) {
  if (static_cast<size_t>(index) >= choices_.size())
    choices_.resize(static_cast<size_t>(index) + 1);
  return choices_[static_cast<size_t>(index)];
}

const Said::Choice& Said::choice(int32_t index) const {
  static const Choice nothing;
  return index < num_choices() ? choices_[static_cast<size_t>(index)] : nothing;
}

void Said::Add(const AnswerDelta& delta) {
  record_.Append(delta);
  Choice& choice = At(delta.choice);
  choice.text += delta.text;
  choice.token_ids.insert(choice.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
}

void Said::Finish(int32_t choice, const AnswerChoice& end) {
  At(choice).end = end;
  endings_.push_back({.after = record_.num_deltas(), .choice = choice});
}

void Said::Tell(const AnswerSource::Listener& listener) const {
  size_t ending = 0;
  for (size_t i = 0; i <= record_.num_deltas(); ++i) {
    for (; ending < endings_.size() && endings_[ending].after == i; ++ending)
      if (listener.finish)
        listener.finish(endings_[ending].choice, *choice(endings_[ending].choice).end);
    if (i < record_.num_deltas() && listener.delta) listener.delta(record_.delta(i));
  }
}

std::string_view DropJsonValues(std::string_view values, size_t count) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < values.size() && count > 0; ++i) {
    const char c = values[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (c == ',' && depth == 0 && --count == 0) {
      return values.substr(i + 1);
    }
  }
  return count == 0 ? values : std::string_view();
}

Retelling::Retelling(const Said& said) : said_(said) {
  for (int32_t i = 0; i < said.num_choices(); ++i) {
    const Said::Choice& choice = said.choice(i);
    choices_.push_back({.said = {choice.text.size(), choice.token_ids.size()},
                        .told = {},
                        .ended = choice.end.has_value()});
  }
  ChunkReader reader;
  const AnswerSource::Listener count = {.delta = [&](const AnswerDelta& delta) {
    if (delta.extras.empty()) return;
    const auto part = reader.Next(delta.extras);
    body_said_ = body_said_ || (part && part->kind == ChunkReader::Kind::kBody);
    if (!part || part->kind != ChunkReader::Kind::kChunk) return;
    const ChunkFacts facts = FactsOf(part->text);
    usage_said_ = usage_said_ || (facts.is_chunk && !facts.has_choices);
    opaque_said_ = opaque_said_ || (facts.has_choices && !facts.only_text);
    At(delta.choice).said.tokens += facts.tokens;
  }};
  said.Tell(count);
}

Retelling::Choice& Retelling::At(int32_t index) {
  if (static_cast<size_t>(index) >= choices_.size())
    choices_.resize(static_cast<size_t>(index) + 1);
  return choices_[static_cast<size_t>(index)];
}

bool Retelling::Covered(const Choice& choice) const {
  return choice.told.text >= choice.said.text && choice.told.tokens >= choice.said.tokens;
}

bool Retelling::Covered() const {
  return std::ranges::all_of(choices_, [&](const Choice& choice) { return Covered(choice); });
}

bool Retelling::Delta(const AnswerDelta& given, const AnswerSource::Listener& listener) {
  const size_t known = given.token_ids.size();
  if (given.extras.empty()) return Tell(given, known, listener);
  const auto part = reader_.Next(given.extras);
  if (!part) return false;
  if (part->kind != ChunkReader::Kind::kChunk) return Tell(given, known, listener);
  const ChunkFacts facts = FactsOf(part->text);
  if (!facts.is_chunk) return Tell(given, known, listener);  // our own engine's
  if (opaque_said_) return false;
  // It may be written against an earlier chunk, which our listener was told in other words: it goes on
  // whole.
  AnswerDelta delta = given;
  delta.extras = part->text;
  if (facts.has_choices) return Tell(delta, body_said_ ? 0 : facts.tokens, listener);
  if (!usage_said_ && listener.delta) listener.delta(delta);
  return true;
}

// `listed`: as many tokens as it has, or says that it has.
bool Retelling::Tell(const AnswerDelta& delta, size_t listed,
                     const AnswerSource::Listener& listener) {
  Choice& choice = At(delta.choice);
  const Said::Choice& said = said_.choice(delta.choice);
  if (Covered(choice)) {
    // Only how it ended may come again.
    if (choice.ended) return delta.text.empty() && listed == 0;
    if (listener.delta) listener.delta(delta);
    return true;
  }
  // What of it was said. Text and tokens are cut each at its own place: text may be held back.
  const size_t text = std::min(delta.text.size(), choice.said.text - choice.told.text);
  if (delta.text.substr(0, text) != std::string_view(said.text).substr(choice.told.text, text))
    return false;
  const size_t tokens = std::min(listed, choice.said.tokens - choice.told.tokens);
  const size_t known = std::min(tokens, delta.token_ids.size());
  if (!std::ranges::equal(delta.token_ids.first(known),
                          std::span(said.token_ids).subspan(choice.told.tokens, known)))
    return false;
  choice.told.text += text;
  choice.told.tokens += tokens;
  if (text == delta.text.size() && tokens == listed) return true;
  // New, although not all that was said has come again?
  if (!Covered(choice) || choice.ended) return false;
  AnswerDelta rest{.choice = delta.choice,
                   .text = delta.text.substr(text),
                   .token_ids = delta.token_ids.subspan(known),
                   .logprobs = DropJsonValues(delta.logprobs, tokens),
                   .extras = {}};
  std::optional<std::string> chunk;
  if (!delta.extras.empty()) {
    chunk = WithoutBeginning(delta.extras, text, tokens);
    if (!chunk) return false;
    rest.extras = *chunk;
  }
  if (listener.delta) listener.delta(rest);
  return true;
}

bool Retelling::Finish(int32_t index, const AnswerChoice& end,
                       const AnswerSource::Listener& listener) {
  const Choice& choice = At(index);
  if (!Covered(choice)) return false;
  if (choice.ended) return said_.choice(index).end->finish_reason == end.finish_reason;
  if (listener.finish) listener.finish(index, end);
  return true;
}

namespace {

class Rest final : public AnswerSource {
 public:
  Rest(std::unique_ptr<AnswerSource> source, const Said& said)
      : source_(std::move(source)), retelling_(said) {}

  bool Pump(std::chrono::milliseconds timeout, const Listener& listener) override {
    const bool more = source_->Pump(
        timeout, {.delta =
                      [&](const AnswerDelta& delta) {
                        agrees_ = agrees_ && retelling_.Delta(delta, listener);
                      },
                  .finish =
                      [&](int32_t choice, const AnswerChoice& end) {
                        // A choice that failed covers nothing; Finish says so.
                        if (end.finish_reason == "error" || end.finish_reason == "abort") return;
                        agrees_ = agrees_ && retelling_.Finish(choice, end, listener);
                      }});
    ended_ = !more;
    return more && agrees_;
  }

  Outcome Finish() const override {
    Outcome outcome;
    if (ended_) outcome = source_->Finish();
    if (!outcome.error.empty() || (agrees_ && retelling_.Covered())) return outcome;
    outcome.complete = false;
    outcome.error = "the rest of this answer could not be found: told again, it is another one";
    return outcome;
  }

  int32_t num_choices() const override { return source_->num_choices(); }

 private:
  const std::unique_ptr<AnswerSource> source_;
  Retelling retelling_;
  bool agrees_ = true;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<AnswerSource> TellTheRest(std::unique_ptr<AnswerSource> source, const Said& said) {
  return std::make_unique<Rest>(std::move(source), said);
}

}  // namespace nextgate::gateway
