#include "gateway/admin/cli_print.h"

#include <fmt/format.h>

#include <algorithm>

namespace nextgate::gateway::admin {
namespace {

using Json = nlohmann::ordered_json;

// A member as text: strings without quotes, null as "-".
std::string Text(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  if (!object.is_object() || found == object.end() || found->is_null()) return "-";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number_float()) return fmt::format("{:.3f}", found->get<double>());
  return found->dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json& Member(const Json& object, const char* name) {
  static const Json nothing = Json::object();
  if (!object.is_object()) return nothing;
  const auto found = object.find(name);
  return found == object.end() ? nothing : *found;
}

std::string Percent(const Json& object, const char* name) {
  const Json& value = Member(object, name);
  return value.is_number() ? fmt::format("{:.1f} %", 100 * value.get<double>()) : "-";
}

std::string Bytes(const Json& object, const char* name) {
  const Json& value = Member(object, name);
  if (!value.is_number()) return "-";
  double bytes = value.get<double>();
  for (const char* unit : {"B", "KiB", "MiB", "GiB"}) {
    if (bytes < 1024 || std::string_view(unit) == "GiB")
      return fmt::format("{:.{}f} {}", bytes, *unit == 'B' ? 0 : 1, unit);
    bytes /= 1024;
  }
  return "-";
}

std::string Seconds(const Json& object, const char* name) {
  const Json& value = Member(object, name);
  if (!value.is_number_integer()) return "-";
  const auto s = value.get<int64_t>();
  if (s < 120) return fmt::format("{} s", s);
  if (s < 2 * 3600) return fmt::format("{} min", s / 60);
  if (s < 48 * 3600) return fmt::format("{} h", s / 3600);
  return fmt::format("{} d", s / 86'400);
}

std::string Latency(const Json& counts, const char* served) {
  const Json& one = Member(Member(counts, "latency_ms"), served);
  return fmt::format("{} / {}", Text(one, "p50"), Text(one, "p95"));
}

// "1 key", "2 keys".
std::string Counted(const Json& number, std::string_view noun) {
  return fmt::format("{} {}{}", number.dump(), noun, number == 1 ? "" : "s");
}

// Characters, not bytes: what a terminal shows as columns, but for wide ones.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// "0.83 %": small rates are what matters.
std::string Rate(const Json& object, const char* name) {
  const Json& value = Member(object, name);
  return value.is_number() ? fmt::format("{:.2f} %", 100 * value.get<double>()) : "-";
}

// "2 of 120 wrong: 1.67 %, at 95 % between 0.20 % and 5.89 %" of a rate of wrong hits.
std::string WrongHits(const Json& rate, bool with_confidence) {
  return fmt::format("{} of {} wrong: {}, {}between {} and {}", Text(rate, "wrong"),
                     Text(rate, "compared"), Rate(rate, "rate"), with_confidence ? "at 95 % " : "",
                     Rate(rate, "low"), Rate(rate, "high"));
}

std::string Reembedding(const Json& state) {
  return Member(state, "done") == true
             ? fmt::format("done, {} questions", Text(state, "entries"))
             : fmt::format("under way, {} questions so far", Text(state, "entries"));
}

// The semantic tier's lines of the statistics; nothing without an embedder.
void AddSemanticRows(const Json& semantic, std::vector<std::vector<std::string>>& rows) {
  const Json& embedder = Member(semantic, "embedder");
  if (!embedder.is_object() || embedder.empty()) return;
  const Json& index = Member(semantic, "index");
  rows.push_back({"questions in other words", Text(semantic, "mode")});
  rows.push_back(
      {"  embedder", fmt::format("{} ({}), {} values", Text(embedder, "id"),
                                 Text(embedder, "revision"), Text(embedder, "dimension"))});
  rows.push_back(
      {"  index", fmt::format("{} in {}, {}", Counted(Member(index, "entries"), "question"),
                              Counted(Member(index, "groups"), "group"), Bytes(index, "bytes"))});
  rows.push_back({"  lookups", Text(semantic, "lookups")});
  for (const auto& [outcome, count] : Member(semantic, "outcomes").items())
    rows.push_back({"    " + outcome, count.dump()});
  for (const auto& [gate, count] : Member(semantic, "refused_by_gate").items())
    if (count != 0) rows.push_back({"  refused by the gate " + gate, count.dump()});
  const Json& wrong = Member(semantic, "wrong_hits");
  rows.push_back({"  compared, served", WrongHits(Member(wrong, "served"), true)});
  rows.push_back({"  compared, unproven", WrongHits(Member(wrong, "unproven"), true)});
  rows.push_back({"  compared, gated", WrongHits(Member(wrong, "gated"), true)});
  rows.push_back(
      {"  served, corrected, all time", WrongHits(Member(semantic, "served_error"), false)});
  rows.push_back({"  rejected pairs", Text(semantic, "rejections")});
  if (Member(semantic, "reembedding").is_object() && semantic.contains("reembedding"))
    rows.push_back({"  embedding again", Reembedding(Member(semantic, "reembedding"))});
}

// What is near a request, and which gates refuse it; nothing if nothing is.
std::string NeighbourTable(const Json& tier) {
  std::vector<std::vector<std::string>> rows = {{"NEIGHBOUR", "COSINE", "REFUSED BY"}};
  for (const Json& neighbour : Member(tier, "neighbours")) {
    std::string refusing;
    for (const Json& gate : Member(neighbour, "gates")) {
      if (Text(gate, "verdict") != "refuse") continue;
      refusing += fmt::format("{}{}{} ({})", refusing.empty() ? "" : "; ", Text(gate, "gate"),
                              Member(gate, "on") == false ? ", off" : "", Text(gate, "detail"));
    }
    if (refusing.empty())
      refusing = Member(neighbour, "gates").empty() ? "- (not stored any more)" : "no gate";
    rows.push_back({Text(neighbour, "id"), Text(neighbour, "cosine"), std::move(refusing)});
  }
  return rows.size() == 1 ? "" : "\n" + Table(rows);
}

// What a tier says beside its verdict.
std::string TierDetail(const Json& tier) {
  if (Text(tier, "tier") != "semantic" || !tier.contains("mode")) return Text(tier, "detail");
  std::string detail = "mode " + Text(tier, "mode");
  if (tier.contains("cosine")) {
    const Json& threshold = Member(tier, "threshold");
    const bool never = threshold.is_null();
    detail += fmt::format(", cosine {}, {}, right with {}", Text(tier, "cosine"),
                          never ? "no threshold supported" : "threshold " + Text(tier, "threshold"),
                          Percent(tier, "p_right"));
  }
  return detail;
}

std::string Indented(const Json& json) {
  return Printable(json.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xc2 && i + 1 < text.size() &&
                    static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                    static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) ++i;
    out += c1 || (byte < 0x20 && byte != '\n') || byte == 0x7f ? '?' : text[i];
  }
  return out;
}

std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  std::vector<std::vector<std::string>> cells;
  for (const auto& row : rows) {
    auto& line = cells.emplace_back();
    for (size_t i = 0; i < row.size(); ++i) {
      std::string cell = Printable(row[i]);
      std::ranges::replace(cell, '\n', '?');
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], Width(cell));
      line.push_back(std::move(cell));
    }
  }
  std::string out;
  for (const auto& row : cells) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      line += row[i] + (i + 1 < row.size() ? std::string(widths[i] - Width(row[i]) + 2, ' ') : "");
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string StatsTable(const Json& stats) {
  std::vector<std::vector<std::string>> rows = {{"scope", Text(stats, "scope")},
                                                {"window", Text(stats, "window")},
                                                {"requests", Text(stats, "requests")},
                                                {"eligible", Text(stats, "eligible")},
                                                {"hits", Text(stats, "hits_total")}};
  for (const auto& [tier, hits] : Member(stats, "hits").items())
    if (hits != 0) rows.push_back({"  " + tier, hits.dump()});
  rows.push_back({"misses", Text(stats, "misses")});
  rows.push_back({"bypasses", Text(stats, "bypasses_total")});
  for (const auto& [reason, count] : Member(stats, "bypass").items())
    rows.push_back({"  " + reason, count.dump()});
  rows.push_back({"hit rate of eligible", Percent(stats, "hit_rate")});
  rows.push_back({"hit rate of requests", Percent(stats, "hit_rate_of_requests")});
  rows.push_back({"tokens saved",
                  fmt::format("{} prompt, {} answer", Text(Member(stats, "tokens_saved"), "prompt"),
                              Text(Member(stats, "tokens_saved"), "completion"))});
  rows.push_back({"ms p50 / p95, stored", Latency(stats, "stored")});
  rows.push_back({"ms p50 / p95, coalesced", Latency(stats, "coalesced")});
  rows.push_back({"ms p50 / p95, generated", Latency(stats, "generated")});
  rows.push_back({"entries in memory", Text(stats, "entries")});
  rows.push_back({"bytes", Bytes(stats, "bytes")});
  rows.push_back({"evictions", Text(stats, "evictions")});
  rows.push_back({"live requests", Text(stats, "live_requests")});
  AddSemanticRows(Member(stats, "semantic"), rows);
  std::string out = Table(rows);
  if (stats.contains("note")) out += fmt::format("\n{}\n", Printable(Text(stats, "note")));
  if (stats.contains("groups")) {
    rows = {{"GROUP", "REQUESTS", "HITS", "MISSES", "BYPASSES", "HIT RATE", "SHARE"}};
    for (const Json& group : stats["groups"])
      rows.push_back({Text(group, "group"), Text(group, "requests"), Text(group, "hits_total"),
                      Text(group, "misses"), Text(group, "bypasses_total"),
                      Percent(group, "hit_rate"), Percent(group, "share")});
    out += "\n" + Table(rows);
  }
  if (stats.contains("instances")) {
    rows = {{"INSTANCE", "NAME", "ENTRIES", "BYTES", "EVICTIONS", "LIVE"}};
    for (const Json& instance : stats["instances"])
      rows.push_back({Text(instance, "id"), Text(instance, "name"), Text(instance, "entries"),
                      Bytes(instance, "bytes"), Text(instance, "evictions"),
                      Text(instance, "live_requests")});
    out += "\n" + Table(rows);
  }
  return out;
}

