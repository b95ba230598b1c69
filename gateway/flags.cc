#include "gateway/flags.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <ranges>
#include <sstream>

#include "base/file.h"
#include "cache/aead.h"
#include "gateway/admin/keys.h"
#include "gateway/api_keys.h"
#include "gateway/flag_args.h"
#include "gateway/secrets.h"

namespace nextgate::gateway {
namespace {

constexpr int64_t kConfigBytesMax = 1 << 20;

bool IsAmong(std::string_view value, std::string_view alternatives) {
  for (const auto part : std::views::split(alternatives, '|'))
    if (std::string_view(part) == value) return true;
  return false;
}

// A scalar as it would be typed on the command line; a table as the JSON object it stands for.
Result<std::string> TomlText(const toml::node& node, std::string_view key, bool json) {
  if (const toml::table* table = json ? node.as_table() : nullptr) {
    std::ostringstream text;
    text << toml::json_formatter(*table);
    return std::move(text).str();
  }
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto boolean = node.value_exact<bool>()) return *boolean ? "true" : "false";
  if (const auto integer = node.value_exact<int64_t>()) return fmt::format("{}", *integer);
  if (const auto real = node.value_exact<double>()) return fmt::format("{}", *real);
  return InvalidArgument(
      fmt::format("{}: expected a string, a number, a boolean{} or a list of them", key,
                  json ? ", a table" : ""),
      std::string(key));
}

Status AddTomlValues(const toml::node& node, std::string_view name, const Flag& flag,
                     GivenFlags& given) {
  const toml::array* list = node.as_array();
  if (list != nullptr && flag.kind != FlagKind::kList)
    return InvalidArgument(fmt::format("{} takes one value, got a list", name), "config");
  for (size_t i = 0; i < (list != nullptr ? list->size() : 1); ++i) {
    ASSIGN_OR_RETURN(std::string text,
                     TomlText(list != nullptr ? (*list)[i] : node, name, TakesJson(flag)));
    if (flag.kind == FlagKind::kBool) {
      ASSIGN_OR_RETURN(text, BoolText(flag, text, false));
    }
    AddValue(given, flag, std::move(text));
  }
  return {};
}

// Adds what the file says for flags that the command line does not have.
Status ReadConfigFile(const std::string& file, GivenFlags& given, std::string& model) {
  const auto text = ReadFile(file, kConfigBytesMax);
  if (!text) return InvalidArgument("--config " + text.error().message, "config");
  toml::table table;
  try {
    table = toml::parse(*text);
  } catch (const toml::parse_error& error) {
    return InvalidArgument(fmt::format("--config {}: not readable as TOML, line {}: {}", file,
                                       error.source().begin.line, error.description()),
                           "config");
  }
  for (const auto& [toml_key, node] : table) {
    const std::string name = NormalisedFlag(toml_key.str());
    const auto flags = ServeFlags();
    const auto flag = std::ranges::find(flags, name, &Flag::name);
    if (flag == flags.end()) {
      const auto near = NearFlag(name);
      const std::string hint = near ? fmt::format("did you mean '{}'?", *near) : "see --help";
      return InvalidArgument(
          fmt::format("--config {}: unknown key '{}'; {}", file, toml_key.str(), hint), "config");
    }
    if (name == "model" && !model.empty()) continue;
    if (given.contains(flag->name)) continue;
    if (const Status status = AddTomlValues(node, name, *flag, given); !status)
      return InvalidArgument(fmt::format("--config {}: {}", file, status.error().message),
                             status.error().param);
    if (const auto at = given.find(flag->name); at != given.end()) at->second.config_file = file;
  }
  return {};
}

bool TakesWord(std::string_view word, std::string_view value) {
  if (word == "int") return ParseHumanInt(value).has_value();
  if (word == "json")
    return nlohmann::json::parse(value, nullptr, /*allow_exceptions=*/false).is_object();
  if (word != "number") return word == value;
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  return error == std::errc() && end == value.data() + value.size();
}

// Of a flag without effect: whether vLLM would take the value at all.
Status CheckTaken(const Flag& flag, std::string_view value) {
  if (flag.takes.empty()) return {};
  std::vector<std::string> allowed;
  for (const auto part : std::views::split(flag.takes, '|')) {
    const std::string_view word(part);
    if (TakesWord(word, value)) return {};
    allowed.emplace_back(word == "int"      ? "a whole number"
                         : word == "number" ? "a number"
                         : word == "json"   ? "a JSON object"
                                            : word);
  }
  return InvalidArgument(fmt::format("expected {}{}, got '{}' ({})",
                                     allowed.size() > 1 ? "one of " : "", fmt::join(allowed, ", "),
                                     value, flag.help));
}

std::string Missed(const Flag& flag, std::string_view value) {
  std::string text = fmt::format("is not supported yet: {}", flag.help);
  if (flag.neutral.empty()) return text;
  std::vector<std::string_view> allowed;
  for (const auto part : std::views::split(flag.neutral, '|')) allowed.emplace_back(part);
  return text + fmt::format(" (got '{}'; allowed: {})", value, fmt::join(allowed, ", "));
}

// vLLM's name and ours for one setting, a number.
constexpr std::pair<std::string_view, std::string_view> kTwoNames[] = {
    {"kv-offloading-size", "prefix-host-gib"}, {"shutdown-timeout", "shutdown-timeout-s"}};

bool SameNumber(std::string_view a, std::string_view b) {
  const auto number = [](std::string_view text) {
    double value = std::numeric_limits<double>::quiet_NaN();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size()
               ? value
               : std::numeric_limits<double>::quiet_NaN();
  };
  return a == b || number(a) == number(b);
}

// Of a setting that was given by both its names the command line's counts, as ever; else both must say the same.
Status CheckTwoNames(GivenFlags& given) {
  for (const auto& [theirs, ours] : kTwoNames) {
    const auto a = given.find(theirs);
    const auto b = given.find(ours);
    if (a == given.end() || b == given.end()) continue;
    if (a->second.config_file.empty() != b->second.config_file.empty()) {
      given.erase(a->second.config_file.empty() ? b : a);
      continue;
    }
    const std::string& a_value = a->second.values.back();
    const std::string& b_value = b->second.values.back();
    if (a_value == "None" || b_value == "None") continue;
    if (!SameNumber(a_value, b_value))
      return InvalidArgument(fmt::format("--{} {} and --{} {} are two names of one setting: give "
                                         "one of them, or the same value",
                                         theirs, a_value, ours, b_value),
                             std::string(ours));
  }
  return {};
}

// An optional value that is none, as vLLM writes it.
bool IsNone(std::string_view value) { return value.empty() || value == "None"; }

// What one flag that has no part of its own here asks for: nothing (no error, no warning), something
// without effect (a warning), or something that would be missed (an error).
Status ApplyUnimplemented(const GivenFlag& given, ParsedServe& parsed) {
  const Flag& flag = *given.flag;
  const bool missed = flag.support == FlagSupport::kNotSupported;
  for (const std::string& value : given.values) {
    if (flag.kind != FlagKind::kBool && IsNone(value)) continue;
    if (missed) {
      if (flag.kind == FlagKind::kBool ? value == "false" : IsAmong(value, flag.neutral)) continue;
      return MakeError(ErrorCode::kUnimplemented, Missed(flag, value));
    }
    if (flag.kind != FlagKind::kBool) {
      RETURN_IF_ERROR(CheckTaken(flag, value));
    }
    if (flag.set != nullptr) {
      RETURN_IF_ERROR(flag.set(parsed.options, value));
    }
  }
  if (!missed && !(flag.kind != FlagKind::kBool && IsNone(given.values.back())))
    parsed.warnings.push_back(fmt::format("--{} has no effect here: {}", flag.name, flag.help));
  return {};
}

Status Apply(const GivenFlags& given, ParsedServe& parsed) {
  for (const auto& [name, entry] : given) {
    const Flag& flag = *entry.flag;
    const auto named = [&](const Error& error) {
      const bool sentence = error.message.starts_with("is not ");
      const std::string& file = entry.config_file;
      return MakeError(error.code,
                       fmt::format("{}--{}{} {}", file.empty() ? "" : "--config " + file + ": ",
                                   name, sentence ? "" : ":", error.message),
                       std::string(name));
    };
    if (flag.support != FlagSupport::kImplemented) {
      if (Status status = ApplyUnimplemented(entry, parsed); !status) return named(status.error());
      continue;
    }
    for (const std::string& value : entry.values) {
      if (Status status = flag.set(parsed.options, value); !status) return named(status.error());
    }
  }
  return {};
}

void AddKeysOfEnvironment(ServeOptions& options) {
  for (const char* name : {"NEXTGATE_API_KEY", "VLLM_API_KEY"}) {
    const std::string key = SecretFromEnvironment(name);
    if (!key.empty() && options.api_keys.empty()) options.api_keys.push_back(key);
  }
}

// `file`'s text, or else the variable's value, into `value`.
Status ReadSecret(const char* flag, const std::string& file, const char* variable,
                  std::string& value, std::vector<std::string>& warnings) {
  if (file.empty()) {
    value = SecretFromEnvironment(variable);
    return {};
  }
  auto secret = ReadSecretFile(file);
  if (!secret) return InvalidArgument(fmt::format("--{} {}", flag, secret.error().message), flag);
  if (!secret->warning.empty()) warnings.push_back(std::move(secret->warning));
  value = std::move(secret->value);
  return {};
}

// The file's text; its keys are checked already.
Status ReadEncryptionKeys(ServeOptions& o, std::vector<std::string>& warnings) {
  if (o.cache_encryption_key_file.empty()) return {};
  if (o.cache_url.empty())
    return InvalidArgument("--cache-encryption-key-file needs --cache-url", "cache-url");
  RETURN_IF_ERROR(ReadSecret("cache-encryption-key-file", o.cache_encryption_key_file, "",
                             o.cache_encryption_keys, warnings));
  if (const auto keys = cache::Keyring::ParseKeys(o.cache_encryption_keys); !keys)
    return InvalidArgument(fmt::format("--cache-encryption-key-file {}: {}",
                                       o.cache_encryption_key_file, keys.error().message),
                           "cache-encryption-key-file");
  return {};
}

Status ReadCacheSecrets(ServeOptions& o, std::vector<std::string>& warnings) {
  if (o.cache_url.empty() && !o.cache_password_file.empty())
    return InvalidArgument("--cache-password-file needs --cache-url", "cache-url");
  RETURN_IF_ERROR(ReadEncryptionKeys(o, warnings));
  RETURN_IF_ERROR(ReadSecret("cache-secret-file", o.cache_secret_file, "NEXTGATE_CACHE_SECRET",
                             o.cache_secret, warnings));
  if (!o.cache_url.empty()) {
    RETURN_IF_ERROR(ReadSecret("cache-password-file", o.cache_password_file,
                               "NEXTGATE_CACHE_PASSWORD", o.cache_password, warnings));
  }
  constexpr size_t kSecretBytesMin = 16;
  if (o.cache_secret.empty() && o.cache_url.empty()) return {};
  if (o.cache_secret.empty())
    return InvalidArgument(
        "--cache-url: instances that share answers need a common secret: --cache-secret-file FILE "
        "or NEXTGATE_CACHE_SECRET (make one with: openssl rand -hex 32)",
        "cache-secret-file");
  if (o.cache_secret.size() < kSecretBytesMin)
    return InvalidArgument(fmt::format("the cache secret has {} bytes; at least {} are needed",
                                       o.cache_secret.size(), kSecretBytesMin),
                           "cache-secret-file");
  return {};
}

// The file's text; its keys are checked already.
Status ReadAdminKeys(ServeOptions& o, std::vector<std::string>& warnings) {
  if (o.admin_api_key_file.empty()) {
    const std::string& host = o.admin_host;
    if (host != "localhost" && host != "::1" && !host.starts_with("127."))
      warnings.push_back(fmt::format(
          "--admin-host {} without --admin-api-key-file: /admin/ answers this machine's loopback "
          "only, /health, /ready and /metrics answer everybody",
          host));
    return {};
  }
  RETURN_IF_ERROR(
      ReadSecret("admin-api-key-file", o.admin_api_key_file, "", o.admin_api_keys, warnings));
  if (const auto keys = admin::AdminKeys::Parse(o.admin_api_keys); !keys)
    return InvalidArgument(
        fmt::format("--admin-api-key-file {}: {}", o.admin_api_key_file, keys.error().message),
        "admin-api-key-file");
  return {};
}

// The same for the keys of clients.
Status ReadApiKeys(ServeOptions& o, std::vector<std::string>& warnings) {
  if (o.api_key_file.empty()) return {};
  RETURN_IF_ERROR(ReadSecret("api-key-file", o.api_key_file, "", o.api_key_records, warnings));
  if (const auto keys = ApiKeys::Parse(o.api_key_records); !keys)
    return InvalidArgument(
        fmt::format("--api-key-file {}: {}", o.api_key_file, keys.error().message), "api-key-file");
  return {};
}

bool VisibleAscii(std::string_view key) {
  return std::ranges::all_of(key, [](char c) { return c > ' ' && c < 0x7f; });
}

// A secret that is sent in a header.
Status ReadKey(std::string_view whom, const char* flag, const std::string& file,
               const char* variable, std::string& key, std::vector<std::string>& warnings) {
  RETURN_IF_ERROR(ReadSecret(flag, file, variable, key, warnings));
  if (VisibleAscii(key)) return {};
  return InvalidArgument(fmt::format("the key for {} must be visible ASCII characters", whom),
                         flag);
}

// What there is of a model does not go with upstreams; what only tunes it does nothing.
Status CheckUpstreams(const GivenFlags& given, ServeOptions& o,
                      std::vector<std::string>& warnings) {
  const bool any = !o.upstreams.empty();
  for (const auto& [name, entry] : given) {
    if (!any && name.starts_with("upstream-"))
      return InvalidArgument(fmt::format("--{} needs --upstream", name), std::string(name));
    if (any && (entry.flag->group == "Model" || entry.flag->group == "Engine") && name != "model")
      warnings.push_back(fmt::format("--{} has no effect with --upstream", name));
  }
  if (!any) return {};
  if (!o.model.empty())
    return InvalidArgument(
        fmt::format(
            "MODEL '{}' and --upstream exclude each other; --upstream-model NAME is what the "
            "upstream is asked for",
            o.model),
        "upstream");
  return ReadKey("the upstreams", "upstream-api-key-file", o.upstream_api_key_file,
                 "NEXTGATE_UPSTREAM_API_KEY", o.upstream_api_key, warnings);
}

// A model of this process or a server, and of each only what it takes.
Status CheckEmbedder(const GivenFlags& given, ServeOptions& o, std::vector<std::string>& warnings) {
  const bool url = !o.embedding_url.empty(), model = !o.embedding_model.empty();
  if (url && model)
    return InvalidArgument("--embedding-model and --embedding-url exclude each other",
                           "embedding-url");
  for (const auto& [name, entry] : given) {
    if (!name.starts_with("embedding-") || name == "embedding-model" || name == "embedding-url")
      continue;
    const bool of_both = name == "embedding-timeout-ms", of_model = name == "embedding-threads";
    if (of_both ? url || model : (of_model ? model : url)) continue;
    return InvalidArgument(fmt::format("--{} needs {}", name,
                                       of_both    ? "--embedding-model or --embedding-url"
                                       : of_model ? "--embedding-model"
                                                  : "--embedding-url"),
                           std::string(name));
  }
  if (!url) return {};
  if (o.embedding_url_model.empty())
    return InvalidArgument("--embedding-url needs --embedding-url-model NAME",
                           "embedding-url-model");
  if (o.embedding_dimension == 0)
    return InvalidArgument(
        "--embedding-url needs --embedding-dimension N, the number of values in its vectors: it is "
        "part of what stored answers are found by, also while the server is away",
        "embedding-dimension");
  return ReadKey("the embedder", "embedding-api-key-file", o.embedding_api_key_file,
                 "NEXTGATE_EMBEDDING_API_KEY", o.embedding_api_key, warnings);
}

Status CheckJudge(const GivenFlags& given, ServeOptions& o, std::vector<std::string>& warnings) {
  const bool url = !o.cache_judge.empty() && o.cache_judge != kJudgeIsModel;
  for (const auto& [name, entry] : given)
    if (name.starts_with("cache-judge-") && !url)
      return InvalidArgument(fmt::format("--{} needs --cache-judge URL", name), std::string(name));
  const bool embedder = !o.embedding_url.empty() || !o.embedding_model.empty();
  for (const char* name : {"cache-judge", "cache-comparator-error"})
    if (given.contains(name) && !embedder)
      return InvalidArgument(
          fmt::format(
              "--{} needs --embedding-model or --embedding-url: without an embedder no answers "
              "are compared",
              name),
          name);
  if (o.cache_judge == kJudgeIsModel && !o.upstreams.empty() && o.upstream_model.empty())
    return InvalidArgument(
        "--cache-judge model needs --upstream-model NAME: the upstream is asked for it",
        "cache-judge");
  if (!url) return {};
  if (o.cache_judge_model.empty())
    return InvalidArgument("--cache-judge URL needs --cache-judge-model NAME", "cache-judge-model");
  return ReadKey("the judge", "cache-judge-api-key-file", o.cache_judge_api_key_file,
                 "NEXTGATE_JUDGE_API_KEY", o.cache_judge_api_key, warnings);
}

Status CheckCacheLimits(const ServeOptions& o) {
  const auto within = [&](const char* flag, int64_t ttl_s) -> Status {
    if (ttl_s <= o.cache_ttl_max_s) return {};
    return InvalidArgument(fmt::format("--{} {} is above --cache-ttl-max-s {}: give a higher one",
                                       flag, ttl_s, o.cache_ttl_max_s),
                           flag);
  };
  RETURN_IF_ERROR(within("cache-ttl-s", o.cache_ttl_s));
  for (const auto& [route, ttl_s] : o.cache_route_ttl_s)
    RETURN_IF_ERROR(within("cache-route-ttl-s", ttl_s));
  if (o.cache_prompt_bytes_min > o.cache_prompt_bytes_max)
    return InvalidArgument(fmt::format("--cache-prompt-bytes-min {} is above -max {}",
                                       o.cache_prompt_bytes_min, o.cache_prompt_bytes_max),
                           "cache-prompt-bytes-min");
  if (o.cache_semantic_observe == 0 && o.cache_semantic_verifier == "verified")
    return InvalidArgument(
        "--cache-semantic-observe 0 goes with --cache-semantic-verifier static only: who is never "
        "compared cannot be known to be right",
        "cache-semantic-observe");
  if (!o.cache_semantic_dir.empty() && o.cache_url.empty())
    return InvalidArgument(
        "--cache-semantic-dir needs --cache-url: without it nothing outlives a restart",
        "cache-semantic-dir");
  if (!o.cache_semantic_dir.empty() && !o.cache_encryption_key_file.empty())
    return InvalidArgument(
        "--cache-semantic-dir: its file is not encrypted, and --cache-encryption-key-file asks for "
        "encryption",
        "cache-semantic-dir");
  if (o.cache_controls.size() > 1 &&
      std::ranges::find(o.cache_controls, "none") != o.cache_controls.end())
    return InvalidArgument("--cache-controls: none goes with no other", "cache-controls");
  return {};
}

Status CheckTogether(const ServeOptions& options) {
  RETURN_IF_ERROR(CheckCacheLimits(options));
  if (options.model.empty() && options.upstreams.empty())
    return InvalidArgument(
        "no MODEL given: nextgate serve MODEL [flags], a checkpoint directory or a hub id; or "
        "--upstream URL",
        "model");
  if (!options.admin_port && options.port == 65535)
    return InvalidArgument("--port 65535 leaves no port + 1 for the admin API: give --admin-port",
                           "port");
  if (options.port != 0 && options.admin_port == options.port)
    return InvalidArgument(fmt::format("--admin-port must differ from --port {}", options.port),
                           "admin-port");
  return {};
}

}  // namespace

