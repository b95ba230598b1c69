// nextgate: `nextgate serve MODEL [flags]`, `nextgate serve --upstream URL [flags]`, `nextgate admin COMMAND`.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "gateway/admin/cli.h"
#include "gateway/app.h"
#include "gateway/flags.h"

namespace {

using nextgate::LogLevel;

constexpr std::string_view kUsage =
    "usage: nextgate serve MODEL [flags]   serve a model behind an OpenAI-compatible endpoint\n"
    "       nextgate serve --upstream URL [flags]   the same over another server's answers\n"
    "       nextgate serve --help          every flag\n"
    "       nextgate admin COMMAND         look into a running server, change what it keeps\n"
    "       nextgate admin --help          every command\n"
    "       nextgate --version\n";

constexpr int kUsageError = 2;

LogLevel LevelOf(std::string_view name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

int Serve(std::span<const std::string> args) {
  const auto parsed = nextgate::gateway::ParseServeFlags(args);
  if (!parsed) {
    fmt::print(stderr, "nextgate serve: {}\n", parsed.error().message);
    return kUsageError;
  }
  if (parsed->help) {
    fmt::print("{}", nextgate::gateway::ServeHelp());
    return 0;
  }
  nextgate::SetLogLevel(LevelOf(parsed->options.log_level));
  for (const std::string& warning : parsed->warnings) nextgate::LogWarning("{}", warning);
  try {
    return nextgate::gateway::RunServe(parsed->options, {args.begin(), args.end()});
  } catch (const std::exception& error) {  // ours are Results: a library's, or memory that is out
    nextgate::LogError("stopped by an unexpected error: {}", error.what());
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const std::string command = args.empty() ? "" : args[0];
  if (command == "serve") return Serve(std::span(args).subspan(1));
  if (command == "admin") return nextgate::gateway::admin::RunAdmin(std::span(args).subspan(1));
  if (command == "--version") {
    fmt::print("nextgate {}\n", NEXTGATE_VERSION);
    return 0;
  }
  if (command == "--help" || command == "-h") {
    fmt::print("{}", kUsage);
    return 0;
  }
  if (!command.empty())
    fmt::print(stderr, "nextgate: unknown command '{}'; there are: serve, admin\n", command);
  fmt::print(stderr, "{}", kUsage);
  return kUsageError;
}
