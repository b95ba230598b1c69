// The limits of API keys: how many requests and tokens a minute, how many requests at once.
//
//   Admit          at arrival: one request, one of those running
//   ReserveTokens  when an answer has to be generated: as many tokens as it may take. What is stored or
//                  in the making for somebody else costs a request and no tokens
//   Settle         at the end: what was reserved and not used comes back; what was used beyond is owed
//
// Counted in this process, and with --cache-url in Redis too, for all instances together
// (shared_limits.h); both must agree. Without an answer from Redis the process' own count decides, and
// that is counted (gateway_limits_alone_total). What was used grows back evenly, a minute's worth a minute.
//
// Threads: Admission from any thread; a Ticket by one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/status.h"
#include "gateway/generator.h"
#include "gateway/metrics.h"
#include "gateway/openai/api_request.h"
#include "gateway/principal.h"
#include "gateway/shared_limits.h"

namespace nextgate::gateway {

class Admission;

// How a key stands, for the reply's headers.
struct LimitStanding {
  KeyLimits limits;
  int64_t requests_left = 0;
  int64_t tokens_left = 0;
  int64_t retry_after_s = 1;  // after a refusal
};

// x-ratelimit-{limit,remaining,reset}-{requests,tokens} for each limit there is; a header of the same name
// that an upstream sent gives way.
void AddLimitHeaders(const LimitStanding& standing, ReplyHeaders& headers);

// One request's admission. Its end settles what nobody settled before: nothing was used.
class Ticket {
 public:
  Ticket() = default;  // of everybody: nothing is limited or counted
  explicit Ticket(PrincipalPtr principal) : principal_(std::move(principal)) {}
  ~Ticket() { Settle(0); }
  Ticket(Ticket&& other) noexcept { *this = std::move(other); }
  Ticket& operator=(Ticket&& other) noexcept;

  const Principal& principal() const { return *principal_; }
  const std::shared_ptr<LimitStanding>& standing() const { return standing_; }

  // kResourceExhausted if the key has not as many left. One that needs more than a minute has gets in
  // when all of a minute's are there. At most once.
  Status ReserveTokens(int64_t tokens);
  // The request is over and took so many tokens. Only the first call counts.
  void Settle(int64_t tokens_used);

 private:
  friend class Admission;
  Admission* admission_ = nullptr;  // null: not limited, or settled
  PrincipalPtr principal_ = Everybody();
  std::shared_ptr<LimitStanding> standing_ = std::make_shared<LimitStanding>();
  std::string id_;
  bool shared_ = false;  // Redis has answered
  int64_t reserved_ = 0;
};

class Admission {
 public:
  // `shared` may be null; all must outlive it, and it the tickets.
  Admission(Metrics& metrics, SharedLimits* shared, const Clock& clock = Clock::System())
      : metrics_(metrics), shared_(shared), clock_(clock) {}

  // kResourceExhausted with the name of the limit; `ticket` has then the standing only.
  Status Admit(PrincipalPtr principal, Ticket& ticket);

 private:
  friend class Ticket;
  struct Bucket {
    double left = -1;  // of a minute's worth; may be owed (below 0) once `at_ns` is set
    int64_t at_ns = 0;
    void Refill(int64_t whole, int64_t now_ns);
  };
  struct Use {
    Bucket requests, tokens;
    int64_t running = 0;
  };

  Use& UseOf(const Principal& principal);  // up to now. REQUIRES: mutex_ is held
  LimitVerdict BeginHere(const Principal& principal);
  LimitVerdict ReserveHere(const Principal& principal, int64_t tokens);
  struct Back {
    int64_t requests = 0;
    int64_t tokens = 0;
    bool ended = true;  // it runs no more
  };
  void SettleHere(const Principal& principal, const Back& back);
  Status Refuse(const LimitVerdict& verdict, LimitStanding& standing);

  Metrics& metrics_;
  SharedLimits* const shared_;
  const Clock& clock_;
  std::mutex mutex_;                           // guards uses_
  std::unordered_map<std::string, Use> uses_;  // by principal's id: as many as there were keys
};

// Guesses, for before the tokens are counted. The first is what `request` may take at most: its prompt
// (4 bytes are counted as a token) and its max_tokens, or 1,024 if it sets none, for each of its choices.
int64_t TokensAtMost(const openai::ApiRequest& request);
int64_t PromptTokensAbout(const openai::ApiRequest& request);
int64_t TokensAbout(std::string_view text);

}  // namespace nextgate::gateway