std::string EntriesTable(const Json& listing) {
  std::vector<std::vector<std::string>> rows = {
      {"ID", "AGE", "HITS", "BYTES", "TOKENS", "MODEL", "ROUTE", "NAMESPACE"}};
  for (const Json& entry : Member(listing, "entries"))
    rows.push_back(
        {Text(entry, "id"), Seconds(entry, "age_s"), Text(entry, "hits"), Bytes(entry, "bytes"),
         fmt::format("{}+{}", Text(entry, "prompt_tokens"), Text(entry, "completion_tokens")),
         Text(entry, "model"), Text(entry, "route"), Text(Member(entry, "scope"), "namespace")});
  std::string out = Table(rows);
  const std::string cursor = Text(listing, "next_cursor");
  if (cursor != "-") out += fmt::format("\nmore: --cursor {}\n", Printable(cursor));
  return out;
}

std::string EntryText(const Json& entry) {
  const Json& scope = Member(entry, "scope");
  const Json& where = Member(entry, "where");
  std::string out = Table({{"id", Text(entry, "id")},
                           {"model", Text(entry, "model")},
                           {"route", Text(entry, "route")},
                           {"namespace", Text(scope, "namespace")},
                           {"scope", Text(scope, "id")},
                           {"age", Seconds(entry, "age_s")},
                           {"hits", Text(entry, "hits")},
                           {"bytes", Bytes(entry, "bytes")},
                           {"in memory", Text(where, "memory")},
                           {"in Redis", Text(where, "redis")}});
  out += fmt::format("\nrequest\n{}\n", Indented(Member(entry, "request")));
  for (const Json& choice : Member(entry, "choices"))
    out += fmt::format("\nchoice {} ({})\n{}\n", Text(choice, "index"),
                       Printable(Text(choice, "finish_reason")), Printable(Text(choice, "text")));
  return out;
}