Result<ParsedServe> ParseServeFlags(std::span<const std::string> args) {
  ASSIGN_OR_RETURN(CommandLine line, ReadCommandLine(args));
  ParsedServe parsed;
  parsed.help = line.help;
  if (parsed.help) return parsed;
  if (line.positional.size() > 1)
    return InvalidArgument(fmt::format("expected one MODEL, got {}: {}", line.positional.size(),
                                       fmt::join(line.positional, " ")),
                           "model");
  std::string model = line.positional.empty() ? "" : line.positional.front();
  if (!line.config_file.empty()) {
    RETURN_IF_ERROR(ReadConfigFile(line.config_file, line.given, model));
  }
  RETURN_IF_ERROR(CheckTwoNames(line.given));
  RETURN_IF_ERROR(Apply(line.given, parsed));
  if (!model.empty()) parsed.options.model = model;
  AddKeysOfEnvironment(parsed.options);
  RETURN_IF_ERROR(ReadCacheSecrets(parsed.options, parsed.warnings));
  RETURN_IF_ERROR(CheckUpstreams(line.given, parsed.options, parsed.warnings));
  RETURN_IF_ERROR(CheckEmbedder(line.given, parsed.options, parsed.warnings));
  RETURN_IF_ERROR(CheckJudge(line.given, parsed.options, parsed.warnings));
  RETURN_IF_ERROR(ReadAdminKeys(parsed.options, parsed.warnings));
  RETURN_IF_ERROR(ReadApiKeys(parsed.options, parsed.warnings));
  RETURN_IF_ERROR(CheckTogether(parsed.options));
  return parsed;
}

