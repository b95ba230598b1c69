#include "gateway/admin/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "gateway/admin/entries.h"
#include "gateway/admin/semantic.h"
#include "gateway/openai/field_reader.h"
#include "gateway/prefix_scope.h"

namespace nextgate::gateway::admin {
namespace {

using cache::CachePlan;
using cache::Reason;

// Whose answers would be looked for: {"tenant"?, "team"?, "user"?}
Result<cache::Scope> ReadScope(const Json& object) {
  if (!object.is_object())
    return InvalidArgument("scope: expected an object of tenant, team and user", "scope");
  openai::FieldReader read(object);
  cache::Scope scope{.tenant = read.Text("tenant").value_or(""),
                     .team = read.Text("team").value_or(""),
                     .user = read.Text("user").value_or(""),
                     .name_space = {}};
  if (!read.status()) return InvalidArgument("scope." + read.status().error().message, "scope");
  if (!read.Unread().empty())
    return InvalidArgument("scope: unknown member; there are: tenant, team, user", "scope");
  return scope;
}

}  // namespace

Error WithinRequest(Error error) {
  error.param = error.param.empty() ? "request" : "request." + error.param;
  return error;
}

Result<Question> ReadQuestion(const AdminContext& c, std::string_view body) {
  ASSIGN_OR_RETURN(const auto object, openai::ParseBody(body));
  openai::FieldReader read(*object);
  const auto endpoint = read.Text("endpoint");
  const Json* request = read.Find("request");
  const Json* headers = read.Find("headers");
  const Json* scope = read.Find("scope");
  RETURN_IF_ERROR(read.status());
  const bool chat = endpoint == "/v1/chat/completions";
  if (!chat && endpoint != "/v1/completions")
    return InvalidArgument("endpoint: expected /v1/chat/completions or /v1/completions",
                           "endpoint");
  if (request == nullptr || !request->is_object())
    return InvalidArgument("request: expected the body that would be posted, an object", "request");
  if (const auto unknown = read.Unread(); !unknown.empty())
    return InvalidArgument("unknown field; there are: endpoint, request, headers, scope",
                           unknown.front().substr(0, 64));
  Question question;
  if (scope != nullptr) {
    ASSIGN_OR_RETURN(question.principal.scope, ReadScope(*scope));
  }
  if (headers != nullptr) {
    if (!headers->is_object())
      return InvalidArgument("headers: expected an object of strings", "headers");
    for (const auto& [name, value] : headers->items()) {
      if (!value.is_string())
        return InvalidArgument("headers: expected an object of strings", "headers");
      std::string lower = name;
      std::ranges::transform(lower, lower.begin(), [](char x) {
        return x >= 'A' && x <= 'Z' ? static_cast<char>(x + 32) : x;
      });
      if (lower != "cache-control") continue;  // the only one that the answer cache looks at
      if (!question.cache_control.empty()) question.cache_control += ", ";
      question.cache_control += value.get<std::string>();
    }
  }
  auto parsed =
      c.reader.Read(chat ? openai::Endpoint::kChat : openai::Endpoint::kCompletion, request->dump(),
                    [&](const std::string& name) {
                      return name == "Cache-Control" ? question.cache_control : std::string();
                    });
  if (!parsed) return std::unexpected(WithinRequest(parsed.error()));
  question.request = std::move(*parsed);
  question.request.prefix_scope =
      PrefixScope(question.principal.scope, question.request.cache_salt);
  return question;
}

namespace {

// Every reason for which a request is not looked up, and whether it holds here.
Json RulesJson(const CachePlan& plan) {
  Json rules = Json::array();
  for (size_t i = 1; i <= static_cast<size_t>(Reason::kUnsupportedRoute); ++i) {
    const auto reason = static_cast<Reason>(i);
    const bool holds = std::ranges::find(plan.reasons, reason) != plan.reasons.end();
    Json rule = {{"rule", cache::ReasonCode(reason)}, {"verdict", holds ? "bypass" : "pass"}};
    if (holds && !plan.detail.empty() &&
        (reason == Reason::kUnknownField || reason == Reason::kTooDeep))
      rule["detail"] = plan.detail;
    rules.push_back(std::move(rule));
  }
  return rules;
}

// The tiers one after the other, as ChatPipeline::Run asks them.
class TierWalk {
 public:
  TierWalk(const AdminContext& c, const ChatPipeline::Planned& planned)
      : c_(c), p_(planned), now_(c.clock.UnixMs()) {}

  Json Walk() {
    const Probe memory = [&](const Hash128& id) {
      return Result<EntryPtr>(c_.exact.store().Peek(id));
    };
    const Probe redis = [&](const Hash128& id) { return c_.catalogue->Peek(id); };
    const bool shared = c_.catalogue != nullptr;
    AskExact("memory", memory);
    // What is nearly known here may be known exactly in Redis, which is asked then.
    const auto alias = c_.exact.aliases().Find(p_.normalised.hash);
    Json near = AskNormalised("memory", memory, alias, /*taken=*/false);
    const bool near_here = near["verdict"] == "hit";
    if (!near_here) AskFlights();
    if (shared) {
      AskExact("redis", redis);
    } else {
      tiers_.push_back({{"tier", "exact"}, {"where", "redis"}, {"verdict", "disabled"}});
    }
    if (near_here && found_.empty()) found_ = "HIT";
    tiers_.push_back(std::move(near));
    if (near_here) AskFlights();
    if (shared && asking() && !p_.normalised.material.empty()) {
      const auto id = c_.catalogue->Alias(p_.normalised.hash);
      tiers_.push_back(AskNormalised("redis", redis, id.value_or(std::nullopt), /*taken=*/true));
    }
    tiers_.push_back(ExplainSemantic(c_, p_, asking()));
    if (tiers_.back()["verdict"] == cache::SemanticOutcomeCode(cache::SemanticOutcome::kServed))
      found_ = "HIT";
    return std::move(tiers_);
  }
  const std::string& found() const { return found_; }  // "HIT", "COALESCED" or ""