std::string ExplainText(const Json& explained) {
  const Json& plan = Member(explained, "plan");
  const Json& key = Member(explained, "key");
  std::string out = Table({{"outcome", Text(explained, "outcome")},
                           {"generated", Text(explained, "would_generate")},
                           {"may be read", Text(plan, "read")},
                           {"may be stored", Text(plan, "write")},
                           {"time to live", Seconds(plan, "ttl_s")},
                           {"id", Text(key, "id")},
                           {"scope", Text(key, "scope_id")}});
  std::vector<std::vector<std::string>> rows = {{"TIER", "WHERE", "VERDICT", "AGE", "DETAIL"}};
  std::string neighbours;
  for (const Json& tier : Member(explained, "tiers")) {
    rows.push_back({Text(tier, "tier"), Text(tier, "where"), Text(tier, "verdict"),
                    Seconds(tier, "age_s"), TierDetail(tier)});
    neighbours += NeighbourTable(tier);
  }
  out += "\n" + Table(rows) + neighbours;
  rows = {{"RULE", "VERDICT", "DETAIL"}};
  for (const Json& rule : Member(explained, "rules"))
    rows.push_back({Text(rule, "rule"), Text(rule, "verdict"), Text(rule, "detail")});
  out += "\n" + Table(rows);
  return out +
         fmt::format("\ncanonical request\n{}\n", Indented(Member(explained, "canonical_request")));
}

