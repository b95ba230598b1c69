#include "cache/entry_summary.h"

#include <algorithm>
#include <string_view>

#include "cache/memory_store.h"

namespace nextgate::cache {
namespace {

constexpr size_t kFinishReasonsMax = 8;
constexpr size_t kFinishReasonBytesMax = 32;

std::string Label(std::string_view text) { return std::string(text.substr(0, kLabelBytesMax)); }

}  // namespace

EntrySummary Summarise(const Hash128& id, const StoredAnswer& entry) {
  const MaterialParts parts = SplitMaterial(entry.material);
  const EntryOrigin& origin = entry.origin;
  EntrySummary summary{.id = id,
                       .created_unix_ms = entry.created_unix_ms,
                       .expires_unix_ms = entry.expires_unix_ms,
                       .hits = entry.hits.value(),
                       .bytes = static_cast<int64_t>(MemoryStore::ChargeBytes(entry)),
                       .origin = {.model = Label(origin.model),
                                  .route = Label(origin.route),
                                  .scope = {.tenant = Label(origin.scope.tenant),
                                            .team = Label(origin.scope.team),
                                            .user = Label(origin.scope.user),
                                            .name_space = Label(origin.scope.name_space)},
                                  .position = origin.position},
                       .fingerprint = Label(parts.fingerprint),
                       .scope_id = std::string(parts.scope_id),
                       .prompt_tokens = entry.answer->usage().prompt_tokens,
                       .completion_tokens = entry.answer->usage().completion_tokens};
  for (const AnswerChoice& choice : entry.answer->choices()) {
    std::string reason = choice.finish_reason.substr(0, kFinishReasonBytesMax);
    auto& reasons = summary.finish_reasons;
    if (reasons.size() < kFinishReasonsMax && std::ranges::find(reasons, reason) == reasons.end())
      reasons.push_back(std::move(reason));
  }
  return summary;
}

}  // namespace nextgate::cache
