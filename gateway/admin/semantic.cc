#include "gateway/admin/semantic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/log.h"
#include "gateway/admin/explain.h"
#include "gateway/admin/query.h"
#include "gateway/openai/field_reader.h"

namespace nextgate::gateway::admin {
namespace {

using cache::SemanticMode;
using cache::SemanticOutcome;

constexpr size_t kNeighbours = 4;

Json Rounded(double value) { return std::round(value * 1e6) / 1e6; }

Json GatesJson(const cache::SemanticNeighbour& neighbour, cache::GateSet on) {
  Json gates = Json::array();
  for (const cache::GateVerdict& gate : neighbour.gates) {
    Json json = {{"gate", cache::GateCode(gate.gate)},
                 {"on", on.contains(gate.gate)},
                 {"verdict", gate.refuses ? "refuse" : "pass"}};
    if (gate.refuses) json["detail"] = gate.detail;
    gates.push_back(std::move(json));
  }
  return gates;
}

Json BoundJson(const cache::Verifier::Bound& bound) {
  Json json = {{"compared", bound.observed}, {"wrong", bound.wrong}};
  json["rate"] = bound.observed > 0 ? Rounded(bound.error) : Json();
  json["low"] = Rounded(bound.interval.low);
  json["high"] = Rounded(bound.interval.high);
  return json;
}

// How many verdicts had which reason.
Json VerdictsJson(const cache::AnswerComparator& comparator) {
  Json verdicts = Json::object();
  for (size_t i = 0; i < cache::AnswerVerdict::kReasons; ++i) {
    const auto reason = static_cast<cache::AnswerVerdict::Reason>(i);
    if (const int64_t count = comparator.count(reason); count > 0)
      verdicts[std::string(NameOf(reason))] = count;
  }
  return verdicts;
}

// A share with the interval at 95 % that its count allows.
Json ShareJson(int64_t hits, int64_t count) {
  const cache::Interval interval =
      cache::ClopperPearson(static_cast<double>(hits), static_cast<double>(count), 0.95);
  return {{"count", hits},
          {"of", count},
          {"low", Rounded(interval.low)},
          {"high", Rounded(interval.high)}};
}

// Of the pairs without a label, how many there are of each reason.
Json NoLabelJson(const cache::ComparatorTrial& trial) {
  Json reasons = Json::object();
  for (const auto& verdict : trial.verdicts) {
    if (!verdict || verdict->label != cache::AnswerVerdict::Label::kNone) continue;
    const std::string name(NameOf(verdict->reason));
    reasons[name] = reasons.value(name, 0) + 1;
  }
  return reasons;
}

// The same in words, with what the first was told.
std::string NoLabelText(const cache::ComparatorTrial& trial) {
  std::string text = NoLabelJson(trial).dump();
  for (const auto& verdict : trial.verdicts)
    if (verdict && !verdict->failure.empty()) return fmt::format("{} ({})", text, verdict->failure);
  return text;
}

// What it was wrong about.
Json MistakesJson(const cache::ComparatorTrial& trial) {
  const auto& pairs = cache::HandWrittenAnswers();
  Json mistakes = Json::array();
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto& verdict = trial.verdicts[i];
    if (!verdict || verdict->label == cache::AnswerVerdict::Label::kNone) continue;
    const bool same = verdict->label == cache::AnswerVerdict::Label::kSame;
    if (same == pairs[i].same) continue;
    mistakes.push_back({{"said", same ? "same" : "different"},
                        {"by", NameOf(verdict->reason)},
                        {"kind", pairs[i].kind},
                        {"question", pairs[i].question},
                        {"answers", {pairs[i].first, pairs[i].second}}});
  }
  return mistakes;
}

struct Verdict {
  Hash128 entry;
  bool right = false;
  Question asked;
};

// Of what is wrong with the request that feedback is about.
Error WithinAsked(Error error) {
  error.param = error.param.empty() ? "asked" : "asked." + error.param;
  return error;
}

Result<Verdict> ReadVerdict(const AdminContext& c, std::string_view body) {
  ASSIGN_OR_RETURN(const auto object, openai::ParseBody(body));
  openai::FieldReader read(*object);
  const auto entry = ParseHash128(read.Text("entry").value_or(""));
  if (!entry) read.Fail("entry: expected 32 lower-case hex digits, as X-Cache-Entry said", "entry");
  const auto word = read.Text("verdict");
  if (word != "right" && word != "wrong")
    read.Fail("verdict: expected \"right\" or \"wrong\"", "verdict");
  const Json* asked = read.Find("asked");
  if (asked == nullptr || !asked->is_object())
    read.Fail("asked: expected an object of endpoint, request, headers and scope, as explain takes",
              "asked");
  RETURN_IF_ERROR(read.status());
  if (const auto unknown = read.Unread(); !unknown.empty())
    return InvalidArgument("unknown field; there are: entry, verdict, asked",
                           unknown.front().substr(0, 64));
  auto question = ReadQuestion(c, asked->dump());
  if (!question) return std::unexpected(WithinAsked(question.error()));
  return Verdict{.entry = *entry, .right = word == "right", .asked = std::move(*question)};
}

Status NoTier() {
  return MakeError(ErrorCode::kNotFound,
                   "this server has no semantic tier: it was started without --embedding-model or "
                   "--embedding-url, or with --cache-semantic off");
}

}  // namespace

