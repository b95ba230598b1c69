#include "gateway/flag_args.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace nextgate::gateway {
namespace {

using Json = nlohmann::ordered_json;

// The two flags that are about reading flags; they count among the prefixes as all others do.
constexpr Flag kConfig = {"config", "",     "", FlagKind::kValue, FlagSupport::kImplemented,
                          "",       nullptr};
constexpr Flag kHelp = {"help", "-h", "", FlagKind::kBool, FlagSupport::kImplemented, "", nullptr};

std::vector<const Flag*> AllFlags() {
  std::vector<const Flag*> all = {&kConfig, &kHelp};
  for (const Flag& flag : ServeFlags()) all.push_back(&flag);
  return all;
}

// Letters that are inserted, dropped, replaced or swapped with their neighbour.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1), above, above_it;
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    above_it = std::exchange(above, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = above[j - 1] + (a[i - 1] != b[j - 1]);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, substituted});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], above_it[j - 2] + 1);
    }
  }
  return row[b.size()];
}

// A flag as it was typed, resolved.
struct Found {
  const Flag* flag = nullptr;
  bool negated = false;                 // --no-x
  std::optional<std::string> attached;  // the 3 of -O3
};

// The only candidate, or an error that says what there was.
Result<Found> Only(std::vector<Found> candidates, const std::string& typed, bool by_alias) {
  if (candidates.size() == 1) return std::move(candidates.front());
  if (candidates.empty()) {
    const auto near = by_alias ? std::nullopt : NearFlag(typed.substr(2));
    const std::string hint = near ? fmt::format("did you mean --{}?", *near) : "see --help";
    return InvalidArgument(fmt::format("unknown flag {}; {}", typed, hint), typed);
  }
  std::vector<std::string> names;
  for (const Found& found : candidates)
    names.push_back(by_alias ? fmt::format("{} (--{})", found.flag->alias, found.flag->name)
                             : fmt::format("--{}{}", found.negated ? "no-" : "", found.flag->name));
  return InvalidArgument(
      fmt::format("{} is ambiguous: it could be {}", typed, fmt::join(names, ", ")), typed);
}

// The flag called `name`, or the only one that begins with it; prefixes count --no- forms too.
Result<Found> FindLong(const std::string& name) {
  std::vector<Found> candidates;
  for (const Flag* flag : AllFlags()) {
    const std::string negative = fmt::format("no-{}", flag->name);
    if (flag->name == name) return Found{.flag = flag};
    const bool has_negative = flag->kind == FlagKind::kBool && flag != &kHelp;
    if (has_negative && negative == name) return Found{.flag = flag, .negated = true};
    if (flag->name.starts_with(name)) candidates.push_back({.flag = flag});
    if (has_negative && negative.starts_with(name))
      candidates.push_back({.flag = flag, .negated = true});
  }
  return Only(std::move(candidates), "--" + name, /*by_alias=*/false);
}

// `-tp`, a prefix of one short form only, or a form of one letter with its value behind: `-O3`.
Result<Found> FindShort(const std::string& typed) {
  std::vector<Found> candidates;
  for (const Flag* flag : AllFlags()) {
    if (flag->alias.empty()) continue;
    if (flag->alias == typed) return Found{.flag = flag};
    if (flag->alias.starts_with(typed)) candidates.push_back({.flag = flag});
    if (flag->alias.size() == 2 && flag->kind != FlagKind::kBool && typed.starts_with(flag->alias))
      candidates.push_back({.flag = flag, .attached = typed.substr(2)});
  }
  return Only(std::move(candidates), typed, /*by_alias=*/true);
}

// Numbers below zero are values.
bool LooksLikeFlag(std::string_view arg) {
  return arg.size() > 1 && arg[0] == '-' && !(arg[1] >= '0' && arg[1] <= '9') && arg[1] != '.';
}

// A value of a dotted form: JSON, a number such as 80g, or else text; with `+` a list of texts.
Json DottedValue(const std::string& text, bool list) {
  if (list) {
    Json elements = Json::array();
    size_t begin = 0;
    for (size_t comma = text.find(','); comma != std::string::npos; comma = text.find(',', begin)) {
      elements.push_back(text.substr(begin, comma - begin));
      begin = comma + 1;
    }
    elements.push_back(text.substr(begin));
    return elements;
  }
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_discarded()) return value;
  if (const auto number = ParseHumanInt(text)) return *number;
  return text;
}

// Objects are merged, lists grow, anything else is replaced.
void MergeInto(Json& target, const Json& update) {
  for (const auto& [key, value] : update.items()) {
    const auto at = target.find(key);
    if (at != target.end() && at->is_object() && value.is_object()) {
      MergeInto(*at, value);
    } else if (at != target.end() && at->is_array() && value.is_array()) {
      at->insert(at->end(), value.begin(), value.end());
    } else {
      target[key] = value;
    }
  }
}

struct ArgReader {
  std::span<const std::string> args;
  size_t at = 0;
  CommandLine line;
  std::map<const Flag*, Json> dotted;  // what --flag.key value gave

  Status ReadAll() {
    bool only_positional = false;
    while (at < args.size()) {
      const std::string& arg = args[at++];
      if (only_positional || !LooksLikeFlag(arg)) {
        line.positional.push_back(arg);
      } else if (arg == "--") {
        only_positional = true;
      } else {
        RETURN_IF_ERROR(ReadFlag(arg));
      }
    }
    return AddDotted();
  }

