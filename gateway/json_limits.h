// Looks over JSON from outside before it is parsed, in a time that is linear in its length: how deep it is
// nested (what goes through JSON calls itself for each level) and how many members its objects have (an
// ordered object looks through all of them to find one).
//
// nlohmann's parser could be asked to do this with a callback, but then it looks through the whole of a list
// after each object in it: half a million objects in one list, 1.5 MB, would keep it busy for minutes.
//
// A NUL byte is no JSON, though nlohmann's parser takes it for the end of the text: what comes behind it would be
// read by others.
//
// Threads: pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace nextgate::gateway {

inline constexpr size_t kJsonMembersMax = 4096;  // of one object, repeated names included

enum class JsonFault {
  kNone,
  kNotJson,
  kTooDeep,  // more than `depth_max` lists and objects within one another
  kTooWide,  // more than kJsonMembersMax members in an object, or very many such objects
};

// kNone: valid JSON within the limits. What is wrong beyond them is not looked at. `names`: how many members all
// objects have together, repeated names included.
JsonFault LookOverJson(std::string_view text, size_t depth_max, size_t* names = nullptr);

}  // namespace nextgate::gateway
