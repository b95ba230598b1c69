// Answers in OpenAI's shapes, with vLLM's additional fields. Live and stored answers go through the
// same functions, so a replay differs from the original in `id` and `created` only.
//
// Threads: one response, one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cache/answer.h"
#include "gateway/openai/api_request.h"

namespace nextgate::gateway::openai {

inline constexpr std::string_view kStreamDone = "data: [DONE]\n\n";

// Renders one answer for one client, live or stored.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  // Events of a stream, each complete ("data: {…}\n\n"), in the order: Begin, then deltas and one
  // Finish per choice, Usage if it was asked for, kStreamDone.
  virtual std::string Begin() const = 0;
  virtual std::string Delta(const cache::AnswerDelta& delta) = 0;
  virtual std::string Finish(int32_t index, const cache::AnswerChoice& choice) const = 0;
  virtual std::string Usage(const cache::AnswerUsage& usage) const = 0;

  // The whole answer at once.
  virtual std::string Body(const cache::Answer& answer) = 0;
};

// Answers of the engine.
class ResponseWriter final : public AnswerWriter {
 public:
  // `request` must outlive the writer. created: Unix seconds. num_choices: n times the number of
  // prompts.
  ResponseWriter(const ApiRequest& request, std::string id, int64_t created_s, int32_t num_choices);

  std::string Begin() const override;
  std::string Delta(const cache::AnswerDelta& delta) override;
  std::string Finish(int32_t index, const cache::AnswerChoice& choice) const override;
  std::string Usage(const cache::AnswerUsage& usage) const override;
  std::string Body(const cache::Answer& answer) override;

 private:
  ApiRequest const& request_;
  std::string id_;
  int64_t created_s_;
  std::vector<int64_t>
      text_offsets_;  // completions: characters written per choice, for text_offset
};

}  // namespace nextgate::gateway::openai
