// The command line of `nextgate serve`. Every flag of `vllm serve` is one row of one table
// (flag_table.cc): implemented, accepted without effect (one warning line), or refused because
// ignoring it would change results. Taken as vLLM's parser takes them: `--flag value`,
// `--flag=value`, dashes or underscores, unambiguous prefixes, `--no-flag` for booleans, lists as
// `--flag a b`.
// `--config FILE` (TOML) holds the same names; the command line wins; an unknown key is an error.
//
// Threads: pure functions but for reading FILE, the files of secrets and the environment
// (NEXTGATE_API_KEY, VLLM_API_KEY, NEXTGATE_CACHE_SECRET, NEXTGATE_CACHE_PASSWORD,
// NEXTGATE_UPSTREAM_API_KEY).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gateway/serve_options.h"

namespace nextgate::gateway {

enum class FlagKind { kBool, kValue, kList };

enum class FlagSupport {
  kImplemented,
  kNoEffect,      // changes speed or logging only: accepted, one warning line
  kNotSupported,  // would change results: an error that says so
};

struct Flag {
  std::string_view name;   // without dashes in front: "max-model-len"
  std::string_view alias;  // a short form as typed, "-tp", or empty
  std::string_view group;  // heading in --help
  FlagKind kind;
  FlagSupport support;
  std::string_view help;  // implemented: what it does, with unit and default; else why not
  Status (*set)(ServeOptions& options, std::string_view value);  // null unless implemented
};

std::span<const Flag> ServeFlags();

struct ParsedServe {
  ServeOptions options;
  std::vector<std::string> warnings;  // one line per flag without effect
  bool help = false;                  // --help was asked for; options are then incomplete
};

// `args`: what follows `nextgate serve`. Errors name the flag, the value and what is allowed.
Result<ParsedServe> ParseServeFlags(std::span<const std::string> args);

// The text of `nextgate serve --help`, in groups.
std::string ServeHelp();

// "4096", "4k" (4,000), "4K" (4,096), "1.5M" … as vLLM reads --max-model-len.
Result<int64_t> ParseHumanInt(std::string_view text);

}  // namespace nextgate::gateway
