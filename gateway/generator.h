// Who makes an answer that is not known: the engine of this process. ChatPipeline asks a Generator and
// listens to an AnswerSource, and knows nothing of what is behind them.
//
// Threads: a Generator from any thread; an AnswerSource by one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "cache/answer.h"
#include "cache/exact_cache.h"
#include "gateway/openai/api_request.h"

namespace nextgate::gateway {

class Said;  // gateway/said.h

// One answer in the making. Destroying it cancels what it does not need any more.
class AnswerSource {
 public:
  virtual ~AnswerSource() = default;

  // What is said on the way, in order.
  struct Listener {
    std::function<void(const cache::AnswerDelta&)> delta;
    std::function<void(int32_t index, const cache::AnswerChoice&)> finish;
  };
  // Waits up to `timeout` for something to say and says it. False when every choice has ended.
  virtual bool Pump(std::chrono::milliseconds timeout, const Listener& listener) = 0;

  // How it ended.
  struct Outcome {
    cache::AnswerBuilder::Ending ending;
    cache::AnswerUsage usage;
    bool complete = false;  // every choice ended by itself: stop or length
    std::vector<std::string> finish_reasons;
    std::string error;  // of the first choice that failed, or ""
    ErrorCode error_code = ErrorCode::kInternal;
    cache::Sharing sharing;  // where the answer is to be kept beside this process
  };
  // REQUIRES: Pump returned false.
  virtual Outcome Finish() const = 0;

  virtual int32_t num_choices() const = 0;
};

class Generator {
 public:
  virtual ~Generator() = default;

  // Begins to answer `request`; `id` is for logs. The generator outlives the source. Errors are the
  // client's to see: a request that can never be answered, a full queue.
  virtual Result<std::unique_ptr<AnswerSource>> Start(
      std::shared_ptr<const openai::ApiRequest> request, const std::string& id) = 0;

  // The same, going on where `said` ends: the source says only what comes after, and counts in its
  // Outcome what came before. kUnimplemented if that cannot be done for this request, or by this
  // generator; kDataLoss if `said` is not what it would have said itself. `said` must outlive the source.
  virtual Result<std::unique_ptr<AnswerSource>> Continue(
      std::shared_ptr<const openai::ApiRequest> /*request*/, const std::string& /*id*/,
      const Said& /*said*/) {
    return MakeError(ErrorCode::kUnimplemented, "this generator begins at the beginning");
  }

  // Generators of equal fingerprints give equal answers to equal requests.
  virtual const std::string& fingerprint() const = 0;
};

}  // namespace nextgate::gateway
