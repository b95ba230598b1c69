// One logger, key=value text on stderr (spdlog behind it). Callers format with fmt. No prompt text,
// no secret is ever passed here; the step loop is silent.
//
// Threads: all functions may be called from any thread; lines are never interleaved.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace nextgate {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

// Sets the lowest level that is printed (default kInfo).
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);
void LogMessage(LogLevel level, std::string_view message);

template <class... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kDebug))
    LogMessage(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kInfo))
    LogMessage(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kWarning))
    LogMessage(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kError))
    LogMessage(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace nextgate
