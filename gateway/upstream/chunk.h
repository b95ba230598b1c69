// A chunk of an upstream's stream (chat.completion.chunk or text_completion), as far as this server looks
// into it.
//
// Threads: pure.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace nextgate::gateway {

// An object nested as a client may handle; else a discarded value.
nlohmann::json ParseObject(std::string_view text);

// The text of a choice, of a chunk's or a body's.
std::string TextOf(const nlohmann::json& choice);

// What a chunk adds beside its text.
struct ChunkFacts {
  bool is_chunk = false;     // it has a list of choices
  bool has_choices = false;  // and they are some; else it is the chunk with the usage
  bool only_text = false;    // one choice, and no tool calls or reasoning
  size_t tokens = 0;         // that its choice lists, as token_ids or in logprobs; 0: it lists none
};
ChunkFacts FactsOf(std::string_view chunk);

// The chunk without the first `text_bytes` of its choice's text and without the first `tokens` that it
// lists. Nothing if it has several choices, or anything else that would be said twice (tool calls,
// reasoning).
std::optional<std::string> WithoutBeginning(std::string_view chunk, size_t text_bytes,
                                            size_t tokens);

}  // namespace nextgate::gateway
