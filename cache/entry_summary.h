// What a listing shows of an entry: no question, no answer.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/hash.h"
#include "cache/answer_store.h"

namespace nextgate::cache {

struct EntrySummary {
  Hash128 id;
  int64_t created_unix_ms = 0;
  int64_t expires_unix_ms = 0;
  int64_t hits = 0;
  int64_t bytes = 0;  // where it lies: in memory, or compressed in Redis
  EntryOrigin origin;
  std::string fingerprint;  // of the model
  std::string scope_id;     // 64 hex digits: whose answer it is, without saying who
  int32_t prompt_tokens = 0;
  int32_t completion_tokens = 0;
  std::vector<std::string> finish_reasons;  // each once, in the order of the choices
};

// `bytes` is what a MemoryStore charges. Texts longer than kLabelBytesMax are cut.
inline constexpr size_t kLabelBytesMax = 300;
EntrySummary Summarise(const Hash128& id, const StoredAnswer& entry);

}  // namespace nextgate::cache