bool TakesJson(const Flag& flag) { return IsAmong("json", flag.takes); }

Result<int64_t> ParseHumanInt(std::string_view text) {
  const auto fail = [&] {
    return InvalidArgument(fmt::format(
        "expected a whole number, or one with k, m, g, t (thousands) or K, M, G, T (1,024s; no "
        "fraction then), got '{}'",
        text));
  };
  double value = 0;
  const char* end_of_text = text.data() + text.size();
  const auto [end, error] =
      std::from_chars(text.data(), end_of_text, value, std::chars_format::fixed);
  if (error != std::errc()) return fail();
  double unit = 1;
  if (end != end_of_text) {
    static constexpr std::string_view kUnits = "kmgtKMGT";
    const size_t which = kUnits.find(*end);
    if (which == std::string_view::npos || end + 1 != end_of_text) return fail();
    unit = std::pow(which < 4 ? 1000.0 : 1024.0, static_cast<double>(which % 4 + 1));
  }
  const bool fraction = text.find('.') != std::string_view::npos;
  const bool decimal = end != end_of_text && *end >= 'a';
  if (fraction && !decimal) return fail();
  const double scaled = std::trunc(value * unit);
  if (!(std::abs(scaled) <= 9e15)) return fail();  // nan too
  return static_cast<int64_t>(scaled);
}

}  // namespace nextgate::gateway
