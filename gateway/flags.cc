#include "gateway/flags.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "gateway/admin/keys.h"
#include "gateway/secrets.h"

namespace nextgate::gateway {
namespace {

// What was given for one flag, in the order it came. Booleans carry "true" or "false".
struct Given {
  const Flag* flag = nullptr;
  std::vector<std::string> values;
};
using GivenFlags = std::map<std::string_view, Given>;

constexpr std::string_view kConfigFlag = "config";

std::string Normalised(std::string_view typed) {
  std::string name(typed);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

std::string Nearest(std::string_view name) {
  const auto flags = ServeFlags();
  const auto best = std::ranges::min_element(
      flags, {}, [&](const Flag& flag) { return EditDistance(name, flag.name); });
  return std::string(best->name);
}

// A flag as it was typed, resolved: `negated` for --no-x.
struct Found {
  const Flag* flag;
  bool negated;
};

// The flag called `name`, or the only one that begins with it; prefixes count --no- forms too.
Result<Found> FindFlag(const std::string& name) {
  std::vector<Found> candidates;
  for (const Flag& flag : ServeFlags()) {
    const std::string negative = fmt::format("no-{}", flag.name);
    if (flag.name == name) return Found{&flag, false};
    if (flag.kind == FlagKind::kBool && negative == name) return Found{&flag, true};
    if (flag.name.starts_with(name)) candidates.push_back({&flag, false});
    if (flag.kind == FlagKind::kBool && negative.starts_with(name))
      candidates.push_back({&flag, true});
  }
  if (candidates.size() == 1) return candidates.front();
  if (candidates.empty())
    return InvalidArgument(
        fmt::format("unknown flag --{}; did you mean --{}?", name, Nearest(name)), name);
  std::vector<std::string> names;
  for (const Found& found : candidates)
    names.push_back(fmt::format("--{}{}", found.negated ? "no-" : "", found.flag->name));
  return InvalidArgument(
      fmt::format("--{} is ambiguous: it could be {}", name, fmt::join(names, ", ")), name);
}

const Flag* FindAlias(std::string_view typed) {
  for (const Flag& flag : ServeFlags())
    if (!flag.alias.empty() && flag.alias == typed) return &flag;
  return nullptr;
}

bool LooksLikeFlag(std::string_view arg) {
  return arg.size() > 1 && arg[0] == '-' && !(arg[1] >= '0' && arg[1] <= '9');
}

void Add(GivenFlags& given, const Flag& flag, std::string value) {
  Given& entry = given[flag.name];
  entry.flag = &flag;
  if (flag.kind != FlagKind::kList) entry.values.clear();  // the last one counts, as in argparse
  entry.values.push_back(std::move(value));
}

Result<std::string> BoolText(const Flag& flag, std::string_view text, bool negated) {
  const bool is_true = text == "true" || text == "True" || text == "1";
  if (!is_true && text != "false" && text != "False" && text != "0")
    return InvalidArgument(fmt::format("--{}: expected true or false, got '{}'", flag.name, text),
                           std::string(flag.name));
  return is_true != negated ? "true" : "false";
}

// Reads arguments one by one; `config_file` and `help` are the two flags that are no option.
struct ArgReader {
  std::span<const std::string> args;
  size_t at = 0;
  GivenFlags given;
  std::vector<std::string> positional;
  std::string config_file;
  bool help = false;

  Status ReadAll() {
    bool only_positional = false;
    while (at < args.size()) {
      const std::string& arg = args[at++];
      if (only_positional || !LooksLikeFlag(arg)) {
        positional.push_back(arg);
      } else if (arg == "--") {
        only_positional = true;
      } else if (arg == "-h" || arg == "--help") {
        help = true;
      } else {
        RETURN_IF_ERROR(ReadFlag(arg));
      }
    }
    return {};
  }

  Status ReadFlag(const std::string& arg) {
    const size_t equals = arg.find('=');
    const std::string typed = arg.substr(0, equals);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = arg.substr(equals + 1);
    const Flag* flag = FindAlias(typed);
    bool negated = false;
    if (flag == nullptr) {
      if (!typed.starts_with("--"))
        return InvalidArgument(fmt::format("unknown flag {}; see --help", typed), typed);
      const std::string name = Normalised(typed.substr(2));
      if (name == kConfigFlag) return ReadConfigName(value);
      ASSIGN_OR_RETURN(const Found found, FindFlag(name));
      flag = found.flag;
      negated = found.negated;
    }
    if (flag->kind == FlagKind::kBool) {
      ASSIGN_OR_RETURN(std::string text, BoolText(*flag, value.value_or("true"), negated));
      Add(given, *flag, std::move(text));
      return {};
    }
    return ReadValues(*flag, std::move(value));
  }

  Status ReadConfigName(std::optional<std::string> value) {
    if (!value && at < args.size()) value = args[at++];
    if (!value || value->empty())
      return InvalidArgument("--config: expected a file name", "config");
    config_file = *value;
    return {};
  }

  Status ReadValues(const Flag& flag, std::optional<std::string> value) {
    if (!value) {
      if (at >= args.size() || LooksLikeFlag(args[at]))
        return InvalidArgument(fmt::format("--{}: expected a value", flag.name),
                               std::string(flag.name));
      value = args[at++];
    }
    Add(given, flag, std::move(*value));
    if (flag.kind != FlagKind::kList) return {};
    while (at < args.size() && !LooksLikeFlag(args[at])) Add(given, flag, args[at++]);
    return {};
  }
};

Result<std::string> TomlText(const toml::node& node, std::string_view key) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto boolean = node.value_exact<bool>()) return *boolean ? "true" : "false";
  if (const auto integer = node.value_exact<int64_t>()) return fmt::format("{}", *integer);
  if (const auto real = node.value_exact<double>()) return fmt::format("{}", *real);
  return InvalidArgument(
      fmt::format("{}: expected a string, a number, a boolean or a list of them", key),
      std::string(key));
}

// Adds what the file says for flags that the command line does not have.
Status ReadConfigFile(const std::string& file, GivenFlags& given, std::string& model) {
  toml::table table;
  try {
    table = toml::parse_file(file);
  } catch (const toml::parse_error& error) {
    return InvalidArgument(fmt::format("--config {}: not readable as TOML, line {}: {}", file,
                                       error.source().begin.line, error.description()),
                           "config");
  }
  for (const auto& [toml_key, node] : table) {
    const std::string name = Normalised(toml_key.str());
    const auto flags = ServeFlags();
    const auto flag = std::ranges::find(flags, name, &Flag::name);
    if (flag == flags.end())
      return InvalidArgument(fmt::format("--config {}: unknown key '{}'; did you mean '{}'?", file,
                                         toml_key.str(), Nearest(name)),
                             "config");
    if (name == "model" && !model.empty()) continue;
    if (given.contains(flag->name)) continue;
    const toml::array* list = node.as_array();
    if (list != nullptr && flag->kind != FlagKind::kList)
      return InvalidArgument(fmt::format("--config {}: {} takes one value, got a list", file, name),
                             "config");
    for (size_t i = 0; i < (list != nullptr ? list->size() : 1); ++i) {
      ASSIGN_OR_RETURN(std::string text, TomlText(list != nullptr ? (*list)[i] : node, name));
      if (flag->kind == FlagKind::kBool) {
        ASSIGN_OR_RETURN(text, BoolText(*flag, text, false));
      }
      Add(given, *flag, std::move(text));
    }
  }
  return {};
}

Status Apply(const GivenFlags& given, ParsedServe& parsed) {
  for (const auto& [name, entry] : given) {
    const Flag& flag = *entry.flag;
    if (flag.support == FlagSupport::kNotSupported) {
      if (flag.kind == FlagKind::kBool && entry.values.back() == "false") continue;
      return MakeError(ErrorCode::kUnimplemented,
                       fmt::format("--{} is not supported yet: {}", name, flag.help),
                       std::string(name));
    }
    if (flag.support == FlagSupport::kNoEffect) {
      parsed.warnings.push_back(fmt::format("--{} has no effect here: {}", name, flag.help));
      continue;
    }
    for (const std::string& value : entry.values) {
      if (Status status = flag.set(parsed.options, value); !status)
        return MakeError(status.error().code, fmt::format("--{}: {}", name, status.error().message),
                         std::string(name));
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

Status ReadCacheSecrets(ServeOptions& o, std::vector<std::string>& warnings) {
  if (o.cache_url.empty() && !o.cache_password_file.empty())
    return InvalidArgument("--cache-password-file needs --cache-url", "cache-url");
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
  if (o.admin_api_key_file.empty()) return {};
  RETURN_IF_ERROR(
      ReadSecret("admin-api-key-file", o.admin_api_key_file, "", o.admin_api_keys, warnings));
  if (const auto keys = admin::AdminKeys::Parse(o.admin_api_keys); !keys)
    return InvalidArgument(
        fmt::format("--admin-api-key-file {}: {}", o.admin_api_key_file, keys.error().message),
        "admin-api-key-file");
  return {};
}

Status CheckTogether(const ServeOptions& options) {
  if (options.model.empty())
    return InvalidArgument(
        "no MODEL given: nextgate serve MODEL [flags], a checkpoint directory or a hub id",
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
  ArgReader reader{.args = args};
  RETURN_IF_ERROR(reader.ReadAll());
  ParsedServe parsed;
  parsed.help = reader.help;
  if (parsed.help) return parsed;
  if (reader.positional.size() > 1)
    return InvalidArgument(fmt::format("expected one MODEL, got {}: {}", reader.positional.size(),
                                       fmt::join(reader.positional, " ")),
                           "model");
  std::string model = reader.positional.empty() ? "" : reader.positional.front();
  if (!reader.config_file.empty()) {
    RETURN_IF_ERROR(ReadConfigFile(reader.config_file, reader.given, model));
  }
  RETURN_IF_ERROR(Apply(reader.given, parsed));
  if (!model.empty()) parsed.options.model = model;
  AddKeysOfEnvironment(parsed.options);
  RETURN_IF_ERROR(ReadCacheSecrets(parsed.options, parsed.warnings));
  RETURN_IF_ERROR(ReadAdminKeys(parsed.options, parsed.warnings));
  RETURN_IF_ERROR(CheckTogether(parsed.options));
  return parsed;
}

Result<int64_t> ParseHumanInt(std::string_view text) {
  const auto fail = [&] {
    return InvalidArgument(fmt::format(
        "expected a whole number, or one with k, m, g (thousands) or K, M, G (1,024s), got '{}'",
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
  const double scaled = value * unit;
  if (scaled != std::floor(scaled) || std::abs(scaled) > 9e15) return fail();
  return static_cast<int64_t>(scaled);
}

std::string ServeHelp() {
  std::string text =
      "usage: nextgate serve MODEL [flags]\n\n"
      "MODEL is a checkpoint directory or a hub id such as Qwen/Qwen3-Next-80B-A3B-Instruct.\n"
      "Flags are vLLM's: --flag value or --flag=value, dashes or underscores, unambiguous "
      "prefixes.\n"
      "  --config FILE                the same names in TOML; the command line wins\n"
      "  --help\n";
  std::string_view group;
  for (const Flag& flag : ServeFlags()) {
    if (flag.group != group) text += fmt::format("\n{}\n", group = flag.group);
    const std::string name = fmt::format(
        "--{}{}{}{}", flag.kind == FlagKind::kBool ? "[no-]" : "", flag.name,
        flag.alias.empty() ? "" : fmt::format(", {}", flag.alias),
        flag.kind == FlagKind::kBool ? "" : (flag.kind == FlagKind::kList ? " X [X …]" : " X"));
    const std::string_view prefix = flag.support == FlagSupport::kNoEffect ? "no effect: "
                                    : flag.support == FlagSupport::kNotSupported
                                        ? "not supported yet: "
                                        : "";
    text += fmt::format("  {:<36} {}{}\n", name, prefix, flag.help);
  }
  return text;
}

}  // namespace nextgate::gateway
