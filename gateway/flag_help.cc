// `nextgate serve --help`: what is implemented flag by flag, the rest as lists of names by reason.
#include <fmt/format.h>

#include <map>
#include <vector>

#include "gateway/flags.h"

namespace nextgate::gateway {
namespace {

constexpr size_t kColumns = 100;

std::string Signature(const Flag& flag) {
  return fmt::format(
      "--{}{}{}{}", flag.kind == FlagKind::kBool ? "[no-]" : "", flag.name,
      flag.alias.empty() ? "" : fmt::format(", {}", flag.alias),
      flag.kind == FlagKind::kBool ? "" : (flag.kind == FlagKind::kList ? " X [X …]" : " X"));
}

// The reasons of one kind of support in the order of the table, each with its flags' names.
std::vector<std::pair<std::string_view, std::vector<std::string>>> ByReason(FlagSupport support) {
  std::vector<std::pair<std::string_view, std::vector<std::string>>> reasons;
  std::map<std::string_view, size_t> place;
  for (const Flag& flag : ServeFlags()) {
    if (flag.support != support) continue;
    const auto [at, is_new] = place.emplace(flag.help, reasons.size());
    if (is_new) reasons.push_back({flag.help, {}});
    reasons[at->second].second.push_back(fmt::format(
        "--{}{}", flag.name, flag.alias.empty() ? "" : fmt::format(" ({})", flag.alias)));
  }
  return reasons;
}

std::string Compact(FlagSupport support) {
  std::string text;
  for (const auto& [reason, names] : ByReason(support)) {
    text += fmt::format("  {}:\n", reason);
    std::string line = "   ";
    for (const std::string& name : names) {
      if (line.size() + 1 + name.size() > kColumns) {
        text += line + "\n";
        line = "   ";
      }
      line += " " + name;
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace

std::string ServeHelp() {
  std::string text =
      "usage: nextgate serve MODEL [flags]\n\n"
      "MODEL is a checkpoint directory or a hub id such as Qwen/Qwen3-Next-80B-A3B-Instruct.\n"
      "Flags are vLLM's: --flag value or --flag=value, dashes or underscores, unambiguous "
      "prefixes;\n"
      "one key of a JSON flag at a time: --hf-overrides.rope_theta 5 (--flag.key+ a,b adds to a "
      "list).\n"
      "  --config FILE                the same names in TOML; the command line wins\n"
      "  --help\n";
  std::string_view group;
  for (const Flag& flag : ServeFlags()) {
    if (flag.support != FlagSupport::kImplemented) continue;
    if (flag.group != group) text += fmt::format("\n{}\n", group = flag.group);
    text += fmt::format("  {:<36} {}\n", Signature(flag), flag.help);
  }
  text += "\nvLLM flags that have no effect here (accepted with a warning)\n";
  text += Compact(FlagSupport::kNoEffect);
  text +=
      "\nvLLM flags that are not supported yet (an error, unless the value asks for what is done "
      "anyway)\n";
  text += Compact(FlagSupport::kNotSupported);
  return text;
}

}  // namespace nextgate::gateway