Json ExplainSemantic(const AdminContext& c, const ChatPipeline::Planned& planned, bool asking) {
  Json tier = {{"tier", "semantic"}, {"verdict", "disabled"}};
  if (c.semantic == nullptr) return tier;
  tier["mode"] = cache::SemanticModeName(planned.plan.semantic);
  if (planned.plan.semantic == SemanticMode::kOff) return tier;
  tier["verdict"] = "not_asked";
  if (!asking) return tier;
  cache::SemanticCache& semantic = c.semantic->cache();
  cache::SemanticMatch match = semantic.Peek(planned.key, planned.plan);
  if (match.outcome == SemanticOutcome::kServed && planned.plan.semantic == SemanticMode::kShadow)
    match.outcome = SemanticOutcome::kWouldServe;
  tier["verdict"] = cache::SemanticOutcomeCode(match.outcome);
  if (!match.candidate) return tier;
  tier["cosine"] = Rounded(match.candidate->cosine);
  const float threshold = match.ruling.threshold;  // above 1: nothing is served yet
  tier["threshold"] = threshold <= 1 ? Rounded(threshold) : Json();
  tier["p_right"] = Rounded(match.ruling.p_right);
  tier["neighbours"] = Json::array();
  for (const auto& neighbour : semantic.Explain(planned.key, planned.plan, kNeighbours))
    tier["neighbours"].push_back({{"id", neighbour.id.Hex()},
                                  {"cosine", Rounded(neighbour.cosine)},
                                  {"gates", GatesJson(neighbour, semantic.gates())}});
  return tier;
}

Status ShowThresholds(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  if (c.semantic == nullptr) return NoTier();
  const cache::Verifier& verifier = c.semantic->verifier();
  Json suggestions = Json::array();
  for (const cache::Verifier::Suggestion& suggestion : verifier.Suggest())
    suggestions.push_back(
        {{"partition", suggestion.partition.Hex()},
         {"error_max", suggestion.error_max},
         {"threshold", suggestion.threshold ? Rounded(*suggestion.threshold) : Json()},
         {"share_served", Rounded(suggestion.rate)},
         {"error", BoundJson(suggestion.error)}});
  const auto& options = verifier.options();
  const bool is_static = options.mode == cache::Verifier::Mode::kStatic;
  AnswerJson(reply, {{"verifier", is_static ? "static" : "verified"},
                     {"threshold", is_static ? Json(Rounded(options.threshold)) : Json()},
                     {"error_max", is_static ? Json() : Json(options.error_max)},
                     {"confidence", options.confidence},
                     {"served", BoundJson(verifier.ServedError())},
                     {"suggestions", std::move(suggestions)}});
  return {};
}

