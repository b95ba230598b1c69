#include "gateway/upstream/json_members.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace nextgate::gateway {
namespace {

// Walks over JSON text; every step stays within it.
class Walker {
 public:
  explicit Walker(std::string_view text) : text_(text) {}

  bool AtEnd() const { return at_ >= text_.size(); }
  size_t at() const { return at_; }
  void SkipSpace() {
    while (!AtEnd() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool Take(char c) {
    SkipSpace();
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  // A string with its quotes.
  void SkipString() {
    for (++at_; !AtEnd() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') ++at_;
    at_ = std::min(at_ + 1, text_.size());
  }
  void SkipValue() {
    SkipSpace();
    int depth = 0;
    while (!AtEnd()) {
      const char c = text_[at_];
      if (c == '"') {
        SkipString();
      } else if (c == '{' || c == '[') {
        ++depth;
        ++at_;
      } else if (depth > 0 && (c == '}' || c == ']')) {
        --depth;
        ++at_;
      } else if (depth == 0) {  // a number or a word
        const size_t end = text_.find_first_of(",}] \t\r\n", at_);
        at_ = std::min(end, text_.size());
      } else {
        ++at_;
        continue;
      }
      if (depth == 0) return;
    }
  }

 private:
  const std::string_view text_;
  size_t at_ = 0;
};

std::string Decoded(std::string_view quoted) {
  if (quoted.find('\\') == std::string_view::npos && quoted.size() >= 2)
    return std::string(quoted.substr(1, quoted.size() - 2));
  const auto parsed = nlohmann::json::parse(quoted, nullptr, /*allow_exceptions=*/false);
  return parsed.is_string() ? parsed.get<std::string>() : "";
}

}  // namespace

std::vector<JsonMember> MembersOf(std::string_view text) {
  std::vector<JsonMember> members;
  Walker walk(text);
  if (!walk.Take('{')) return members;
  do {
    walk.SkipSpace();
    if (walk.AtEnd() || text[walk.at()] != '"') break;
    JsonMember member{.begin = walk.at()};
    walk.SkipString();
    member.name = Decoded(text.substr(member.begin, walk.at() - member.begin));
    if (!walk.Take(':')) break;
    walk.SkipSpace();
    const size_t value = walk.at();
    walk.SkipValue();
    member.end = walk.at();
    member.value = text.substr(value, member.end - value);
    members.push_back(std::move(member));
  } while (walk.Take(','));
  return members;
}

std::string WithMembers(std::string_view text, std::span<const MemberEdit> edits) {
  const std::vector<JsonMember> members = MembersOf(text);
  std::string out;
  size_t copied = 0;  // of `text`
  size_t kept = 0;    // members
  std::vector<bool> found(edits.size());
  for (size_t i = 0; i < members.size(); ++i) {
    const JsonMember& member = members[i];
    const auto edit = std::ranges::find(edits, member.name, &MemberEdit::name);
    if (edit == edits.end()) {
      ++kept;
      continue;
    }
    found[static_cast<size_t>(edit - edits.begin())] = true;
    if (edit->value) {
      const auto value = static_cast<size_t>(member.value.data() - text.data());
      out += text.substr(copied, value - copied);
      out += *edit->value;
      copied = member.end;
      ++kept;
    } else if (kept > 0) {  // with the comma before it
      out += text.substr(copied, std::max(copied, members[i - 1].end) - copied);
      copied = member.end;
    } else {  // with the comma after it
      out += text.substr(copied, member.begin - copied);
      copied = i + 1 < members.size() ? members[i + 1].begin : member.end;
    }
  }
  const size_t close = text.rfind('}');
  if (close == std::string_view::npos || close < copied) return std::string(text);
  out += text.substr(copied, close - copied);
  for (size_t i = 0; i < edits.size(); ++i) {
    if (found[i] || !edits[i].add || !edits[i].value) continue;
    if (kept++ > 0) out += ',';
    out += nlohmann::json(edits[i].name).dump() + ":" + *edits[i].value;
  }
  return out += text.substr(close);
}

}  // namespace nextgate::gateway
