// The token ids of our own answers, by their text. When an answer comes back as a message of the next
// turn, its text encodes in one way and was generated in any: only with the ids that were sampled is the
// prompt, token for token, what was computed before, so that it can be resumed to its end.
//
// Kept in memory and bounded: the least recently used go first. Neither texts nor scopes are kept, only
// hashes of both. Nothing is believed either: Find decodes the ids and gives those only that say the
// text which was asked for, so a collision, an answer that was cut, or one whose ids were not all known
// costs an encoding and never a wrong prompt. What it gives has no special token in it, whatever was
// generated: text that a client sends must not open messages.
//
// Threads: all methods may be called from any thread. The tokenizer outlives it; all ids are its.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "engine/tokenizer/tokenizer.h"

namespace nextgate::gateway {

class AnswerIds {
 public:
  static constexpr size_t kBytesMax = 16u << 20;

  explicit AnswerIds(const engine::Tokenizer& tokenizer, size_t bytes_max = kBytesMax)
      : tokenizer_(tokenizer), bytes_max_(bytes_max) {}

  // `text` was generated as `ids`, which may go on after it (a stop string, the end of the turn). Of
  // equal texts in one `scope` the newest counts; those of other scopes do not exist for it.
  void Remember(std::string_view scope, std::string_view text, std::span<const int32_t> ids);

  // The ids of the first `bytes` bytes of `text`, if it was remembered: of all of it, or of what whole
  // tokens say of it. Never empty.
  struct Known {
    std::vector<int32_t> ids;
    size_t bytes = 0;
  };
  std::optional<Known> Find(std::string_view scope, std::string_view text);

  size_t size() const;
  size_t bytes() const;  // as counted against bytes_max

 private:
  using Ids = std::shared_ptr<const std::vector<int32_t>>;
  struct Entry {
    Hash128 key;
    Ids ids;
  };
  static size_t SizeOf(const Entry& entry);

  const engine::Tokenizer& tokenizer_;
  const size_t bytes_max_;
  mutable std::mutex mutex_;  // guards all below
  std::list<Entry> entries_;  // the most recently used first
  std::unordered_map<Hash128, std::list<Entry>::iterator> by_key_;
  size_t bytes_ = 0;
};

// The longest beginning of `ids` that says, without special tokens, a beginning of `text`; nothing if
// that is empty.
std::optional<AnswerIds::Known> SaysBeginningOf(std::string_view text, std::span<const int32_t> ids,
                                                const engine::Tokenizer& tokenizer);

}  // namespace nextgate::gateway