 private:
  using EntryPtr = std::shared_ptr<const cache::StoredAnswer>;
  using Probe = std::function<Result<EntryPtr>(const Hash128& id)>;

  bool asking() const { return p_.plan.read && found_.empty(); }

  void AskExact(const char* where, const Probe& probe) {
    Json tier = {{"tier", "exact"}, {"where", where}, {"verdict", "not_asked"}};
    if (asking()) {
      Judge(p_.key.hash, probe, /*normalised=*/false, tier);
      if (tier["verdict"] == "hit") found_ = "HIT";
    }
    tiers_.push_back(std::move(tier));
  }

  // `id`: the entry that the normalised request leads to. `taken`: what is found is the answer.
  Json AskNormalised(const char* where, const Probe& probe, const std::optional<Hash128>& id,
                     bool taken) {
    Json tier = {{"tier", "normalised"}, {"where", where}, {"verdict", "disabled"}};
    if (!p_.plan.normalised) return tier;
    tier["verdict"] = "not_asked";
    if (!asking()) return tier;
    if (const auto key = cache::NormalisedKey(p_.key.material); !key) {
      tier["verdict"] = "ineligible";
      tier["detail"] = cache::UnnormalisableCode(key.error());
    } else if (!id) {
      tier["verdict"] = "miss";
    } else {
      Judge(*id, probe, /*normalised=*/true, tier);
      if (taken && tier["verdict"] == "hit") found_ = "HIT";
    }
    return tier;
  }

  void Judge(const Hash128& id, const Probe& probe, bool normalised, Json& tier) {
    tier["verdict"] = "miss";
    const Result<EntryPtr> found = probe(id);
    if (!found) {
      tier["detail"] = found.error().message;
      return;
    }
    const EntryPtr& entry = *found;
    if (entry == nullptr) return;
    const bool same = normalised ? cache::ExactCache::Answers(*entry, p_.normalised)
                                 : entry->material == p_.key.material;
    if (!same) {
      tier["detail"] = "another request with the same hash";
      return;
    }
    if (c_.exact.Dead(id, *entry)) {
      tier["detail"] = "invalidated";
      return;
    }
    const int64_t age_ms = std::max<int64_t>(0, now_ - entry->created_unix_ms);
    tier["entry"] = SummaryJson(cache::Summarise(id, *entry), now_);
    tier["age_s"] = age_ms / 1000;
    if (p_.plan.max_age_ms && age_ms > *p_.plan.max_age_ms) {
      tier["detail"] = "older than max-age";
    } else if (now_ >= entry->expires_unix_ms) {
      tier["detail"] = "expired";
    } else {
      tier["verdict"] = "hit";
    }
  }

  void AskFlights() {
    Json tier = {{"tier", "coalesced"}, {"verdict", "not_asked"}};
    if (asking() && p_.plan.write && !p_.plan.max_age_ms && !p_.plan.only_if_cached) {
      const bool flying = c_.flights.Flying(p_.key);
      tier["verdict"] = flying ? "hit" : "miss";
      if (flying) found_ = "COALESCED";
    }
    tiers_.push_back(std::move(tier));
  }

  const AdminContext& c_;
  const ChatPipeline::Planned& p_;
  const int64_t now_;
  Json tiers_ = Json::array();
  std::string found_;
};

}  // namespace

Status Explain(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  ASSIGN_OR_RETURN(const Question question, ReadQuestion(c, request.http.body));
  auto planned = c.pipeline.Plan(question.request, question.cache_control, question.principal);
  if (!planned) return std::unexpected(WithinRequest(planned.error()));
  const CachePlan& plan = planned->plan;
  const cache::MaterialParts parts = cache::SplitMaterial(planned->key.material);
  TierWalk walk(c, *planned);
  Json tiers = walk.Walk();
  const std::string outcome = !walk.found().empty() ? walk.found() : plan.read ? "MISS" : "BYPASS";
  const bool answered = !walk.found().empty();
  Json reasons = Json::array();
  for (const Reason reason : plan.reasons) reasons.push_back(cache::ReasonCode(reason));
  Json key;
  if (!planned->key.material.empty())
    key = {{"id", planned->key.hash.Hex()},
           {"scope_id", parts.scope_id},
           {"fingerprint", parts.fingerprint},
           {"namespace", plan.name_space}};
  AnswerJson(reply, {{"outcome", outcome},
                     {"would_generate", !answered && !plan.only_if_cached},
                     {"status", !answered && plan.only_if_cached ? 504 : 200},
                     {"reasons", std::move(reasons)},
                     {"plan",
                      {{"read", plan.read},
                       {"write", plan.write},
                       {"ttl_s", plan.ttl_ms / 1000},
                       {"max_age_s", plan.max_age_ms ? Json(*plan.max_age_ms / 1000) : Json()},
                       {"only_if_cached", plan.only_if_cached},
                       {"normalised", plan.normalised}}},
                     {"rules", RulesJson(plan)},
                     {"tiers", std::move(tiers)},
                     {"key", std::move(key)},
                     {"canonical_request", CanonicalJson(planned->key.material)}});
  return {};
}

}  // namespace nextgate::gateway::admin
