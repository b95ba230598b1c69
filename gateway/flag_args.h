// Reads a command line into flags and their values, as vLLM's parser does: `--flag value`,
// `--flag=value`, dashes or underscores, unambiguous prefixes, `--no-flag` for booleans, lists as
// `--flag a b`, short forms (`-tp 2`, `-q=fp8`, `-O3`), and one key of a JSON flag at a time:
// `--hf-overrides.rope_theta 5`, `-cc.mode=3`, `--json-flag.key+ a,b` for elements of a list.
// What the values mean is decided elsewhere (flags.cc).
//
// Threads: pure functions.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gateway/flags.h"

namespace nextgate::gateway {

// What was given for one flag, in the order it came. Booleans carry "true" or "false"; for all but
// lists the last one counts, as in argparse.
struct GivenFlag {
  const Flag* flag = nullptr;
  std::vector<std::string> values;
  std::string config_file;  // where they were read; empty: the command line
};
using GivenFlags = std::map<std::string_view, GivenFlag>;

struct CommandLine {
  GivenFlags given;
  std::vector<std::string> positional;
  std::string config_file;  // --config FILE
  bool help = false;
};

// Errors: an unknown flag (suggests one that is near), a prefix of several (lists them), a value that is
// missing.
Result<CommandLine> ReadCommandLine(std::span<const std::string> args);

void AddValue(GivenFlags& given, const Flag& flag, std::string value);

// "true", "True", "1" and their opposites to "true" or "false".
Result<std::string> BoolText(const Flag& flag, std::string_view text, bool negated);

// Underscores become dashes.
std::string NormalisedFlag(std::string_view typed);

// The name in the table with the fewest edits to `name`; nothing if these are too many for a slip: more than
// three, or than one in three letters.
std::optional<std::string> NearFlag(std::string_view name);

}  // namespace nextgate::gateway
