// The top-level members of a JSON object as they stand in its text, so that some of them can be
// changed while every other byte stays as it was written.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nextgate::gateway {

struct JsonMember {
  std::string name;        // decoded
  std::string_view value;  // as written, without the spaces around it
  size_t begin = 0;        // of the name's quote
  size_t end = 0;          // of the value
};

// In their order, repeated names included; empty for what is no object. REQUIRES: valid JSON; for
// anything else the result is some list, and nothing is read beyond `text`.
std::vector<JsonMember> MembersOf(std::string_view text);

struct MemberEdit {
  std::string_view name;
  std::optional<std::string> value;  // JSON; nothing: the member is removed
  bool add = true;                   // adds it, at the end, if it is not there
};

// `text` with the edits done. REQUIRES: as MembersOf.
std::string WithMembers(std::string_view text, std::span<const MemberEdit> edits);

}  // namespace nextgate::gateway