std::string ThresholdsTable(const Json& thresholds) {
  std::vector<std::vector<std::string>> rows = {{"verifier", Text(thresholds, "verifier")}};
  if (Text(thresholds, "threshold") != "-")
    rows.push_back({"threshold", Text(thresholds, "threshold")});
  if (Text(thresholds, "error_max") != "-")
    rows.push_back({"wrong at most", Rate(thresholds, "error_max")});
  rows.push_back({"confidence", Percent(thresholds, "confidence")});
  rows.push_back({"served", WrongHits(Member(thresholds, "served"), false)});
  std::string out = Table(rows);
  rows = {
      {"PARTITION", "WRONG AT MOST", "THRESHOLD", "WOULD SERVE", "COMPARED", "WRONG", "AT MOST"}};
  for (const Json& one : Member(thresholds, "suggestions")) {
    const Json& error = Member(one, "error");
    const bool none = Text(one, "threshold") == "-";
    rows.push_back({Text(one, "partition"), Rate(one, "error_max"),
                    none ? "not known yet" : Text(one, "threshold"),
                    none ? "-" : Percent(one, "share_served"), Text(error, "compared"),
                    Text(error, "wrong"), Rate(error, "high")});
  }
  if (rows.size() == 1) return out + "\nnothing was compared yet, so no threshold is suggested\n";
  return out + "\n" + Table(rows);
}

namespace {

std::string NoLabels(const Json& counted) {
  std::string text;
  for (const auto& [reason, count] : Member(counted, "no_label").items())
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count.dump(), Printable(reason));
  return text.empty() ? "0" : text;
}

}  // namespace

std::string ComparatorText(const Json& counted) {
  const auto share = [&](const char* name) {
    const Json& of = Member(counted, name);
    return fmt::format("{} of {}, {} to {} at 95 %", Text(of, "count"), Text(of, "of"),
                       Percent(of, "low"), Percent(of, "high"));
  };
  std::string out = Table(
      {{"answers are compared by", Member(counted, "judge") == true ? "the judge" : "the embedder"},
       {"different, called the same", share("false_same")},
       {"the same, called different", share("false_different")},
       {"no label", NoLabels(counted)},
       {"the server reckons with", Text(counted, "in_force")}});
  std::vector<std::vector<std::string>> rows = {{"SAID", "BY", "OF", "ANSWER", "ANSWER"}};
  for (const Json& mistake : Member(counted, "mistakes")) {
    const Json& answers = Member(mistake, "answers");
    if (!answers.is_array() || answers.size() != 2) continue;
    rows.push_back({Text(mistake, "said"), Text(mistake, "by"), Text(mistake, "kind"),
                    answers[0].is_string() ? answers[0].get<std::string>() : "-",
                    answers[1].is_string() ? answers[1].get<std::string>() : "-"});
  }
  if (rows.size() > 1) out += "\n" + Table(rows);
  if (!Member(counted, "flag").is_string())
    return out +
           "\nnothing to set: the server reckons with figures of pairs that nothing was chosen "
           "on\n";
  return out + fmt::format("\nStart all instances with\n  {}\n", Printable(Text(counted, "flag")));
}

