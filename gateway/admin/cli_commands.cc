// The commands of `nextgate admin` that talk to a server.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "gateway/admin/cli.h"
#include "gateway/admin/cli_print.h"

namespace nextgate::gateway::admin {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kImportBytes = 8 << 20;  // per request; an entry that is larger goes alone

// "/path?a=b…" of the command's options.
std::string Target(std::string path, const AdminCommandLine& line) {
  char separator = '?';
  for (const auto& [name, value] : line.options) {
    std::string parameter = name;
    std::ranges::replace(parameter, '-', '_');
    path += fmt::format("{}{}={}", separator, parameter, PercentEncode(value));
    separator = '&';
  }
  return path;
}

Result<Json> Parsed(const std::string& body) {
  Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return MakeError(ErrorCode::kDataLoss, "the server's reply is not a JSON object");
  return json;
}

// The body as it came with --json, else `table` of it.
Status Print(const AdminCommandLine& line, const std::string& body,
             std::string (*table)(const Json&), std::ostream& out) {
  if (line.json) {
    out << body << '\n';
    return {};
  }
  ASSIGN_OR_RETURN(const Json json, Parsed(body));
  out << table(json);
  return {};
}

Result<bool> Show(const AdminCommandLine& line, const AdminClient& client, std::ostream& out,
                  const std::string& target, std::string (*table)(const Json&)) {
  ASSIGN_OR_RETURN(const std::string body, client.Call("GET", target));
  RETURN_IF_ERROR(Print(line, body, table, out));
  return true;
}

Result<bool> StatsCommand(const AdminCommandLine& line, const AdminClient& client,
                          std::ostream& out) {
  return Show(line, client, out, Target("/admin/cache/stats", line), StatsTable);
}
Result<bool> EntriesCommand(const AdminCommandLine& line, const AdminClient& client,
                            std::ostream& out) {
  return Show(line, client, out, Target("/admin/cache/entries", line), EntriesTable);
}
Result<bool> EntryCommand(const AdminCommandLine& line, const AdminClient& client,
                          std::ostream& out) {
  return Show(line, client, out, "/admin/cache/entries/" + PercentEncode(line.positional[0]),
              EntryText);
}
Result<bool> RequestsCommand(const AdminCommandLine& line, const AdminClient& client,
                             std::ostream& out) {
  return Show(line, client, out, Target("/admin/requests", line), RequestsTable);
}
Result<bool> ConfigCommand(const AdminCommandLine& line, const AdminClient& client,
                           std::ostream& out) {
  return Show(line, client, out, "/admin/config", ConfigText);
}
Result<bool> ReloadCommand(const AdminCommandLine& line, const AdminClient& client,
                           std::ostream& out) {
  ASSIGN_OR_RETURN(const std::string body, client.Call("POST", "/admin/config/reload"));
  RETURN_IF_ERROR(Print(line, body, ReloadedText, out));
  return true;
}
Result<bool> KeysCommand(const AdminCommandLine& line, const AdminClient& client,
                         std::ostream& out) {
  return Show(line, client, out, "/admin/keys", KeysTable);
}

Result<bool> DeleteCommand(const AdminCommandLine& line, const AdminClient& client,
                           std::ostream& out) {
  for (const std::string& id : line.positional) {
    ASSIGN_OR_RETURN(const std::string body,
                     client.Call("DELETE", "/admin/cache/entries/" + PercentEncode(id)));
    if (line.json) {
      out << body << '\n';
      continue;
    }
    ASSIGN_OR_RETURN(const Json json, Parsed(body));
    out << "deleted " << Printable(id);
    if (json.value("everywhere", Json()) == true) out << ", within a second on all instances";
    if (json.value("everywhere", Json()) == false)
      out << " here; the other instances are told when Redis answers again";
    out << '\n';
  }
  return true;
}

// An error's param marks what the command line is to blame for (exit code 2).
std::unexpected<Error> FileError(const std::string& file) {
  return InvalidArgument(fmt::format("{}: {}", file, std::strerror(errno)), "command line");
}

Result<std::string> ReadAll(const std::string& file) {
  if (file == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::ifstream in(file, std::ios::binary);
  if (!in) return FileError(file);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string Option(const AdminCommandLine& line, const char* name) {
  const auto found = line.options.find(name);
  return found == line.options.end() ? std::string() : found->second;
}

// {"endpoint", "request"} of a file with the body of a request.
Result<Json> QuestionOf(const AdminCommandLine& line, const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadAll(file));
  Json request = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!request.is_object())
    return InvalidArgument(fmt::format("{}: expected the JSON object that would be posted", file),
                           "command line");
  std::string endpoint = Option(line, "endpoint");
  if (endpoint.empty())
    endpoint = request.contains("messages") ? "/v1/chat/completions" : "/v1/completions";
  return Json{{"endpoint", endpoint}, {"request", std::move(request)}};
}

Result<std::string> Post(const AdminClient& client, const std::string& target, const Json& body) {
  return client.Call("POST", target, body.dump(-1, ' ', false, Json::error_handler_t::replace),
                     "application/json");
}

Result<bool> ExplainCommand(const AdminCommandLine& line, const AdminClient& client,
                            std::ostream& out) {
  ASSIGN_OR_RETURN(Json question, QuestionOf(line, line.positional[0]));
  if (const std::string control = Option(line, "cache-control"); !control.empty())
    question["headers"] = {{"Cache-Control", control}};
  ASSIGN_OR_RETURN(const std::string body, Post(client, "/admin/cache/explain", question));
  RETURN_IF_ERROR(Print(line, body, ExplainText, out));
  return true;
}

Result<bool> ThresholdsCommand(const AdminCommandLine& line, const AdminClient& client,
                               std::ostream& out) {
  return Show(line, client, out, "/admin/cache/thresholds", ThresholdsTable);
}

Result<bool> ComparatorCommand(const AdminCommandLine& line, const AdminClient& client,
                               std::ostream& out) {
  constexpr int64_t kHourMs = 3'600'000;  // a slow judge is asked 408 times, four at a time
  ASSIGN_OR_RETURN(const std::string body,
                   client.Call("POST", "/admin/cache/comparator", "", "", kHourMs));
  RETURN_IF_ERROR(Print(line, body, ComparatorText, out));
  return true;
}

Result<bool> FeedbackCommand(const AdminCommandLine& line, const AdminClient& client,
                             std::ostream& out) {
  for (const char* name : {"entry", "verdict", "file"})
    if (!line.options.contains(name))
      return InvalidArgument(
          fmt::format("feedback: expected --{}; all of --entry ID, --verdict right|wrong and "
                      "--file FILE are needed",
                      name),
          "command line");
  ASSIGN_OR_RETURN(Json asked, QuestionOf(line, Option(line, "file")));
  const Json question = {{"entry", Option(line, "entry")},
                         {"verdict", Option(line, "verdict")},
                         {"asked", std::move(asked)}};
  ASSIGN_OR_RETURN(const std::string body, Post(client, "/admin/cache/feedback", question));
  RETURN_IF_ERROR(Print(line, body, FeedbackText, out));
  return true;
}

Result<bool> PrefixCommand(const AdminCommandLine& line, const AdminClient& client,
                           std::ostream& out) {
  const std::string& what = line.positional[0];
  const bool explain = what == "explain";
  if ((!explain && what != "stats" && what != "reset") ||
      line.positional.size() != (explain ? 2 : 1) || (!explain && !line.options.empty()))
    return InvalidArgument(
        "prefix: expected one of: stats, explain FILE [--endpoint ENDPOINT], reset",
        "command line");
  if (what == "stats") return Show(line, client, out, "/admin/prefix/stats", PrefixStatsTable);
  if (!explain) {
    ASSIGN_OR_RETURN(const std::string body, client.Call("POST", "/admin/prefix/reset"));
    RETURN_IF_ERROR(Print(line, body, PrefixResetText, out));
    return true;
  }
  ASSIGN_OR_RETURN(const Json question, QuestionOf(line, line.positional[1]));
  ASSIGN_OR_RETURN(const std::string body, Post(client, "/admin/prefix/explain", question));
  RETURN_IF_ERROR(Print(line, body, PrefixExplainText, out));
  return true;
}

Result<bool> ExportCommand(const AdminCommandLine& line, const AdminClient& client,
                           std::ostream& out) {
  const std::string file = line.positional.empty() ? "-" : line.positional[0];
  std::ofstream opened;
  if (file != "-") {
    opened.open(file, std::ios::binary | std::ios::trunc);
    if (!opened) return FileError(file);
  }
  std::ostream& sink = file == "-" ? out : opened;
  std::string tail;  // the last line says whether all came
  RETURN_IF_ERROR(client.Stream(Target("/admin/cache/export", line), [&](std::string_view piece) {
    sink << piece;
    tail += piece;
    if (tail.size() > 4096) tail.erase(0, tail.size() - 4096);
    return static_cast<bool>(sink);
  }));
  sink.flush();
  if (!sink) return FileError(file);
  while (tail.ends_with('\n')) tail.pop_back();
  const Json end = Json::parse(tail.substr(tail.rfind('\n') + 1), nullptr, false);
  const bool has_end = end.is_object() && end.contains("nextgate_export_end");
  if (!has_end || end["nextgate_export_end"].value("complete", false) != true)
    return MakeError(ErrorCode::kDataLoss,
                     has_end ? "the export is not complete: " + Printable(end.dump())
                             : "the export was cut off");
  fmt::print(stderr, "exported {} entries\n",
             end["nextgate_export_end"].value("entries", int64_t{0}));
  return true;
}

// Adds one request's report to the sum.
void AddReport(const Json& report, Json& sum) {
  for (const char* name : {"imported", "kept_newer", "expired", "invalidated", "rejected"})
    sum[name] = sum.value(name, int64_t{0}) + report.value(name, int64_t{0});
  for (const Json& error : report.value("errors", Json::array()))
    if (sum["errors"].size() < 10) sum["errors"].push_back(error);
  sum["end_of_export"] = report.value("end_of_export", "missing");
}

Result<bool> ImportCommand(const AdminCommandLine& line, const AdminClient& client,
                           std::ostream& out) {
  const std::string& file = line.positional[0];
  std::ifstream opened;
  if (file != "-") {
    opened.open(file, std::ios::binary);
    if (!opened) return FileError(file);
  }
  std::istream& in = file == "-" ? std::cin : opened;
  Json sum = {{"imported", 0},
              {"kept_newer", 0},
              {"expired", 0},
              {"invalidated", 0},
              {"rejected", 0},
              {"errors", Json::array()},
              {"end_of_export", "missing"}};
  int64_t lines_before = 0, lines = 0;
  std::string chunk, next;
  const auto send = [&]() -> Status {
    if (chunk.empty()) return {};
    ASSIGN_OR_RETURN(const std::string body,
                     client.Call("POST", "/admin/cache/import", chunk, "application/x-ndjson"));
    ASSIGN_OR_RETURN(Json report, Parsed(body));
    for (Json& error : report["errors"])  // of the file, not of the part
      error["line"] = error.value("line", int64_t{0}) + lines_before;
    AddReport(report, sum);
    lines_before = lines;
    chunk.clear();
    return {};
  };
  while (std::getline(in, next)) {
    if (chunk.size() + next.size() > kImportBytes) RETURN_IF_ERROR(send());
    chunk += next;
    chunk += '\n';
    ++lines;
  }
  RETURN_IF_ERROR(send());
  const bool whole = sum["end_of_export"] == "complete" && sum["rejected"] == 0;
  if (line.json) {
    out << sum.dump() << '\n';
    return whole;
  }
  out << fmt::format("imported {}, kept {} that were newer, left out {} expired, rejected {}\n",
                     sum["imported"].dump(), sum["kept_newer"].dump(), sum["expired"].dump(),
                     sum["rejected"].dump());
  for (const Json& error : sum["errors"])
    out << fmt::format("line {}: {}\n", error.value("line", int64_t{0}),
                       Printable(error.value("message", "")));
  if (sum["end_of_export"] != "complete") out << "the file is not a whole export\n";
  return whole;
}

Result<bool> InvalidateCommand(const AdminCommandLine& line, const AdminClient& client,
                               std::ostream& out) {
  Json question = {{"dry_run", !line.options.contains("yes")}};
  for (const auto& [name, value] : line.options) {
    std::string member = name;
    std::ranges::replace(member, '-', '_');
    if (name == "older-than") {
      const Json seconds = Json::parse(value, nullptr, /*allow_exceptions=*/false);
      if (!seconds.is_number_integer())
        return InvalidArgument("--older-than: expected seconds, a whole number", "command line");
      question[member] = seconds;
    } else if (name == "all") {
      question[member] = true;
    } else if (name != "yes") {
      question[member] = value;
    }
  }
  ASSIGN_OR_RETURN(const std::string body, Post(client, "/admin/cache/invalidate", question));
  RETURN_IF_ERROR(Print(line, body, InvalidatedText, out));
  return true;
}
Result<bool> InvalidationsCommand(const AdminCommandLine& line, const AdminClient& client,
                                  std::ostream& out) {
  return Show(line, client, out, "/admin/cache/invalidations", InvalidationsTable);
}

}  // namespace

AdminCommandFunction FindAdminCommand(std::string_view command) {
  static const std::map<std::string_view, AdminCommandFunction> commands = {
      {"stats", StatsCommand},
      {"entries", EntriesCommand},
      {"entry", EntryCommand},
      {"delete", DeleteCommand},
      {"explain", ExplainCommand},
      {"export", ExportCommand},
      {"thresholds", ThresholdsCommand},
      {"feedback", FeedbackCommand},
      {"comparator", ComparatorCommand},
      {"import", ImportCommand},
      {"prefix", PrefixCommand},
      {"requests", RequestsCommand},
      {"config", ConfigCommand},
      {"reload", ReloadCommand},
      {"keys", KeysCommand},
      {"invalidate", InvalidateCommand},
      {"invalidations", InvalidationsCommand}};
  const auto found = commands.find(command);
  return found == commands.end() ? nullptr : found->second;
}

}  // namespace nextgate::gateway::admin
