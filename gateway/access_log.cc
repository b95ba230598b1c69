#include "gateway/access_log.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"

namespace nextgate::gateway {

void WriteAccessLine(const RequestRecord& record, const Clock& clock, LogLevel level) {
  if (!LogEnabled(level)) return;
  const auto ms_since_begin = [&](int64_t ns) {
    return static_cast<double>(ns - record.began_ns) / 1e6;
  };
  const double total_ms = ms_since_begin(clock.MonotonicNs());
  std::string line =
      fmt::format("req={} route={} status={}", record.id, record.route, record.status);
  if (!record.key.empty()) line += fmt::format(" key={}", record.key);
  if (!record.path.empty()) line += fmt::format(" path={}", record.path);
  if (!record.cache.empty()) line += fmt::format(" cache={}", record.cache);
  if (record.prompt_tokens > 0)
    line += fmt::format(" prompt={} reused={} out={} finish={}", record.prompt_tokens,
                        record.cached_tokens, record.completion_tokens, record.finish_reason);
  if (record.first_token_ns > 0) {
    const double first_ms = ms_since_begin(record.first_token_ns);
    line += fmt::format(" ttft_ms={:.1f}", first_ms);
    if (record.completion_tokens > 1)
      line +=
          fmt::format(" tpot_ms={:.2f}", (total_ms - first_ms) / (record.completion_tokens - 1));
  }
  LogMessage(level, fmt::format("{} total_ms={:.1f}", line, total_ms));
}

std::string RandomId() {
  uint64_t random[2] = {};
  CHECK(getrandom(random, sizeof random, 0) == sizeof random);  // whole up to 256 bytes
  return fmt::format("{:016x}{:016x}", random[0], random[1]);
}

std::string RequestIdFrom(std::string_view given) {
  const bool sane = !given.empty() && given.size() <= 128 && std::ranges::all_of(given, [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\';
  });
  return sane ? std::string(given) : RandomId();
}

}  // namespace nextgate::gateway