std::string FeedbackText(const Json& taken) {
  std::string text = fmt::format("entry {}: {}\n", Printable(Text(taken, "entry")),
                                 Printable(Text(taken, "verdict")));
  text += Member(taken, "counted") == true
              ? fmt::format("counted as evidence, at a cosine of {}\n", Text(taken, "cosine"))
              : "the entry is gone, so it is no evidence\n";
  if (Text(taken, "verdict") != "wrong") return text;
  return text +
         fmt::format("the two are never matched again; the entry is invalidated, record {}\n",
                     Printable(Text(taken, "invalidation")));
}

std::string PrefixStatsTable(const Json& stats) {
  const Json& tokens = Member(stats, "tokens");
  const Json& blocks = Member(stats, "blocks");
  const Json& checkpoints = Member(stats, "checkpoints");
  std::string out = Table(
      {{"prefix caching", Member(stats, "enabled") == true ? "on" : "off"},
       {"prompts looked up", Text(stats, "lookups")},
       {"  to be computed anyway", Text(stats, "lookups_limited")},
       {"  waited for another", Text(stats, "waits")},
       {"tokens looked up", Text(tokens, "queried")},
       {"  resumed", fmt::format("{}  ({})", Text(tokens, "resumed"), Percent(stats, "hit_rate"))},
       {"  computed", Text(tokens, "computed")},
       {"    of them replayed", Text(tokens, "replayed")},
       {"    of them lost", Text(tokens, "lost")}});
  out += "\n" + Table({{"", "USED", "CACHED", "IDLE", "TOTAL", "EVICTED"},
                       {fmt::format("blocks of {} tokens", Text(blocks, "tokens_each")),
                        Text(blocks, "used"), Text(blocks, "cached"), Text(blocks, "idle"),
                        Text(blocks, "total"), Text(blocks, "evicted")}});
  std::vector<std::vector<std::string>> tiers = {{"TIER", "RECORDS", "BYTES", "LIMIT", "STORED",
                                                  "LOADED", "FOUND", "EVICTED", "FAILED", "STATE"}};
  for (const Json& tier : Member(stats, "tiers"))
    tiers.push_back(
        {Text(tier, "name"), Text(tier, "records"), Bytes(tier, "bytes"), Bytes(tier, "bytes_max"),
         Text(tier, "stored"), Text(tier, "loaded"), Text(tier, "discovered"),
         Text(tier, "evicted"),
         fmt::format("{} + {}", Text(tier, "store_failures"), Text(tier, "load_failures")),
         Text(tier, "state")});
  if (tiers.size() > 1) out += "\n" + Table(tiers);
  return out + "\n" +
         Table({{"", "USED", "TOTAL", "MADE", "EVICTED", "REFUSED"},
                {fmt::format("checkpoints, {} of {}", Text(stats, "state_format"),
                             Bytes(checkpoints, "bytes_each")),
                 Text(checkpoints, "used"), Text(checkpoints, "total"), Text(checkpoints, "made"),
                 Text(checkpoints, "evicted"), Text(checkpoints, "refused")}});
}

std::string PrefixExplainText(const Json& explained) {
  std::string out;
  for (const Json& prompt : Member(explained, "prompts")) {
    if (!out.empty()) out += "\n---\n\n";
    out += fmt::format("{}: {}\n\n", Printable(Text(prompt, "verdict")),
                       Printable(Text(prompt, "why")));
    out += Table({{"prompt", Text(prompt, "prompt_tokens"), "tokens"},
                  {"may be resumed", Text(prompt, "resume_limit")},
                  {"known", Text(prompt, "known_tokens")},
                  {"resumed", Text(prompt, "resumed_tokens")},
                  {"computed", Text(prompt, "computed_tokens")},
                  {"  of them replayed", Text(prompt, "replayed_tokens")},
                  {"  of them lost", Text(prompt, "lost_tokens")}});
    std::vector<std::vector<std::string>> rows = {{"CHECKPOINT AT", "KIND", "HITS", ""}};
    const Json& from = Member(prompt, "resumed_from");
    for (const Json& checkpoint : Member(prompt, "checkpoints"))
      rows.push_back({Text(checkpoint, "tokens"), Text(checkpoint, "kind"),
                      Text(checkpoint, "hits"), checkpoint == from ? "resumed from" : ""});
    for (const Json& placed : Member(prompt, "would_leave"))
      rows.push_back({Text(placed, "tokens"), Text(placed, "kind"), "-", "would be left"});
    if (rows.size() > 1) out += "\n" + Table(rows);
  }
  return out;
}