Status TakeFeedback(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  if (c.semantic == nullptr) return NoTier();
  ASSIGN_OR_RETURN(const Verdict verdict, ReadVerdict(c, request.http.body));
  const Question& asked = verdict.asked;
  const auto planned = c.pipeline.Plan(asked.request, asked.cache_control, asked.principal);
  if (!planned) return std::unexpected(WithinAsked(WithinRequest(planned.error())));
  if (planned->key.material.empty())
    return InvalidArgument("the request has no canonical form, so nothing is ever stored for it",
                           "asked.request");
  auto told =
      c.semantic->cache().Feedback(planned->key, planned->plan, verdict.entry, verdict.right);
  if (!told) {
    const bool of_entry = told.error().param == "entry";
    return std::unexpected(of_entry ? told.error() : WithinAsked(told.error()));
  }
  const std::optional<float> cosine = *told;
  std::string record;  // of the invalidation; "": none
  if (!verdict.right) record = c.invalidations.Issue({.id = verdict.entry}).id;
  LogInfo("audit who={} action=feedback id={} verdict={} counted={} record={}",
          request.caller.label, verdict.entry.Hex(), verdict.right ? "right" : "wrong",
          cosine.has_value(), record);
  AnswerJson(reply, {{"entry", verdict.entry.Hex()},
                     {"verdict", verdict.right ? "right" : "wrong"},
                     {"counted", cosine.has_value()},
                     {"cosine", cosine ? Rounded(*cosine) : Json()},
                     {"invalidation", record.empty() ? Json() : Json(record)}});
  return {};
}

Status CountComparatorErrors(const AdminContext& c, const AdminRequest& request,
                             ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  if (c.semantic == nullptr) return NoTier();
  const auto trial = c.semantic->TryComparator(
      [&] { return request.http.client_left && request.http.client_left(); });
  if (!trial)
    return MakeError(ErrorCode::kResourceExhausted,
                     "the comparator's errors are being counted already");
  const bool judged = c.semantic->comparator().has_judge();
  const cache::ComparatorError& error = trial->error;
  if (trial->broken_off || error.num_right == 0 || error.num_wrong == 0)
    return MakeError(
        ErrorCode::kUnavailable,
        fmt::format("{} of {} pairs of answers got no label: {}", trial->no_label,
                    trial->no_label + error.num_right + error.num_wrong, NoLabelText(*trial)));
  // Counted on pairs that its cosine was not chosen on, which these are only half.
  const bool known =
      !judged && c.semantic->verifier().options().comparator == cache::kMeasuredComparator;
  LogInfo("audit who={} action=comparator error={} no_label={}", request.caller.label, error.Text(),
          trial->no_label);
  AnswerJson(reply, {{"judge", judged},
                     {"false_same", ShareJson(error.false_same, error.num_wrong)},
                     {"false_different", ShareJson(error.false_different, error.num_right)},
                     {"no_label", NoLabelJson(*trial)},
                     {"mistakes", MistakesJson(*trial)},
                     {"in_force", c.semantic->verifier().options().comparator.Text()},
                     {"flag", known ? Json() : Json("--cache-comparator-error " + error.Text())}});
  return {};
}

Json SemanticStatsJson(const AdminContext& c) {
  if (c.semantic == nullptr) return Json::object();
  const cache::SemanticStats stats = c.semantic->cache().stats();
  const cache::EmbedderInfo& info = c.semantic->cache().embedder();
  const auto log = [](const cache::RecordLogStats& log_stats) {
    return Json{{"heard", log_stats.heard},     {"appended", log_stats.appended},
                {"dropped", log_stats.dropped}, {"waiting", log_stats.waiting},
                {"losses", log_stats.losses},   {"caught_up", log_stats.caught_up}};
  };
  return {
      {"embedder", {{"id", info.id}, {"revision", info.revision}, {"dimension", info.dimension}}},
      {"mode", cache::SemanticModeName(c.options.cache_semantic)},
      {"index",
       {{"entries", stats.index.entries},
        {"groups", stats.index.groups},
        {"bytes", stats.index.bytes},
        {"tombstones", stats.index.tombstones},
        {"evictions", stats.index.evictions}}},
      {"served_error", BoundJson(c.semantic->verifier().ServedError())},
      {"reembedding", c.semantic->reembedder() == nullptr
                          ? Json()
                          : Json{{"done", c.semantic->reembedder()->done()},
                                 {"entries", c.semantic->reembedder()->told()}}},
      {"comparator",
       {{"judge", c.semantic->comparator().has_judge()},
        {"error", c.semantic->verifier().options().comparator.Text()},
        {"verdicts", VerdictsJson(c.semantic->comparator())}}},
      {"comparisons", stats.comparisons},
      {"uncompared", stats.uncompared},
      {"comparison_failures", stats.comparison_failures},
      {"rejections", stats.rejections},
      {"unembedded", stats.unembedded},
      {"queued", stats.queued},
      {"dropped", stats.dropped},
      {"corrupt", stats.corrupt},
      {"logs", {{"questions", log(stats.questions)}, {"evidence", log(stats.evidence)}}}};
}

}  // namespace nextgate::gateway::admin
