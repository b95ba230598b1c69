#include "gateway/admission.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <utility>

#include "gateway/access_log.h"

namespace nextgate::gateway {
namespace {

constexpr int64_t kMinuteNs = 60'000'000'000;
constexpr int64_t kTokensUnlimited = 1024;  // of a request that sets no limit
constexpr int64_t kBytesPerToken = 4;

std::string_view NameOf(Limit limit) {
  switch (limit) {
    case Limit::kRequests:
      return "requests";
    case Limit::kTokens:
      return "tokens";
    case Limit::kConcurrency:
      return "concurrency";
    case Limit::kNone:
      break;
  }
  return "";
}

std::string Describe(Limit limit, const KeyLimits& limits) {
  switch (limit) {
    case Limit::kRequests:
      return fmt::format("{} requests a minute (rpm)", limits.rpm);
    case Limit::kTokens:
      return fmt::format("{} tokens a minute (tpm)", limits.tpm);
    case Limit::kConcurrency:
      return fmt::format("{} requests at once (concurrency)", limits.concurrency);
    case Limit::kNone:
      break;
  }
  return "";
}

int64_t WaitMs(double missing, int64_t whole) {
  return static_cast<int64_t>(missing * 60'000 / static_cast<double>(whole)) + 1;
}

void SetHeader(ReplyHeaders& headers, const std::string& name, std::string value) {
  std::erase_if(headers, [&](const auto& header) {
    return strcasecmp(header.first.c_str(), name.c_str()) == 0;
  });
  headers.emplace_back(name, std::move(value));
}

void SetLimit(ReplyHeaders& headers, const char* what, int64_t whole, int64_t left) {
  if (whole == 0) return;
  SetHeader(headers, fmt::format("x-ratelimit-limit-{}", what), std::to_string(whole));
  SetHeader(headers, fmt::format("x-ratelimit-remaining-{}", what),
            std::to_string(std::max<int64_t>(0, left)));
  // Until nothing is used, as OpenAI writes it.
  const int64_t ms = WaitMs(static_cast<double>(whole - left), whole) - 1;
  SetHeader(headers, fmt::format("x-ratelimit-reset-{}", what),
            ms < 1000 ? fmt::format("{}ms", ms) : fmt::format("{}s", (ms + 999) / 1000));
}

void Note(const LimitVerdict& verdict, LimitStanding& standing) {
  standing.requests_left = verdict.requests_left;
  standing.tokens_left = verdict.tokens_left;
}

}  // namespace

void AddLimitHeaders(const LimitStanding& standing, ReplyHeaders& headers) {
  SetLimit(headers, "requests", standing.limits.rpm, standing.requests_left);
  SetLimit(headers, "tokens", standing.limits.tpm, standing.tokens_left);
}

int64_t PromptTokensAbout(const openai::ApiRequest& request) {
  return (request.prompt_bytes + kBytesPerToken - 1) / kBytesPerToken;
}

int64_t TokensAbout(std::string_view text) {
  return (static_cast<int64_t>(text.size()) + kBytesPerToken - 1) / kBytesPerToken;
}

int64_t TokensAtMost(const openai::ApiRequest& request) {
  const auto limit = request.max_tokens ? request.max_tokens : request.max_tokens_default;
  return PromptTokensAbout(request) +
         int64_t{std::max(1, request.n)} *
             static_cast<int64_t>(std::max<size_t>(1, request.prompts.size())) *
             (limit ? int64_t{*limit} : kTokensUnlimited);
}

Ticket& Ticket::operator=(Ticket&& other) noexcept {
  if (this == &other) return *this;
  Settle(0);
  admission_ = std::exchange(other.admission_, nullptr);
  principal_ = other.principal_;
  standing_ = other.standing_;
  id_ = std::move(other.id_);
  shared_ = other.shared_;
  reserved_ = std::exchange(other.reserved_, 0);
  return *this;
}

Status Ticket::ReserveTokens(int64_t tokens) {
  if (admission_ == nullptr || principal_->limits.tpm == 0) return {};
  const LimitVerdict here = admission_->ReserveHere(*principal_, tokens);
  Note(here, *standing_);
  if (here.refused != Limit::kNone) return admission_->Refuse(here, *standing_);
  reserved_ = tokens;
  if (!shared_) return {};  // Redis is away, or was when this request came
  const auto verdict = admission_->shared_->Reserve(*principal_, tokens);
  if (!verdict) {
    shared_ = false;
    admission_->metrics_.CountLimitsAlone();
    return {};
  }
  Note(*verdict, *standing_);
  if (verdict->refused == Limit::kNone) return {};
  admission_->SettleHere(*principal_, {.tokens = tokens, .ended = false});
  reserved_ = 0;
  return admission_->Refuse(*verdict, *standing_);
}

void Ticket::Settle(int64_t tokens_used) {
  Admission* const admission = std::exchange(admission_, nullptr);
  if (admission == nullptr) return;
  if (principal_->limits.tpm == 0) tokens_used = 0;
  const int64_t back = reserved_ - tokens_used;
  admission->SettleHere(*principal_, {.tokens = back});
  if (admission->shared_ == nullptr) return;
  // Also if Redis did not answer: it may have counted all the same. What it never reserved is not
  // given back.
  const Status settled =
      admission->shared_->Settle(*principal_, id_, shared_ ? back : -tokens_used);
  if (!settled) admission->metrics_.CountLimitsAlone();
}

void Admission::Bucket::Refill(int64_t whole, int64_t now_ns) {
  if (whole == 0) {  // no limit now; one that comes later starts full
    *this = {};
    return;
  }
  const auto most = static_cast<double>(whole);
  if (at_ns == 0) {
    left = most;
  } else {
    left = std::min(
        most, left + static_cast<double>(now_ns - at_ns) * most / static_cast<double>(kMinuteNs));
  }
  at_ns = now_ns;
}

Admission::Use& Admission::UseOf(const Principal& principal) {
  Use& use = uses_[principal.id];
  const int64_t now_ns = clock_.MonotonicNs();
  use.requests.Refill(principal.limits.rpm, now_ns);
  use.tokens.Refill(principal.limits.tpm, now_ns);
  return use;
}

LimitVerdict Admission::BeginHere(const Principal& principal) {
  const KeyLimits& limits = principal.limits;
  const std::lock_guard lock(mutex_);
  Use& use = UseOf(principal);
  LimitVerdict verdict;
  if (limits.rpm > 0 && use.requests.left < 1) {
    verdict = {.refused = Limit::kRequests, .wait_ms = WaitMs(1 - use.requests.left, limits.rpm)};
  } else if (limits.concurrency > 0 && use.running >= limits.concurrency) {
    verdict = {.refused = Limit::kConcurrency, .wait_ms = 1000};
  } else {
    if (limits.rpm > 0) use.requests.left -= 1;
    ++use.running;
  }
  verdict.requests_left = static_cast<int64_t>(use.requests.left);
  verdict.tokens_left = static_cast<int64_t>(use.tokens.left);
  return verdict;
}

LimitVerdict Admission::ReserveHere(const Principal& principal, int64_t tokens) {
  const KeyLimits& limits = principal.limits;
  const std::lock_guard lock(mutex_);
  Use& use = UseOf(principal);
  const auto needed = static_cast<double>(std::min(tokens, limits.tpm));
  LimitVerdict verdict;
  if (use.tokens.left < needed) {
    verdict = {.refused = Limit::kTokens, .wait_ms = WaitMs(needed - use.tokens.left, limits.tpm)};
  } else {
    use.tokens.left -= static_cast<double>(tokens);
  }
  verdict.requests_left = static_cast<int64_t>(use.requests.left);
  verdict.tokens_left = static_cast<int64_t>(use.tokens.left);
  return verdict;
}

void Admission::SettleHere(const Principal& principal, const Back& back) {
  const std::lock_guard lock(mutex_);
  Use& use = UseOf(principal);
  use.requests.left += static_cast<double>(back.requests);  // the next Refill bounds them
  use.tokens.left += static_cast<double>(back.tokens);
  if (back.ended) --use.running;
}

Status Admission::Refuse(const LimitVerdict& verdict, LimitStanding& standing) {
  metrics_.CountLimited(NameOf(verdict.refused));
  standing.retry_after_s = std::max<int64_t>(1, (verdict.wait_ms + 999) / 1000);
  return MakeError(ErrorCode::kResourceExhausted,
                   fmt::format("this API key has reached its limit of {}; try again in {} s",
                               Describe(verdict.refused, standing.limits), standing.retry_after_s));
}

Status Admission::Admit(PrincipalPtr principal, Ticket& ticket) {
  ticket = Ticket(std::move(principal));
  const Principal& p = *ticket.principal_;
  if (p.id.empty() || p.limits == KeyLimits()) return {};
  LimitStanding& standing = *ticket.standing_;
  standing.limits = p.limits;
  const LimitVerdict here = BeginHere(p);
  Note(here, standing);
  if (here.refused != Limit::kNone) return Refuse(here, standing);
  ticket.admission_ = this;
  if (shared_ == nullptr) return {};
  ticket.id_ = RandomId();
  const auto verdict = shared_->Begin(p, ticket.id_);
  if (!verdict) {
    metrics_.CountLimitsAlone();
    return {};
  }
  ticket.shared_ = true;
  Note(*verdict, standing);
  if (verdict->refused == Limit::kNone) return {};
  ticket.admission_ = nullptr;  // Redis has not let it in: there is nothing to settle there
  SettleHere(p, {.requests = 1});
  return Refuse(*verdict, standing);
}

}  // namespace nextgate::gateway
