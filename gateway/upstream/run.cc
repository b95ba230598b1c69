#include "gateway/upstream/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/ascii.h"
#include "base/log.h"
#include "gateway/key_text.h"
#include "gateway/openai/error.h"
#include "gateway/upstream/chunk.h"

namespace nextgate::gateway {

using nlohmann::json;
using std::chrono::milliseconds;

namespace {

constexpr size_t kBodyBytesMax = size_t{64} << 20;
constexpr int64_t kChoicesMax = 4096;
constexpr milliseconds kAfterDone(
    2);  // for the end of the body, so that the connection can be kept

// JSON as one line, without space around it. In valid JSON a line break is always between two tokens.
std::string InOneLine(std::string_view json) {
  std::string line(json);
  std::ranges::replace_if(
      line, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return std::string(TrimSpace(line));
}

// What metrics and logs may carry of a word that somebody else chose.
std::string FinishReason(const json& value) {
  if (!value.is_string()) return "";
  const auto& word = value.get_ref<const std::string&>();
  const bool plain = !word.empty() && word.size() <= 32 && std::ranges::all_of(word, [](char c) {
    return (c >= 'a' && c <= 'z') || c == '_';
  });
  return plain ? word : "other";
}

int32_t Count(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_integer()) return 0;
  return static_cast<int32_t>(std::clamp<int64_t>(found->get<int64_t>(), 0, INT32_MAX));
}

}  // namespace

bool IsPassedOn(std::string_view header_name) {
  static constexpr std::string_view kNot[] = {"connection",
                                              "keep-alive",
                                              "proxy-authenticate",
                                              "proxy-connection",
                                              "te",
                                              "trailer",
                                              "transfer-encoding",
                                              "upgrade",
                                              "content-length",
                                              "content-type",
                                              "content-encoding",
                                              "date",
                                              "server",
                                              "set-cookie",
                                              "vary",
                                              "alt-svc",
                                              "strict-transport-security",
                                              "cache-control",
                                              "x-request-id",
                                              "x-accel-buffering",
                                              "age",
                                              "cache-status"};
  const std::string name = AsciiLower(header_name);
  return std::ranges::find(kNot, name) == std::end(kNot) && !name.starts_with("x-cache") &&
         !name.starts_with("access-control-");
}

ReplyHeaders PassedOn(const HttpHeaders& headers) {
  ReplyHeaders passed;
  for (const auto& [name, value] : headers)
    if (IsPassedOn(name)) passed.emplace_back(name, value);
  return passed;
}

ForeignReply ReplyOf(const UpstreamFailure& failure, milliseconds retry_in) {
  ForeignReply reply{.status = failure.timed_out ? 504 : 502};
  std::string message = fmt::format("the upstream failed: {}", failure.text);
  if (failure.phase == UpstreamPhase::kConnect)
    message = fmt::format("the upstream cannot be reached: {}", failure.text);
  if (failure.phase == UpstreamPhase::kBreaker) {
    reply.status = 503;
    reply.headers.emplace_back("Retry-After", std::to_string(1 + retry_in.count() / 1000));
    message = "the upstream is not asked at present: " + failure.text;
  }
  reply.body = openai::ErrorBody({ErrorCode::kUnavailable, message, ""});
  return reply;
}

UpstreamRun::UpstreamRun(const CallSettings& settings, UpstreamRequest upstream_request,
                         int32_t num_choices, bool streamed)
    : num_choices_(num_choices),
      streamed_(streamed),
      id_(upstream_request.id),
      call_(settings, std::move(upstream_request)) {}

bool UpstreamRun::Pump(milliseconds timeout, const Listener& listener) {
  if (ended_) return false;
  switch (call_.Step(timeout)) {
    case UpstreamCall::News::kNothing:
      break;
    case UpstreamCall::News::kHead:
      OnHead();
      break;
    case UpstreamCall::News::kBody:
      OnPiece(listener);
      break;
    case UpstreamCall::News::kEnd:
      OnEnd(listener);
      break;
    case UpstreamCall::News::kFailed: {
      const UpstreamFailure& failure = call_.failure();
      if (failure.phase != UpstreamPhase::kBreaker)  // has been said when it opened
        LogWarning("req={} upstream phase={} error=\"{}\"", id_, UpstreamPhaseName(failure.phase),
                   failure.text);
      refusal_ = ReplyOf(failure, call_.retry_in());
      if (accepted_ && !error_said_) error_ = "the upstream broke off: " + failure.text;
      ended_ = true;
      break;
    }
  }
  return !ended_;
}

void UpstreamRun::OnHead() {
  const HttpResponse& head = call_.head();
  const std::string type = AsciiLower(FindHeader(head.headers, "Content-Type"));
  reply_headers_ = PassedOn(head.headers);
  if (head.status != 200) {
    form_ = Form::kRefusal;
    refusal_ = ForeignReply{.status = head.status, .headers = reply_headers_};
    if (!type.empty()) refusal_->content_type = FindHeader(head.headers, "Content-Type");
  } else {
    form_ = type.starts_with("text/event-stream") ? Form::kStream : Form::kBody;
    if (!type.empty() &&
        streamed_ == (form_ == Form::kStream))  // else it is told in the other form
      reply_headers_.emplace_back("Content-Type", FindHeader(head.headers, "Content-Type"));
  }
}

void UpstreamRun::OnPiece(const Listener& listener) {
  if (form_ != Form::kStream) {
    body_ += call_.piece();
    if (body_.size() > kBodyBytesMax)
      Break(fmt::format("its answer is longer than {} bytes", kBodyBytesMax), false);
    return;
  }
  std::vector<SseEvent> events;
  const Status status = sse_.Feed(call_.piece(), events);
  for (const SseEvent& event : events)
    if (!ended_ && !done_said_) OnEvent(event, listener);
  if (!status && !ended_ && !done_said_) Break(status.error().message, false);
  if (!done_said_ || ended_) return;
  call_.Step(kAfterDone);
  ended_ = true;
}

void UpstreamRun::OnEvent(const SseEvent& event, const Listener& listener) {
  const std::string data = InOneLine(event.data);
  if (data == "[DONE]") {
    done_said_ = true;
    return;
  }
  const json chunk = ParseObject(data);
  if (chunk.is_discarded()) return Break("its stream has an event that is no JSON object", false);
  int32_t choice = 0;
  std::string text;
  std::string extras;
  std::vector<int32_t> finished;
  const auto error = chunk.find("error");
  if (event.type == "error" || (error != chunk.end() && !error->is_null())) {
    extras = ChunkRecorder::ErrorEvent(data);
    error_ = "the upstream ended its answer with an error";
    error_said_ = true;
    refusal_ = ForeignReply{.status = 502, .body = data};
  } else {
    if (!Note(chunk, choice, text, finished))
      return Break("its stream has a choice without a usable index", false);
    extras = recorder_.Chunk(data);
  }
  if (choices_.empty()) choices_.resize(1);
  accepted_ = true;
  if (listener.delta) listener.delta({.choice = choice, .text = text, .extras = extras});
  if (!listener.finish) return;
  for (const int32_t i : finished) listener.finish(i, choices_[static_cast<size_t>(i)]);
}

// What this server needs to know of a chunk or a body, whose text may be the last of some choices. False
// if its choices make no sense.
bool UpstreamRun::Note(const json& chunk, int32_t& choice, std::string& text,
                       std::vector<int32_t>& finished) {
  if (const auto usage = chunk.find("usage"); usage != chunk.end() && usage->is_object()) {
    usage_ = {.prompt_tokens = Count(*usage, "prompt_tokens"),
              .completion_tokens = Count(*usage, "completion_tokens")};
    if (const auto details = usage->find("prompt_tokens_details");
        details != usage->end() && details->is_object())
      usage_.cached_tokens = Count(*details, "cached_tokens");
  }
  const auto choices = chunk.find("choices");
  if (choices == chunk.end() || !choices->is_array()) return true;
  for (const json& one : *choices) {
    if (!one.is_object()) return false;
    const auto index = one.find("index");
    if (index == one.end() || !index->is_number_integer() || *index < 0 || *index >= kChoicesMax)
      return false;
    const auto i = index->get<size_t>();
    if (i >= choices_.size()) choices_.resize(i + 1);
    if (const std::string reason = FinishReason(one.value("finish_reason", json()));
        !reason.empty()) {
      choices_[i].finish_reason = reason;
      finished.push_back(static_cast<int32_t>(i));
    }
    if (choices->size() > 1) continue;
    choice = static_cast<int32_t>(i);
    text = TextOf(one);
  }
  return true;
}

void UpstreamRun::OnEnd(const Listener& listener) {
  ended_ = true;
  if (form_ == Form::kRefusal) {
    refusal_->body = std::move(body_);
    if (!refusal_->body.empty()) return;
    refusal_->content_type = "application/json";
    refusal_->body = openai::ErrorBody(
        {ErrorCode::kUnavailable,
         fmt::format("the upstream answered with status {} and nothing else", refusal_->status),
         ""});
  } else if (form_ == Form::kBody) {
    OnBody(listener);
  } else if (!done_said_ && !error_said_) {
    const bool finished = !choices_.empty() && std::ranges::none_of(choices_, [](const auto& c) {
      return c.finish_reason.empty();
    });
    if (!finished || sse_.InEvent()) Break("its stream ended before the answer did", false);
  }
}

void UpstreamRun::OnBody(const Listener& listener) {
  const json body = ParseObject(body_);
  int32_t choice = 0;
  std::string text;
  std::vector<int32_t> finished;
  if (body.is_discarded() || !Note(body, choice, text, finished))
    return Break("its answer is not what this endpoint answers with", false);
  if (choices_.empty()) choices_.resize(1);
  accepted_ = true;
  const std::string extras = ChunkRecorder::Body(body_);
  if (listener.delta) listener.delta({.choice = choice, .text = text, .extras = extras});
  for (size_t i = 0; i < choices_.size(); ++i)
    if (listener.finish) listener.finish(static_cast<int32_t>(i), choices_[i]);
}

// The answer cannot go on, and it is not the connection's fault.
void UpstreamRun::Break(const std::string& what, bool timed_out) {
  LogWarning("req={} upstream error=\"{}\"", id_, what);
  refusal_ = ReplyOf({.phase = UpstreamPhase::kBody, .timed_out = timed_out, .text = what}, {});
  if (accepted_) error_ = "the upstream failed: " + what;
  ended_ = true;
}

AnswerSource::Outcome UpstreamRun::Finish() const {
  Outcome outcome{.usage = usage_,
                  .error = error_,
                  .error_said = error_said_,
                  .done_said = done_said_,
                  .refusal = refusal_};
  outcome.ending = {.choices = choices_, .usage = usage_, .extras = ""};
  outcome.complete = !refusal_ && static_cast<int64_t>(choices_.size()) >= num_choices_;
  for (const cache::AnswerChoice& choice : choices_) {
    if (choice.finish_reason.empty()) outcome.complete = false;
    outcome.finish_reasons.push_back(choice.finish_reason);
  }
  return outcome;
}

}  // namespace nextgate::gateway
