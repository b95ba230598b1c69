// Markers of what is worth keeping, `"cache_control": {"type": "ephemeral"}` on messages and their parts: they
// change no answer, so the answer cache does not compare them, nor does a chat template see them.
//
// Threads: pure functions.
#pragma once

namespace nextgate::gateway::openai {

// What a marker may be; null is none. A `ttl` is taken and means nothing, nor do other members.
template <class J>
bool IsMarker(const J& value) {
  if (value.is_null()) return true;
  if (!value.is_object()) return false;
  const auto type = value.find("type");
  const auto ttl = value.find("ttl");
  return type != value.end() && *type == "ephemeral" &&
         (ttl == value.end() || ttl->is_null() || ttl->is_string());
}

// Of what a request has as `messages`, whatever that is; what is no marker stays.
template <class J>
void EraseMarkers(J& messages) {
  const auto erase = [](J& object) {
    if (!object.is_object()) return;
    const auto found = object.find("cache_control");
    if (found != object.end() && IsMarker(*found)) object.erase(found);
  };
  if (!messages.is_array()) return;
  for (J& message : messages) {
    erase(message);
    if (!message.is_object()) continue;
    const auto content = message.find("content");
    if (content == message.end() || !content->is_array()) continue;
    for (J& part : *content) erase(part);
  }
}

}  // namespace nextgate::gateway::openai
