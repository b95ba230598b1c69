#include "gateway/replay.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace nextgate::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLookAround(200);  // nobody works for a client that left: no haste
// What is due within this time is written together: a write costs more than a token's place in it.
constexpr milliseconds kTogether(5);

// False if the client left.
bool WaitUntil(steady_clock::time_point due, StreamWriter& out) {
  for (;;) {
    const auto now = steady_clock::now();
    if (now >= due) return true;
    if (out.ClientLeft()) return false;
    std::this_thread::sleep_for(std::min<nanoseconds>(due - now, kLookAround));
  }
}

}  // namespace

bool ReplayStream(const cache::Answer& answer, openai::AnswerWriter& writer,
                  const ReplayOptions& options, StreamWriter& out) {
  // As the live stream had it: a choice's end follows its last delta.
  std::vector<size_t> last(answer.choices().size(), SIZE_MAX);
  for (size_t i = 0; i < answer.num_deltas(); ++i)
    last[static_cast<size_t>(answer.delta(i).choice)] = i;
  std::string events = writer.Begin();
  for (size_t c = 0; c < last.size(); ++c)
    if (last[c] == SIZE_MAX) events += writer.Finish(static_cast<int32_t>(c), answer.choices()[c]);
  const auto began = steady_clock::now();
  int64_t tokens = 0;
  for (size_t i = 0; i < answer.num_deltas(); ++i) {
    const cache::AnswerDelta delta = answer.delta(i);
    if (options.tokens_per_s > 0) {
      // The n-th token comes n / tokens_per_s after the beginning, the first at once; a delta with its last.
      tokens += std::max<int64_t>(1, static_cast<int64_t>(delta.token_ids.size()));
      const auto due = began + nanoseconds((tokens - 1) * 1'000'000'000 / options.tokens_per_s);
      if (due > steady_clock::now() + kTogether) {
        if (!events.empty() && !out.Write(events)) return false;
        events.clear();
        if (!WaitUntil(due, out)) return false;
      }
    }
    events += writer.Delta(delta);
    const auto c = static_cast<size_t>(delta.choice);
    if (last[c] == i) events += writer.Finish(delta.choice, answer.choices()[c]);
  }
  if (options.include_usage) events += writer.Usage(answer.usage());
  return out.Write(events += openai::kStreamDone);
}

}  // namespace nextgate::gateway
