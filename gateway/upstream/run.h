// One answer of an upstream in the making: what arrives is said as it arrives, chunk by chunk or as one
// body, and recorded as it came (recorded.h).
//
// Threads: one at a time. Destroying it closes the connection, so the upstream can stop.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/generator.h"
#include "gateway/upstream/call.h"
#include "gateway/upstream/recorded.h"
#include "gateway/upstream/sse_parser.h"

namespace nextgate::gateway {

// Whether a response header is passed on: not what belongs to one connection (RFC 9110, 7.6.1), not
// what this server says itself, and no cookies.
bool IsPassedOn(std::string_view header_name);
ReplyHeaders PassedOn(const HttpHeaders& headers);

// Our words for a failure before an answer: 502, 504 in the case of a time-out, 503 with Retry-After
// if no upstream is being asked at present.
ForeignReply ReplyOf(const UpstreamFailure& failure, std::chrono::milliseconds retry_in);

class UpstreamRun final : public AnswerSource {
 public:
  // `streamed`: the client asked for a stream.
  UpstreamRun(const CallSettings& settings, UpstreamRequest upstream_request, int32_t num_choices,
              bool streamed);

  bool Pump(std::chrono::milliseconds timeout, const Listener& listener) override;
  Outcome Finish() const override;
  int32_t num_choices() const override { return num_choices_; }
  bool accepted() const override { return accepted_; }
  ReplyHeaders reply_headers() const override { return reply_headers_; }
  std::chrono::milliseconds gather() const override { return std::chrono::milliseconds(0); }

 private:
  void OnHead();
  void OnPiece(const Listener& listener);
  void OnEnd(const Listener& listener);
  void OnEvent(const SseEvent& event, const Listener& listener);
  void OnBody(const Listener& listener);
  bool Note(const nlohmann::json& chunk, int32_t& choice, std::string& text,
            std::vector<int32_t>& finished);
  void Break(const std::string& what, bool timed_out);

  const int32_t num_choices_;
  const bool streamed_;
  const std::string id_;
  UpstreamCall call_;
  enum class Form { kUnknown, kStream, kBody, kRefusal } form_ = Form::kUnknown;
  SseParser sse_;
  ChunkRecorder recorder_;
  std::string body_;
  bool accepted_ = false;
  bool done_said_ = false;  // [DONE] came
  bool ended_ = false;
  ReplyHeaders reply_headers_;
  std::vector<cache::AnswerChoice> choices_;
  cache::AnswerUsage usage_;
  std::string error_;
  bool error_said_ = false;
  std::optional<ForeignReply> refusal_;
};

}  // namespace nextgate::gateway
