#include "gateway/chat_pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "gateway/cache_status.h"
#include "gateway/openai/error.h"
#include "gateway/openai/response.h"
#include "gateway/replay.h"

namespace nextgate::gateway {

using openai::ApiRequest;
using openai::Endpoint;
using std::chrono::milliseconds;

namespace {

// How soon a client that left is noticed while no token comes.
constexpr milliseconds kPumpTimeout(20);

std::string ResponseId(Endpoint endpoint) {
  return (endpoint == Endpoint::kChat ? "chatcmpl-" : "cmpl-") + RandomId();
}

Error ClientLeftError() { return {ErrorCode::kCancelled, "the client left", ""}; }

// Those who would take any answer that a fresh generation gives, and let others take theirs.
bool MayShareAFlight(const cache::CachePlan& plan) {
  return plan.read && plan.write && !plan.max_age_ms && !plan.only_if_cached;
}

// Whether who asks under `plan` takes what was found for somebody else who asked the same.
bool MayTake(const cache::CachePlan& plan, const cache::CacheHit& hit) {
  if (hit.tier == cache::Tier::kNormalised) return plan.normalised;
  if (hit.tier == cache::Tier::kSemantic)
    return plan.semantic == cache::SemanticMode::kServe && !plan.threshold;
  return true;
}

}  // namespace

struct ChatPipeline::Exchange {
  ~Exchange() {
    if (flight != nullptr) flight->GiveUp();  // nobody waits for what will not begin
  }

  std::shared_ptr<const ApiRequest> request;
  RequestRecord record;
  Ticket ticket;
  cache::CachePlan plan;
  cache::CacheKey key, normalised;
  cache::EntryOrigin origin;
  cache::StatsSeries* counts = nullptr;  // null: not understood, counted nowhere
  cache::Served served = cache::Served::kGenerated;
  std::shared_ptr<Flight> flight;  // null: replayed, or it came to nothing
  Flight::Cursor cursor;
  bool heard_out = false;  // the flight was followed to its end
  std::unique_ptr<openai::AnswerWriter> writer;
  std::shared_ptr<const cache::Answer> answer;
  bool from_cache = false;  // somebody else's generation
  bool generating = false;  // our own: it costs tokens
  int64_t tokens_heard = 0;
  std::unique_ptr<LiveRequests::Handle> live;    // null: nobody keeps a list
  std::optional<cache::SemanticMatch> semantic;  // what was found in other words, served or not

