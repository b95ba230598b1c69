// A language model as the judge of two answers (cache/semantic/answer_comparator.h): it is shown the
// question and both answers, at temperature 0, and asked for one word, SAME or DIFFERENT. Anything else
// is no label. What a model thinks before </think> is not read.
//
// The texts are handed over as JSON, so that none of them can end itself and go on as an instruction;
// what they say may still mislead a model. How often it is wrong has to be counted
// (cache/semantic/labelled_answers.h).
//
// Threads: Same and Close from any.
// Invariants: Same returns at its deadline, or 100 ms after Close. No text is logged.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cache/semantic/answer_comparator.h"
#include "gateway/generator.h"
#include "gateway/openai/api_request.h"

namespace nextgate::gateway {

class ModelJudge final : public cache::AnswerJudge {
 public:
  // The body of a chat request, read as the generator needs it.
  using Read = std::function<Result<openai::ApiRequest>(const std::string& body)>;
  // `model` is what the request names; "": none. REQUIRES: `generator` outlives it.
  ModelJudge(Generator& generator, std::string model, Read read);

  // Errors: the generator's; kDataLoss: a reply that is neither word; kDeadlineExceeded.
  Result<bool> Same(std::string_view question, std::string_view stored, std::string_view generated,
                    Deadline deadline) override;
  void Close() override { closed_.store(true, std::memory_order_relaxed); }

 private:
  std::string Body(std::string_view question, std::string_view stored,
                   std::string_view generated) const;

  Generator& generator_;
  const std::string model_;
  const Read read_;
  std::atomic<bool> closed_ = false;
};

// What a whole reply says: its first word, behind the last </think>, if the other word does not follow.
enum class JudgedAs { kSame, kDifferent, kNeither };
JudgedAs ReadJudgement(std::string_view reply);

}  // namespace nextgate::gateway
