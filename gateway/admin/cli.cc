#include "gateway/admin/cli.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "gateway/admin/keys.h"
#include "gateway/api_keys.h"
#include "gateway/flags.h"
#include "gateway/secrets.h"

namespace nextgate::gateway::admin {
namespace {

constexpr int kFailed = 1;
constexpr int kUsageError = 2;
constexpr const char* kKeyVariable = "NEXTGATE_ADMIN_KEY";

struct CommandSpec {
  std::string_view name;
  std::string_view usage;  // what follows the name
  std::string_view help;
  size_t positional_min, positional_max;
  std::vector<std::string_view> options;     // each takes a value
  std::vector<std::string_view> flags = {};  // these do not
};

const std::vector<CommandSpec>& Specs() {
  static const std::vector<CommandSpec> specs = {
      {"stats",
       "[--window 1m|5m|1h|24h|total] [--group-by model|route|tier|scope|time] [--scope S]",
       "what became of the requests",
       0,
       0,
       {"window", "group-by", "scope"}},
      {"entries",
       "[--order created|hits|bytes] [--limit N] [--cursor C] [--model M] [--route R]\n"
       "          [--namespace N] [--min-hits N] [--older-than SECONDS] [--id-prefix HEX] [--scope "
       "S]",
       "stored answers, without questions and answers",
       0,
       0,
       {"order", "limit", "cursor", "model", "route", "namespace", "min-hits", "older-than",
        "id-prefix", "scope"}},
      {"entry", "ID", "one of them, with its request and its answer", 1, 1, {}},
      {"delete", "ID…", "deletes entries, in that instance and in Redis", 1, 1000, {}},
      {"explain",
       "FILE [--endpoint /v1/chat/completions|/v1/completions] [--cache-control TEXT]",
       "what would become of the request in FILE (JSON; - is stdin)",
       1,
       1,
       {"endpoint", "cache-control"}},
      {"thresholds",
       "",
       "cosines from which stored answers might be served to questions in other words, by what is "
       "known",
       0,
       0,
       {}},
      {"comparator",
       "",
       "asks what compares answers about 408 pairs of which the truth is known, and says how often "
       "it is wrong",
       0,
       0,
       {}},
      {"feedback",
       "--entry ID --verdict right|wrong --file FILE\n"
       "          [--endpoint /v1/chat/completions|/v1/completions]",
       "whether the stored answer ID (X-Cache-Entry) answers the request in FILE; wrong: never "
       "again",
       0,
       0,
       {"entry", "verdict", "file", "endpoint"}},
      {"export",
       "[FILE] [--scope S]",
       "all entries as JSON lines (default: to stdout)",
       0,
       1,
       {"scope"}},
      {"import", "FILE", "takes in what export wrote (- is stdin)", 1, 1, {}},
      {"invalidate",
       "[--model M] [--route R] [--namespace N] [--tenant T] [--team T] [--user U] [--id HEX]\n"
       "          [--older-than SECONDS] [--prompt-prefix TEXT] [--all] [--yes]",
       "all parts given must hold; without --yes only says how many answers it would be",
       0,
       0,
       {"model", "route", "namespace", "tenant", "team", "user", "id", "older-than",
        "prompt-prefix"},
       {"all", "yes"}},
      {"invalidations", "", "those in force", 0, 0, {}},
      {"prefix",
       "stats | explain FILE [--endpoint /v1/chat/completions|/v1/completions] | reset",
       "the engine's prefix cache: what it saved, what it would do for the request in FILE, forget",
       1,
       2,
       {"endpoint"}},
      {"requests", "[--limit N]", "what that instance is answering now", 0, 0, {"limit"}},
      {"config", "", "the flags the server runs with, secrets masked", 0, 0, {}},
      {"reload", "", "reads the files of keys again; says what else needs a restart", 0, 0, {}},
      {"keys",
       "[new ROLE [LABEL]]\n"
       "       new-api [LABEL] [--tenant T] [--team T] [--user U] [--models M,…] [--cache "
       "RIGHT,…]\n"
       "          [--semantic off|shadow|serve] [--rpm N] [--tpm N] [--concurrency N] [--expires "
       "YYYY-MM-DD]",
       "the admin keys it knows; `new read` or `new write` makes one, `new-api` a client's key, "
       "without a "
       "server",
       0,
       3,
       {"tenant", "team", "user", "models", "cache", "semantic", "rpm", "tpm", "concurrency",
        "expires"}},
  };
  return specs;
}

const CommandSpec* FindSpec(std::string_view name) {
  const auto found = std::ranges::find(Specs(), name, &CommandSpec::name);
  return found == Specs().end() ? nullptr : &*found;
}

std::string CommandNames() {
  std::vector<std::string_view> names;
  for (const CommandSpec& spec : Specs()) names.push_back(spec.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// `known`: null before the command was given.
Status CheckOption(const CommandSpec* known, std::string_view name) {
  if (name == "url" || name == "key-file") return {};
  if (known == nullptr)
    return InvalidArgument(
        fmt::format("--{} has to stand behind the command it belongs to; before it there may be: "
                    "--url, --key-file, --json, --help",
                    name));
  const CommandSpec& spec = *known;
  if (std::ranges::find(spec.options, name) != spec.options.end()) return {};
  return InvalidArgument(fmt::format(
      "{}: unknown option --{}; there are: --{}{}--url, --key-file, --json, --help", spec.name,
      name, fmt::join(spec.options, ", --"), spec.options.empty() ? "" : ", "));
}

void ReadOption(std::string_view name, std::string value, AdminCommandLine& line) {
  if (name == "url") {
    line.url = std::move(value);
  } else if (name == "key-file") {
    line.key_file = std::move(value);
  } else {
    line.options[std::string(name)] = std::move(value);
  }
}

int Fail(const Error& error, int code) {
  fmt::print(stderr, "nextgate admin: {}\n", error.message);
  return code;
}

// A reply whose members are of other types than ours may have come from some other server.
Result<bool> RunCommand(const AdminCommandLine& line, const AdminClient& client) {
  try {
    return FindAdminCommand(line.command)(line, client, std::cout);
  } catch (const nlohmann::json::exception&) {
    return MakeError(ErrorCode::kDataLoss, "the server's reply is not one of the admin API");
  }
}

void PrintKey(const AdminCommandLine& line, const std::string& key, const std::string& record,
              std::string_view use, std::string_view flag) {
  if (line.json) {
    const nlohmann::ordered_json json = {{"key", key}, {"line", record}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("key, for {} (shown this once):\n{}\n\nline, for {}:\n{}\n", use, key, flag, record);
  }
}

// Whatever is wrong with the options the file's own parser says, so that the line is one it takes.
int MakeApiKeyCommand(const AdminCommandLine& line) {
  const auto usage = [](const std::string& message) {
    return Fail({ErrorCode::kInvalidArgument, "keys new-api: " + message, ""}, kUsageError);
  };
  if (line.positional.size() > 2) return usage("expected one LABEL at most");
  const auto text = [&](const char* name) {
    const auto found = line.options.find(name);
    return found == line.options.end() ? std::string() : found->second;
  };
  const auto list = [&](const char* name) {
    std::vector<std::string> words;
    std::string_view rest = line.options.at(name);
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      words.emplace_back(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return words;
  };
  Principal of;
  if (line.positional.size() > 1) of.label = line.positional[1];
  of.scope = {
      .tenant = text("tenant"), .team = text("team"), .user = text("user"), .name_space = {}};
  if (line.options.contains("models")) of.models = list("models");
  if (line.options.contains("cache")) {
    const auto rights = ParseCacheRights(list("cache"));
    if (!rights) return usage("--cache: " + rights.error().message);
    of.cache = *rights;
  }
  if (line.options.contains("semantic")) {
    of.semantic = cache::FindSemanticMode(text("semantic"));
    if (!of.semantic) return usage("--semantic: expected off, shadow or serve");
  }
  for (const auto& [name, value] : {std::pair{"rpm", &of.limits.rpm},
                                    {"tpm", &of.limits.tpm},
                                    {"concurrency", &of.limits.concurrency}}) {
    if (!line.options.contains(name)) continue;
    const auto number = ParseHumanInt(text(name));
    if (!number || *number < 1)
      return usage(fmt::format("--{}: expected a whole number above 0", name));
    *value = *number;
  }
  const NewApiKey made = MakeApiKey(of, text("expires"));
  if (const auto parsed = ApiKeys::Parse(made.line); !parsed) return usage(parsed.error().message);
  PrintKey(line, made.key, made.line, "the client", "--api-key-file");
  return 0;
}

int MakeKeyCommand(const AdminCommandLine& line) {
  const std::vector<std::string>& words = line.positional;
  if (!words.empty() && words[0] == "new-api") return MakeApiKeyCommand(line);
  if (!line.options.empty())
    return Fail({ErrorCode::kInvalidArgument,
                 fmt::format("keys: --{} goes with new-api only", line.options.begin()->first), ""},
                kUsageError);
  const auto role = ParseRole(words.size() > 1 ? words[1] : "");
  if (words[0] != "new" || !role)
    return Fail(
        {ErrorCode::kInvalidArgument,
         "keys: expected nothing, or: new read [LABEL], new write [LABEL], new-api [LABEL]", ""},
        kUsageError);
  const NewKey made = MakeKey(*role, words.size() > 2 ? words[2] : "");
  if (const auto parsed = AdminKeys::Parse(made.line); !parsed)
    return Fail({ErrorCode::kInvalidArgument,
                 "keys: a label has at most 64 visible ASCII characters, no space, '=' or '\"'"},
                kUsageError);
  PrintKey(line, made.key, made.line, kKeyVariable, "--admin-api-key-file");
  return 0;
}

}  // namespace

std::string AdminHelp() {
  std::string text =
      "usage: nextgate admin [options] COMMAND [options]   talk to the admin API of a running "
      "server\n\n";
  for (const CommandSpec& spec : Specs())
    text += fmt::format("  {} {}\n      {}\n", spec.name, spec.usage, spec.help);
  text += fmt::format(
      "\noptions of all commands, before or behind them\n"
      "  --url URL        the server's admin port (default: http://127.0.0.1:8001)\n"
      "  --key-file FILE  file with the admin key; also {}\n"
      "  --json           the server's JSON instead of a table\n"
      "  --help\n\n"
      "--scope is instance (the server asked) or cluster (all that share its Redis; the default "
      "where there is one).\n"
      "exit codes: 0 done, 1 not reached, refused or left undone, 2 wrong command line\n",
      kKeyVariable);
  return text;
}

Result<AdminCommandLine> ParseAdminCommandLine(std::span<const std::string> args) {
  AdminCommandLine line;
  const CommandSpec* spec = nullptr;  // until the command was read
  for (size_t at = 0; at < args.size(); ++at) {
    const std::string& arg = args[at];
    if (arg == "--json") {
      line.json = true;
    } else if (arg == "--help" || arg == "-h") {
      line.help = true;
    } else if (arg.starts_with("--") && spec != nullptr &&
               std::ranges::find(spec->flags, arg.substr(2)) != spec->flags.end()) {
      line.options[arg.substr(2)] = "true";
    } else if (arg.starts_with("--")) {
      const size_t equals = arg.find('=');
      std::string name = arg.substr(2, equals == std::string::npos ? equals : equals - 2);
      std::ranges::replace(name, '_', '-');
      RETURN_IF_ERROR(CheckOption(spec, name));
      if (equals == std::string::npos && (at + 1 >= args.size() || args[at + 1].starts_with("--")))
        return InvalidArgument(fmt::format("--{}: expected a value", name));
      ReadOption(name, equals == std::string::npos ? args[++at] : arg.substr(equals + 1), line);
    } else if (spec == nullptr) {
      line.command = arg;
      spec = FindSpec(arg);
      if (spec == nullptr)
        return InvalidArgument(
            fmt::format("unknown command '{}'; there are: {}", arg, CommandNames()));
    } else {
      line.positional.push_back(arg);
    }
  }
  if (line.help) return line;
  if (spec == nullptr)
    return InvalidArgument(fmt::format("no command given; there are: {}", CommandNames()));
  if (line.positional.size() < spec->positional_min ||
      line.positional.size() > spec->positional_max)
    return InvalidArgument(
        fmt::format("{}: expected: nextgate admin {} {}", spec->name, spec->name, spec->usage));
  return line;
}

int RunAdmin(std::span<const std::string> args) {
  const auto line = ParseAdminCommandLine(args);
  if (!line) return Fail(line.error(), kUsageError);
  if (line->help) {
    fmt::print("{}", AdminHelp());
    return 0;
  }
  if (line->command == "keys" && (!line->positional.empty() || !line->options.empty()))
    return MakeKeyCommand(*line);

  std::string key = SecretFromEnvironment(kKeyVariable);
  if (!line->key_file.empty()) {
    auto secret = ReadSecretFile(line->key_file);
    if (!secret) return Fail(secret.error(), kUsageError);
    if (!secret->warning.empty()) fmt::print(stderr, "nextgate admin: {}\n", secret->warning);
    key = std::move(secret->value);
  }
  const auto client = AdminClient::Open(line->url, std::move(key));
  if (!client) return Fail(client.error(), kUsageError);
  const auto done = RunCommand(*line, *client);
  std::cout.flush();
  if (!done)
    return Fail(done.error(), done.error().param == "command line" ? kUsageError : kFailed);
  if (!std::cout) return Fail({ErrorCode::kUnavailable, "stdout cannot be written"}, kFailed);
  return *done ? 0 : kFailed;
}

Result<AdminClient> AdminClient::Open(const std::string& url, std::string key) {
  auto base = ParseUrl(url);
  if (!base) return InvalidArgument(fmt::format("--url: {}", base.error().message));
  if (base->target != "/")
    return InvalidArgument(fmt::format(
        "--url: expected http://HOST:PORT without a path, got one with '{}'", base->target));
  const bool sendable = std::ranges::all_of(key, [](char c) { return c > ' ' && c < 0x7f; });
  if (!sendable) return InvalidArgument("the admin key has characters that no key has");
  return AdminClient(std::move(*base), std::move(key));
}

HttpRequest AdminClient::RequestFor(const std::string& method, const std::string& target) const {
  HttpRequest request{.method = method, .url = base_, .read_timeout_ms = kReadTimeoutMs};
  request.url.target = target;
  if (!key_.empty()) request.headers.emplace_back("Authorization", "Bearer " + key_);
  return request;
}

namespace {

Error ServerError(const std::string& origin, int status, const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  std::string message = "no message; is this the admin port?";
  if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    const auto& text = json["error"]["message"];
    if (text.is_string()) message = text;
  }
  return {status == 401 || status == 403 ? ErrorCode::kPermissionDenied : ErrorCode::kUnavailable,
          fmt::format("{} says {}: {}", origin, status, message), ""};
}

}  // namespace

Result<std::string> AdminClient::Call(const std::string& method, const std::string& target,
                                      const std::string& body, const char* content_type,
                                      int64_t read_timeout_ms) const {
  HttpRequest request = RequestFor(method, target);
  request.read_timeout_ms = read_timeout_ms;
  request.body = body;
  if (*content_type != '\0') request.headers.emplace_back("Content-Type", content_type);
  std::string answer;
  request.on_body = [&](std::string_view piece) {
    answer += piece;
    return true;
  };
  ASSIGN_OR_RETURN(const HttpResponse response, SendHttp(request));
  if (response.status / 100 != 2)
    return std::unexpected(ServerError(base_.Origin(), response.status, answer));
  return answer;
}

Status AdminClient::Stream(const std::string& target,
                           const std::function<bool(std::string_view)>& on_body) const {
  HttpRequest request = RequestFor("GET", target);
  std::string refusal;
  int status = 0;
  request.on_head = [&](const HttpResponse& head) {
    status = head.status;
    return true;
  };
  request.on_body = [&](std::string_view piece) {
    if (status == 200) return on_body(piece);
    refusal += piece;
    return refusal.size() < 65'536;
  };
  ASSIGN_OR_RETURN(const HttpResponse response, SendHttp(request));
  if (response.status != 200)
    return std::unexpected(ServerError(base_.Origin(), response.status, refusal));
  return {};
}

}  // namespace nextgate::gateway::admin
