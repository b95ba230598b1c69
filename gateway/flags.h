// The command line of `nextgate serve`. Every flag of `vllm serve` is one row of one table
// (flag_table.cc: what is implemented; flag_table_vllm.cc: the rest): implemented, accepted without
// effect (one warning line), or refused because ignoring it would change results or break what its
// user relies on; a value that asks for what is done anyway is no error. flag_args.h says in which
// forms they are taken. `--config FILE` (TOML) holds the same names, a table for a JSON object; the
// command line wins; an unknown key is an error.
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
  // Implemented: stores the value. Else null, or only checks what `takes` cannot say.
  Status (*set)(ServeOptions& options, std::string_view value);
  // Without effect: the values that vLLM takes, separated by |: words, or `int` (also 4k, 4K),
  // `number`, `json` (an object; then --name.key value works too). Empty: anything.
  std::string_view takes = {};
  // Not supported: the values that ask for nothing, separated by |, so no error. "None" always is.
  std::string_view neutral = {};
};

// The whole table, in the order of --help.
std::span<const Flag> ServeFlags();

// Its rows without effect or support, for ServeFlags only.
std::span<const Flag> UnimplementedFlags();

bool TakesJson(const Flag& flag);

struct ParsedServe {
  ServeOptions options;
  std::vector<std::string> warnings;  // one line per flag without effect
  bool help = false;                  // --help was asked for; options are then incomplete
};

// `args`: what follows `nextgate serve`. Errors name the flag, the value and what is allowed.
Result<ParsedServe> ParseServeFlags(std::span<const std::string> args);

// The text of `nextgate serve --help`, in groups.
std::string ServeHelp();

// "4096", "4k" (4,000), "4K" (4,096), "1.5m" (1,500,000) … as vLLM reads --max-model-len: a fraction
// goes with the decimal units only.
Result<int64_t> ParseHumanInt(std::string_view text);

}  // namespace nextgate::gateway
