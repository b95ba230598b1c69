// Who makes an answer that is not known: the engine of this process, or another server (upstream/).
// ChatPipeline asks a Generator and listens to an AnswerSource, and knows nothing of what is behind
// them.
//
// Threads: a Generator from any thread; an AnswerSource by one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cache/answer.h"
#include "cache/exact_cache.h"
#include "gateway/openai/api_request.h"
#include "gateway/openai/response.h"

namespace nextgate::gateway {

class Said;  // gateway/said.h

using ReplyHeaders = std::vector<std::pair<std::string, std::string>>;

// A reply in somebody else's words, to be passed on as it is.
struct ForeignReply {
  int status = 502;
  std::string content_type = "application/json";
  ReplyHeaders headers;
  std::string body;
};

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
    bool error_said = false;  // a delta has said it already; then also
    bool done_said = false;   // whether the source closed its stream as a whole one is closed
    std::optional<ForeignReply>
        refusal;             // there is no answer: what a client gets that heard nothing
    cache::Sharing sharing;  // where the answer is to be kept beside this process
  };
  // REQUIRES: Pump returned false.
  virtual Outcome Finish() const = 0;

  virtual int32_t num_choices() const = 0;

  // False while it may still turn out that there is no answer at all (Outcome::refusal): until then no
  // client is told anything. True once a delta was said, and for sources that refuse in Start.
  virtual bool accepted() const { return true; }
  // Further headers for the client who asked. REQUIRES: accepted.
  virtual ReplyHeaders reply_headers() const { return {}; }
  // How long to gather deltas for one write to the client.
  virtual std::chrono::milliseconds gather() const { return std::chrono::milliseconds(5); }
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
      const std::shared_ptr<const openai::ApiRequest>& /*request*/, const std::string& /*id*/,
      const Said& /*said*/) {
    return MakeError(ErrorCode::kUnimplemented, "this generator begins at the beginning");
  }

  // An answer of its own, live or stored, of which the client is about to hear the end: it may come back
  // as a message of the next request.
  virtual void Remember(const openai::ApiRequest& /*request*/, const cache::Answer& /*answer*/) {}

  // What renders its answers: those that `id` asked for, and with `replay` those that were made for
  // somebody else. `request` outlives it.
  virtual std::unique_ptr<openai::AnswerWriter> NewWriter(const openai::ApiRequest& request,
                                                          std::string id, int64_t created_s,
                                                          int32_t num_choices, bool replay) const;

  // The path of a request that it answers, in access lines: "engine".
  virtual std::string_view name() const { return "engine"; }

  // Generators of equal fingerprints give equal answers to equal requests.
  virtual const std::string& fingerprint() const = 0;
};

}  // namespace nextgate::gateway
