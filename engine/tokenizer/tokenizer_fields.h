// What every reader of a tokenizer.json needs: fields that may be missing, refusals that name the
// field and show its value, added tokens, the vocabulary.
//
// Threads: pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/vocabulary.h"

namespace nextgate::engine {

// kUnimplemented: the file is in order, and asks for what is not supported.
std::unexpected<Error> Unsupported(std::string message);

// A value as JSON, cut after 200 bytes.
std::string Dump(const nlohmann::json& value);

// object[name], or null where there is no such field (or no object).
const nlohmann::json& Field(const nlohmann::json& object, std::string_view name);

// kUnimplemented unless object[name] is one of `wanted` (null: it may be missing); `path` is what
// the message calls the object.
Status ExpectOneOf(const nlohmann::json& object, std::string_view path, std::string_view name,
                   const std::vector<nlohmann::json>& wanted);

// The list "added_tokens" (null: none). rstrip and single_word are not supported.
Result<std::vector<AddedToken>> ReadAddedTokens(const nlohmann::json& list);

// The model's vocabulary and the added tokens. One of these may be in the former too, then with the
// same id.
Result<Vocabulary> BuildVocabulary(std::vector<Vocabulary::Entry> entries,
                                   const std::vector<AddedToken>& added);

}  // namespace nextgate::engine