std::string PrefixResetText(const Json& reset) {
  return fmt::format("dropped {} blocks; {} are in use and stay\n", Text(reset, "blocks_dropped"),
                     Text(reset, "blocks_in_use"));
}

std::string RequestsTable(const Json& requests) {
  std::vector<std::vector<std::string>> rows = {
      {"REQUEST", "AGE MS", "PHASE", "TOKENS", "MODEL", "ROUTE", "KEY"}};
  for (const Json& request : Member(requests, "requests"))
    rows.push_back({Text(request, "id"), Text(request, "age_ms"), Text(request, "phase"),
                    Text(request, "tokens"), Text(request, "model"), Text(request, "route"),
                    Text(request, "key")});
  return Table(rows) + fmt::format("\n{} in all\n", Text(requests, "live_requests"));
}

std::string ConfigText(const Json& config) {
  std::vector<std::vector<std::string>> rows = {{"FLAG", "VALUE"}};
  const Json& flags = Member(config, "flags");
  for (const auto& [name, value] : flags.items())
    rows.push_back({"--" + name, Text(flags, name.c_str())});
  const Json& secrets = Member(config, "secrets");
  for (const auto& [name, value] : secrets.items())
    rows.push_back({name, Text(secrets, name.c_str())});
  return Table(rows);
}

std::string ReloadedText(const Json& reloaded) {
  std::string text;
  const Json& files = Member(reloaded, "reloaded");
  for (const auto& [flag, what] : files.items())
    text += fmt::format("--{}: {}\n", Printable(flag), Counted(Member(what, "keys"), "key"));
  if (text.empty()) text = "there is no file of keys to read again\n";
  for (const Json& flag : Member(reloaded, "needs_restart"))
    text += fmt::format("--{} is another now; it needs a restart\n",
                        Printable(flag.get<std::string>()));
  return text;
}

std::string InvalidatedText(const Json& invalidated) {
  const bool dry = invalidated.at("dry_run");
  const Json& redis = invalidated.at("redis");
  std::string text = fmt::format(
      "{} {} in the instance's memory",
      dry ? "it would be" : "invalidated:", Counted(invalidated.at("memory"), "answer"));
  if (!redis.is_null()) text += fmt::format(", {} in Redis", redis.dump());
  text += '\n';
  if (dry) return text + "nothing was done; --yes does it\n";
  text += fmt::format("record {}\n", Printable(invalidated.at("id").get<std::string>()));
  if (invalidated.at("shared") == false)
    text += "Redis is away: in force in this instance, in the others when it is back\n";
  return text;
}

std::string InvalidationsTable(const Json& invalidations) {
  std::vector<std::vector<std::string>> rows = {{"RECORD", "UNIX MS", "SHARED", "PARTS"}};
  for (const Json& record : invalidations.at("invalidations"))
    rows.push_back({record.at("id").get<std::string>(), record.at("instant_unix_ms").dump(),
                    record.at("shared").is_null() ? "-" : record.at("shared").dump(),
                    record.at("parts").dump()});
  return Table(rows);
}

std::string KeysTable(const Json& keys) {
  std::vector<std::vector<std::string>> rows = {{"LABEL", "ROLE"}};
  for (const Json& key : Member(keys, "keys"))
    rows.push_back({Text(key, "label"), Text(key, "role")});
  const Json& caller = Member(keys, "caller");
  return Table(rows) + fmt::format("\nyou are {} with role {}\n", Printable(Text(caller, "label")),
                                   Printable(Text(caller, "role")));
}

}  // namespace nextgate::gateway::admin