  void Enter(LiveRequests::Phase phase) const {
    if (live != nullptr) live->SetPhase(phase);
  }
};

void ChatPipeline::Run(std::shared_ptr<const ApiRequest> request, const ServerRequest& http,
                       RequestRecord record, ServerReply& reply, Ticket ticket) {
  auto x = std::make_shared<Exchange>();
  x->request = std::move(request);
  x->record = std::move(record);
  x->ticket = std::move(ticket);
  reply.on_sent = [this, x] { End(*x); };
  if (s_.live != nullptr)
    x->live = s_.live->Enter({.id = x->record.id,
                              .route = x->record.route,
                              .model = x->request->model,
                              .key = x->record.key,
                              .stream = x->request->stream,
                              .began_ns = x->record.began_ns});

  // May it use the answer cache, and is the answer known here, in the making, or known elsewhere?
  auto planned = Plan(*x->request, http.header("Cache-Control"), x->ticket.principal());
  if (!planned) return Fail(*x, planned.error(), reply);
  x->plan = std::move(planned->plan);
  x->key = std::move(planned->key);
  x->normalised = std::move(planned->normalised);
  x->origin = std::move(planned->origin);
  x->counts = &s_.stats.For({.model = x->origin.model,
                             .route = x->origin.route,
                             .name_space = x->origin.scope.name_space});
  std::shared_ptr<cache::Lead> lead;  // the other instances wait for our answer
  if (x->plan.read && FromCache(x, http, reply, lead)) return;
  CountUnanswered(*x, reply);
  if (x->plan.only_if_cached)
    return Fail(*x,
                {ErrorCode::kDeadlineExceeded,
                 "only-if-cached was asked for and the answer is not stored", ""},
                reply);

  // It has to be generated, which costs the key its tokens.
  if (Status status = x->ticket.ReserveTokens(TokensAtMost(*x->request)); !status)
    return Fail(*x, status.error(), reply, "rate_limit_exceeded");
  auto source = s_.generator.Start(x->request, x->record.id);
  if (!source) return Fail(*x, source.error(), reply);
  x->generating = true;
  x->Enter(LiveRequests::Phase::kGenerate);
  x->record.path = s_.generator.name();
  if (x->flight == nullptr) x->flight = std::make_shared<Flight>(x->origin.position);
  if (lead != nullptr)
    *source = s_.shared_flights->Publish(std::move(*source), std::move(lead), x->origin.position);
  x->flight->Begin(std::move(*source));
  Answer(x, http, reply);
}

// The answer is known, here or elsewhere, or in the making, or it was given up: true, and the reply says so.
// False: it is ours to generate, and to tell if there is a `lead`.
bool ChatPipeline::FromCache(const std::shared_ptr<Exchange>& x, const ServerRequest& http,
                             ServerReply& reply, std::shared_ptr<cache::Lead>& lead) {
  const auto replay = [&](cache::CacheHit hit) { return Replay(x, std::move(hit), reply), true; };
  const auto client_left = [&] {
    CountUnanswered(*x, reply);
    return Fail(*x, ClientLeftError(), reply), true;
  };
  const int64_t floor = s_.exact.Floor(x->key, x->origin);
  if (auto hit = s_.exact.LookupHere(x->key, x->plan)) return replay(std::move(*hit));
  // Whoever is nearly known here may be known exactly in Redis.
  if (s_.exact.LookupNormalisedHere(x->normalised, x->plan))
    if (auto hit = s_.exact.Lookup(x->key, x->plan, &x->normalised)) return replay(std::move(*hit));
  bool alone = false;
  while (x->flight == nullptr && MayShareAFlight(x->plan) && !alone) {
    const auto [flight, first] = s_.flights.Join(x->key, x->origin.position, floor);
    if (first) {
      x->flight = flight;
      break;
    }
    switch (flight->WaitBegun(http.client_left)) {
      case Flight::Begun::kStored:
        if (MayTake(x->plan, flight->stored())) return replay(flight->stored());
        alone = true;  // the one in front takes what only means the same
        break;
      case Flight::Begun::kGenerating:
        return Follow(x, flight, http, reply), true;
      case Flight::Begun::kClientLeft:
        return client_left();
      case Flight::Begun::kGaveUp:
        break;  // what stood in its way may not stand in ours: one of those who waited is first now
    }
  }
  SharedFlights::Turn turn;
  if (x->flight != nullptr && s_.shared_flights != nullptr) {
    turn.hit = s_.exact.LookupHere(x->key, x->plan);
    if (!turn.hit)
      turn = s_.shared_flights->Take(x->request, x->record.id, x->key, x->plan, http.client_left,
                                     floor, &x->normalised);
  } else {
    turn.hit = s_.exact.Lookup(x->key, x->plan, &x->normalised);
  }
  if (turn.client_left) return client_left();
  if (turn.remote != nullptr) {
    x->flight->Begin(std::move(turn.remote));
    return Follow(x, x->flight, http, reply), true;
  }
  if (!turn.hit) turn.hit = SameInOtherWords(*x);
  if (!turn.hit) {
    lead = std::move(turn.lead);
    return false;
  }
  if (x->flight != nullptr) x->flight->BeginStored(*turn.hit);
  return replay(std::move(*turn.hit));
}

// The stored answer to a question that means the same, if that may be the answer.
std::optional<cache::CacheHit> ChatPipeline::SameInOtherWords(Exchange& x) {
  if (s_.semantic == nullptr || x.plan.semantic != cache::SemanticMode::kServe) return std::nullopt;
  x.semantic = s_.semantic->Lookup(x.key, x.plan);
  cache::CountMatch(*x.counts, *x.semantic);
  return std::exchange(x.semantic->hit, std::nullopt);
}

// The same answer is being generated for somebody else.
void ChatPipeline::Follow(const std::shared_ptr<Exchange>& x, std::shared_ptr<Flight> flight,
                          const ServerRequest& http, ServerReply& reply) {
  x->flight = std::move(flight);
  x->from_cache = true;
  x->record.path = "cache";
  x->record.cache = "COALESCED";
  x->Enter(LiveRequests::Phase::kFollow);
  x->served = cache::Served::kCoalesced;
  x->counts->CountHit(cache::Tier::kCoalesced);
  reply.headers.emplace_back("X-Cache", "COALESCED");
  reply.headers.emplace_back("X-Cache-Tier", cache::TierName(cache::Tier::kCoalesced));
  reply.headers.emplace_back("Cache-Status", CacheStatusCollapsed());
  Answer(x, http, reply);
}

void ChatPipeline::Answer(const std::shared_ptr<Exchange>& x, const ServerRequest& http,
                          ServerReply& reply) {
  if (!AwaitAccepted(*x, http, reply)) return;
  x->writer = s_.generator.NewWriter(*x->request, ResponseId(x->request->endpoint),
                                     s_.clock.UnixMs() / 1000, x->flight->num_choices(),
                                     /*replay=*/x->from_cache);
  if (x->request->stream) {
    Stream(x, reply);
  } else {
    Collect(*x, http, reply);
  }
  const auto type =
      std::ranges::find(reply.headers, "Content-Type", &std::pair<std::string, std::string>::first);
  if (type == reply.headers.end()) return;
  if (reply.status == 200) reply.content_type = type->second;  // as the source has it
  reply.headers.erase(type);
}

// Waits until it is known that there will be an answer; if there will not, replies so: false.
bool ChatPipeline::AwaitAccepted(Exchange& x, const ServerRequest& http, ServerReply& reply) {
  while (!x.flight->AwaitAccepted(kPumpTimeout)) {
    if (!http.client_left()) continue;
    x.flight.reset();  // cancels, unless others follow it
    x.record.finish_reason = "abort";
    Fail(x, ClientLeftError(), reply);
    return false;
  }
  if (const ForeignReply* refusal = x.flight->refusal(); refusal != nullptr) {
    x.heard_out = true;
    PassOn(x, *refusal, reply);
    return false;
  }
  if (!x.from_cache)
    for (const auto& header : x.flight->reply_headers()) reply.headers.push_back(header);
  return true;
}

// Counted before anything can fail: a request is a miss or a bypass however it ends.
void ChatPipeline::CountUnanswered(Exchange& x, ServerReply& reply) {
  if (x.plan.read) {
    x.counts->CountMiss();
    x.record.cache = "MISS";
    reply.headers.emplace_back("X-Cache", "MISS");
    if (x.semantic)
      reply.headers.emplace_back("X-Cache-Reason", cache::SemanticOutcomeCode(x.semantic->outcome));
    reply.headers.emplace_back("Cache-Status",
                               x.plan.only_if_cached ? CacheStatusUnanswered() : CacheStatusMiss());
    return;
  }
  const std::string_view reason = cache::ReasonCode(x.plan.reason);
  x.counts->CountBypass(x.plan.reason);
  x.record.cache = fmt::format("BYPASS({})", reason);
  reply.headers.emplace_back("X-Cache", "BYPASS");
  reply.headers.emplace_back("X-Cache-Reason", reason);
  reply.headers.emplace_back("Cache-Status", CacheStatusBypass(reason));
}

Result<ChatPipeline::Planned> ChatPipeline::Plan(const ApiRequest& request,
                                                 std::string_view cache_control,
                                                 const Principal& principal) const {
  ASSIGN_OR_RETURN(const cache::CacheControls controls,
                   cache::ParseControls(cache_control, request.cache_controls.get()));
  const auto canonical = cache::Canonicalise(*request.canonical_fields);
  const std::string_view route =
      request.endpoint == Endpoint::kChat ? "/v1/chat/completions" : "/v1/completions";
  const cache::RequestFacts facts{.route = route,
                                  .temperature = request.temperature_given,
                                  .has_seed = request.sampling.seed.has_value(),
                                  .has_tools = request.has_tools,
                                  .has_images = request.has_images,
                                  .prompt_bytes = request.prompt_bytes,
                                  .last_user_text = request.last_user_text};
  cache::PolicySettings policy = s_.policy;
  const CacheRights& rights = principal.id.empty() ? s_.keyless : principal.cache;
  policy.may_read = rights.read;
  policy.may_write = rights.write;
  policy.may_set_ttl = rights.ttl;
  policy.may_set_semantic = rights.semantic;
  policy.semantic_of_key = principal.semantic;
  policy.may_set_namespace = rights.name_space;
  policy.may_refresh = rights.refresh;
  Planned planned;
  ASSIGN_OR_RETURN(planned.plan, cache::MakePlan(policy, facts, controls, canonical));
  planned.origin = {.model = request.model,
                    .route = std::string(route),
                    .scope = principal.scope,
                    .position = s_.exact.Position()};
  planned.origin.scope.name_space = planned.plan.name_space;
  if (planned.plan.read && s_.invalidations != nullptr && s_.invalidations->Stale()) {
    planned.plan.read = false;
    planned.plan.reason = cache::Reason::kStale;
    planned.plan.reasons = {cache::Reason::kStale};
  }
  if (canonical) {
    const std::string partition =
        s_.partitioner.Partition(planned.origin.scope, s_.generator.fingerprint());
    planned.key = cache::MakeKey(partition, *canonical);
    if (planned.plan.normalised && planned.plan.read)
      planned.normalised = cache::NormalisedKey(planned.key.material).value_or(cache::CacheKey());
  }
  return planned;
}

// A stream that is told slowly needs to know how it is to be written, and nothing of what was asked: there
// may be thousands.
void ChatPipeline::ForgetQuestion(Exchange& x) {
  auto form = std::make_shared<ApiRequest>(*x.request);
  form->messages = nullptr;
  form->prompts = {};
  form->canonical_fields = nullptr;
  form->cache_controls = nullptr;
  form->last_user_text = {};
  form->forwarded_body = nullptr;
  x.request = std::move(form);
  x.key = {};
}

void ChatPipeline::Replay(const std::shared_ptr<Exchange>& x, cache::CacheHit hit,
                          ServerReply& reply) {
  x->answer = std::move(hit.answer);
  s_.generator.Remember(*x->request, *x->answer);
  x->from_cache = true;
  x->record.path = "cache";
  x->record.cache = fmt::format("HIT({})", cache::TierName(hit.tier));
  x->Enter(LiveRequests::Phase::kReplay);
  x->served = cache::Served::kStored;
  x->counts->CountHit(hit.tier);
  if (hit.entry != nullptr) {
    hit.entry->hits.Count();
    if (s_.keeper != nullptr) s_.keeper->CountEntryHit(hit.id, *hit.entry);
  }
  reply.headers.emplace_back("X-Cache", "HIT");
  reply.headers.emplace_back("X-Cache-Tier", cache::TierName(hit.tier));
  if (hit.tier == cache::Tier::kSemantic)  // what feedback is about
    reply.headers.emplace_back("X-Cache-Entry", hit.id.Hex());
  reply.headers.emplace_back("Age", std::to_string(hit.age_s));
  const int64_t expires_ms = hit.entry != nullptr ? hit.entry->expires_unix_ms : 0;
  reply.headers.emplace_back("Cache-Status",
                             CacheStatusHit((expires_ms - s_.clock.UnixMs()) / 1000));
  const auto choices = static_cast<int32_t>(x->answer->choices().size());
  if (x->request->stream && s_.replay_tokens_per_s > 0) ForgetQuestion(*x);
  x->writer = s_.generator.NewWriter(*x->request, ResponseId(x->request->endpoint),
                                     s_.clock.UnixMs() / 1000, choices, /*replay=*/true);
  if (!x->request->stream) {
    reply.body = x->writer->Body(*x->answer);
    return;
  }
  reply.content_type = "text/event-stream";
  reply.headers.emplace_back("Cache-Control", "no-cache");
  reply.stream = [this, x](StreamWriter& out) {
    const ReplayOptions options{.include_usage = x->request->include_usage,
                                .tokens_per_s = s_.replay_tokens_per_s};
    if (ReplayStream(*x->answer, *x->writer, options, out)) return;
    x->record.status = 499;
    x->record.finish_reason = "abort";
    x->answer = nullptr;  // not heard to its end
  };
}

void ChatPipeline::Stream(const std::shared_ptr<Exchange>& x, ServerReply& reply) {
  reply.content_type = "text/event-stream";
  reply.headers.emplace_back("Cache-Control", "no-cache");
  reply.stream = [this, x](StreamWriter& out) {
    std::string events = x->writer->Begin();
    const AnswerSource::Listener listener = {
        .delta =
            [&](const cache::AnswerDelta& delta) {
              Hear(*x, delta);
              events += x->writer->Delta(delta);
            },
        .finish =
            [&](int32_t index, const cache::AnswerChoice& choice) {
              events += x->writer->Finish(index, choice);
            }};
    while (!x->heard_out) {
      x->heard_out = !x->flight->Pump(x->cursor, kPumpTimeout, listener);
      if (x->heard_out) TakeAnswer(*x);
      if (!events.empty() ? !out.Write(events) : out.ClientLeft()) {
        x->record.status = 499;
        x->record.finish_reason = "abort";
        if (!x->heard_out) x->flight.reset();  // cancels, unless others follow it
        return;
      }
      events.clear();
    }
    const AnswerSource::Outcome& outcome = x->flight->outcome();
    if (outcome.error_said) {
      x->record.status = 502;
      if (outcome.done_said) out.Write(openai::kStreamDone);
      return;
    }
    if (const Status status = Heard(*x); !status) {
      x->record.status = openai::HttpStatus(status.error().code);
      out.Write("data: " + openai::ErrorBody(status.error()) + "\n\n");
      return;
    }
    if (x->request->include_usage) events += x->writer->Usage(x->answer->usage());
    out.Write(events += openai::kStreamDone);
  };
}

void ChatPipeline::Collect(Exchange& x, const ServerRequest& http, ServerReply& reply) {
  const AnswerSource::Listener listener = {
      .delta = [&](const cache::AnswerDelta& delta) { Hear(x, delta); }};
  while (x.flight->Pump(x.cursor, kPumpTimeout, listener)) {
    if (!http.client_left()) continue;
    x.flight.reset();  // cancels, unless others follow it
    x.record.finish_reason = "abort";
    return Fail(x, ClientLeftError(), reply);
  }
  x.heard_out = true;
  TakeAnswer(x);
  if (const auto& refusal = x.flight->outcome().refusal; refusal) return PassOn(x, *refusal, reply);
  if (const Status status = Heard(x); !status) return Fail(x, status.error(), reply);
  reply.body = x.writer->Body(*x.answer);
  if (!x.from_cache && x.plan.write && Storable(x) == cache::Reason::kNone)
    MarkStored(reply.headers);
}

// The answer of a flight that was heard out. It is remembered before its last word goes out: the next
// turn may come with the client's next breath.
void ChatPipeline::TakeAnswer(Exchange& x) const {
  x.answer = x.flight->answer();
  if (Heard(x)) s_.generator.Remember(*x.request, *x.answer);
}

// Whether what the flight ended with is an answer.
Status ChatPipeline::Heard(const Exchange& x) {
  if (const std::string& error = x.flight->outcome().error; !error.empty())
    return MakeError(x.flight->outcome().error_code, error);
  if (x.answer == nullptr)
    return MakeError(ErrorCode::kTooLarge, "the answer is too large: ask for less at once");
  return {};
}

// Whether the answer that was heard is one to be kept. REQUIRES: plan.write.
cache::Reason ChatPipeline::Storable(const Exchange& x) {
  const AnswerSource::Outcome& outcome = x.flight->outcome();
  const bool whole = x.answer != nullptr &&
                     std::ranges::none_of(x.answer->choices(), [](const cache::AnswerChoice& end) {
                       return end.finish_reason.empty();
                     });
  const cache::AnswerFacts facts{.complete = outcome.complete && whole,
                                 .limit_set_by_request = x.request->max_tokens.has_value(),
                                 .finish_reasons = outcome.finish_reasons};
  return cache::StoreDecision(x.plan, facts);
}

void ChatPipeline::Hear(Exchange& x, const cache::AnswerDelta& delta) const {
  if (x.record.first_token_ns == 0) x.record.first_token_ns = s_.clock.MonotonicNs();
  x.tokens_heard += std::max<int64_t>({1, static_cast<int64_t>(delta.token_ids.size()),
                                       delta.token_ids.empty() ? TokensAbout(delta.text) : 0});
  if (x.live != nullptr) x.live->SetTokens(x.tokens_heard);
}

// What the request took of its key's tokens: what was generated for it, as the answer counts it; without
// an answer (the client left) what was heard of it.
int64_t ChatPipeline::TokensUsed(const Exchange& x) {
  if (!x.generating) return 0;
  const cache::AnswerUsage usage = x.answer != nullptr ? x.answer->usage() : cache::AnswerUsage{};
  const int64_t counted = int64_t{usage.prompt_tokens} + usage.completion_tokens;
  return counted > 0 ? counted : PromptTokensAbout(*x.request) + x.tokens_heard;
}

// After the last byte: an answer that is complete is kept. True if it will be, here and for others.
bool ChatPipeline::Store(Exchange& x) {
  if (!x.plan.write || !x.heard_out || !x.flight->TakeStoring()) return false;
  const AnswerSource::Outcome& outcome = x.flight->outcome();
  cache::Reason reason = Storable(x);
  x.origin.position = x.flight->position();  // who stores it may have come later than it began
  const bool for_others = !outcome.sharing.here_only;
  if (reason == cache::Reason::kNone)
    reason = s_.writer.Enqueue({.key = x.key,
                                .plan = x.plan,
                                .answer = x.answer,
                                .sharing = outcome.sharing,
                                .origin = x.origin,
                                .held = std::move(x.flight)});
  if (reason == cache::Reason::kNone) return for_others;
  x.counts->CountNotStored(reason);
  return false;
}

// What the semantic tier learns of a generated answer: its question, and whether what was stored for a
// similar one would have done.
void ChatPipeline::Learn(Exchange& x, bool stored) {
  if (s_.semantic == nullptr || x.answer == nullptr) return;
  const bool generated = x.generating && x.plan.read;
  if (!generated && !stored) return;
  s_.semantic->Finish({.key = std::move(x.key),
                       .plan = x.plan,
                       .answer = x.answer,
                       .generated = generated,
                       .stored = stored,
                       .match = std::move(x.semantic),
                       .counts = x.counts});
}

void ChatPipeline::End(Exchange& x) {
  if (x.answer != nullptr) {
    const cache::AnswerUsage& usage = x.answer->usage();
    x.record.prompt_tokens = usage.prompt_tokens;
    x.record.cached_tokens = usage.cached_tokens;
    x.record.completion_tokens = usage.completion_tokens;
    x.record.finish_reason =
        x.answer->choices().empty() ? "" : x.answer->choices()[0].finish_reason;
  }
  if (x.from_cache && x.answer != nullptr) x.counts->CountSaved(x.answer->usage());
  if (x.counts != nullptr && x.answer != nullptr && x.record.status == 200)
    x.counts->CountLatency(x.served, (s_.clock.MonotonicNs() - x.record.began_ns) / 1000);
  x.ticket.Settle(TokensUsed(x));
  Learn(x, Store(x));
  const auto seconds = [&](int64_t ns) {
    return static_cast<double>(ns - x.record.began_ns) / 1e9;
  };
  s_.metrics.Count(
      {.route = x.record.route,
       .status = x.record.status,
       .finish_reason = x.record.finish_reason,
       .from_cache = x.from_cache,
       .prompt_tokens = x.record.prompt_tokens,
       .generated_tokens = x.record.completion_tokens,
       .total_s = seconds(s_.clock.MonotonicNs()),
       .first_token_s = x.record.first_token_ns > 0 ? seconds(x.record.first_token_ns) : -1});
  if (s_.access_log) WriteAccessLine(x.record, s_.clock);
}

void ChatPipeline::Fail(Exchange& x, const Error& error, ServerReply& reply,
                        std::string_view code) {
  if (x.flight != nullptr) x.flight->GiveUp();
  x.record.status = reply.status = openai::HttpStatus(error.code);
  reply.body = openai::ErrorBody(error, code);
  if (error.code == ErrorCode::kResourceExhausted)
    reply.headers.emplace_back("Retry-After", std::to_string(x.ticket.standing()->retry_after_s));
}

// Somebody else's refusal, in their words.
void ChatPipeline::PassOn(Exchange& x, const ForeignReply& refusal, ServerReply& reply) {
  x.answer = nullptr;
  x.generating = false;
  x.record.status = reply.status = refusal.status;
  reply.content_type = refusal.content_type;
  reply.headers.insert(reply.headers.end(), refusal.headers.begin(), refusal.headers.end());
  reply.body = refusal.body;
}

void ChatPipeline::Refuse(const Error& error, RequestRecord record, ServerReply& reply,
                          std::string_view code, const LimitStanding& standing) {
  auto x = std::make_shared<Exchange>();
  x->record = std::move(record);
  *x->ticket.standing() = standing;
  reply.on_sent = [this, x] { End(*x); };
  Fail(*x, error, reply, code);
}

}  // namespace nextgate::gateway
