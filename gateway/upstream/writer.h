// An upstream's answer on its way to a client: as it came, byte by byte, in the form it came in; a
// stream added up to a body, or a body told as a stream, for whoever asked for the other. A replay
// has an `id` and a `created` of its own. What was only there because this server asks every stream
// for its usage is left out for those who did not ask.
//
// Threads: one response, one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/openai/response.h"
#include "gateway/upstream/recorded.h"

namespace nextgate::gateway {

class UpstreamWriter final : public openai::AnswerWriter {
 public:
  // `request` must outlive the writer. `replay`: `id` and `created_s` replace the answer's own.
  UpstreamWriter(const openai::ApiRequest& request, std::string id, int64_t created_s, bool replay)
      : request_(request), id_(std::move(id)), created_s_(created_s), replay_(replay) {}

  // Everything a stream says is in its deltas.
  std::string Begin() const override { return ""; }
  std::string Delta(const cache::AnswerDelta& delta) override;
  std::string Finish(int32_t, const cache::AnswerChoice&) const override { return ""; }
  std::string Usage(const cache::AnswerUsage&) const override { return ""; }
  std::string Body(const cache::Answer& answer) override;

 private:
  std::string Event(std::string_view chunk) const;
  std::string Identified(std::string_view json) const;

  const openai::ApiRequest& request_;
  const std::string id_;
  const int64_t created_s_;
  const bool replay_;
  ChunkReader reader_;
};

}  // namespace nextgate::gateway