  Status ReadFlag(const std::string& arg) {
    const size_t equals = arg.find('=');
    const std::string typed = arg.substr(0, equals);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = arg.substr(equals + 1);
    const size_t dot = typed.find('.');
    const std::string flag_text = typed.substr(0, dot);
    ASSIGN_OR_RETURN(Found found, flag_text.starts_with("--")
                                      ? FindLong(NormalisedFlag(flag_text.substr(2)))
                                      : FindShort(flag_text));
    if (found.attached) {
      if (value) return InvalidArgument(fmt::format("unknown flag {}; see --help", typed), typed);
      value = std::move(found.attached);
    }
    if (found.flag == &kHelp) {
      line.help = true;
      return {};
    }
    if (dot != std::string::npos)
      return ReadDotted(*found.flag, typed.substr(dot + 1), std::move(value));
    if (found.flag->kind == FlagKind::kBool) {
      ASSIGN_OR_RETURN(std::string text,
                       BoolText(*found.flag, value.value_or("true"), found.negated));
      AddValue(line.given, *found.flag, std::move(text));
      return {};
    }
    ASSIGN_OR_RETURN(std::string text, ReadValue(*found.flag, std::move(value)));
    if (found.flag == &kConfig) {
      line.config_file = std::move(text);
      return {};
    }
    AddValue(line.given, *found.flag, std::move(text));
    if (found.flag->kind != FlagKind::kList) return {};
    while (at < args.size() && !LooksLikeFlag(args[at]))
      AddValue(line.given, *found.flag, args[at++]);
    return {};
  }

  Result<std::string> ReadValue(const Flag& flag, std::optional<std::string> value) {
    if (!value && at < args.size() && !LooksLikeFlag(args[at])) value = args[at++];
    if (!value || (&flag == &kConfig && value->empty()))
      return InvalidArgument(
          fmt::format("--{}: expected a {}", flag.name, &flag == &kConfig ? "file name" : "value"),
          std::string(flag.name));
    return std::move(*value);
  }

  Status ReadDotted(const Flag& flag, std::string keys, std::optional<std::string> value) {
    if (!TakesJson(flag))
      return InvalidArgument(
          fmt::format("--{}.{}: --{} takes no JSON object", flag.name, keys, flag.name),
          std::string(flag.name));
    ASSIGN_OR_RETURN(const std::string text, ReadValue(flag, std::move(value)));
    const bool list = keys.ends_with('+');
    if (list) keys.pop_back();
    Json nested = DottedValue(text, list);
    for (size_t end = keys.size();;) {
      const size_t dot = end == 0 ? std::string::npos : keys.rfind('.', end - 1);
      const size_t begin = dot == std::string::npos ? 0 : dot + 1;
      if (begin == end)
        return InvalidArgument(fmt::format("--{}.{}: an empty key", flag.name, keys),
                               std::string(flag.name));
      Json outer = Json::object();
      outer[keys.substr(begin, end - begin)] = std::move(nested);
      nested = std::move(outer);
      if (dot == std::string::npos) break;
      end = dot;
    }
    Json& target = dotted.emplace(&flag, Json::object()).first->second;
    MergeInto(target, nested);
    return {};
  }

  // Dotted keys go over what the same flag was given as a whole.
  Status AddDotted() {
    for (const auto& [flag, keys] : dotted) {
      Json whole = Json::object();
      if (const auto at_whole = line.given.find(flag->name); at_whole != line.given.end())
        whole = Json::parse(at_whole->second.values.back(), nullptr, /*allow_exceptions=*/false);
      if (!whole.is_object())
        return InvalidArgument(fmt::format("--{}: expected a JSON object, got '{}'", flag->name,
                                           line.given[flag->name].values.back()),
                               std::string(flag->name));
      MergeInto(whole, keys);
      AddValue(line.given, *flag,
               whole.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace));
    }
    return {};
  }
};

}  // namespace

std::string NormalisedFlag(std::string_view typed) {
  std::string name(typed);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::optional<std::string> NearFlag(std::string_view name) {
  constexpr size_t kTypedMax = 64;  // nobody's slip is longer than the longest flag
  constexpr size_t kEditsMax = 3;
  name = name.substr(0, kTypedMax);
  const auto edits = [&](const Flag& flag) { return EditDistance(name, flag.name); };
  const auto flags = ServeFlags();
  const auto best = std::ranges::min_element(flags, {}, edits);
  if (edits(*best) > std::min(kEditsMax, name.size() / 3)) return std::nullopt;
  return std::string(best->name);
}

void AddValue(GivenFlags& given, const Flag& flag, std::string value) {
  GivenFlag& entry = given[flag.name];
  entry.flag = &flag;
  if (flag.kind != FlagKind::kList) entry.values.clear();
  entry.values.push_back(std::move(value));
}

Result<std::string> BoolText(const Flag& flag, std::string_view text, bool negated) {
  const bool is_true = text == "true" || text == "True" || text == "1";
  if (!is_true && text != "false" && text != "False" && text != "0")
    return InvalidArgument(fmt::format("--{}: expected true or false, got '{}'", flag.name, text),
                           std::string(flag.name));
  return is_true != negated ? "true" : "false";
}

Result<CommandLine> ReadCommandLine(std::span<const std::string> args) {
  ArgReader reader{.args = args};
  RETURN_IF_ERROR(reader.ReadAll());
  return std::move(reader.line);
}

}  // namespace nextgate::gateway
