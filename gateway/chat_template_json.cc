// json.dumps for the Jinja engine's values.
#include <algorithm>
#include <cstdio>

#include "gateway/chat_template_builtins.h"
#include "gateway/chat_template_text.h"

namespace nextgate::gateway {
namespace {

// Input is at most kMaxChatDepth deep; a template may nest it a little further. More is a template
// that built a cycle.
constexpr int kMaxDepth = 200;

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void Write(const jinja::value& value, int level) {
    using namespace jinja;
    if (level > kMaxDepth) throw std::runtime_error("tojson: nested too deeply");
    if (value->is_none()) {
      Literal("null");
    } else if (is_val<value_bool>(value)) {
      Literal(value->as_bool() ? "true" : "false");
    } else if (is_val<value_int>(value)) {
      Literal(std::to_string(value->as_int()));
    } else if (is_val<value_float>(value)) {
      Literal(PythonFloat(value->as_float()));
    } else if (is_val<value_string>(value)) {
      Text(value->val_str);
    } else if (is_val<value_array>(value)) {
      const auto& items = value->as_array();
      Sequence('[', ']', items.size(), level, [&](size_t i) { Write(items[i], level + 1); });
    } else if (is_val<value_object>(value)) {
      Object(value, level);
    } else {
      throw std::runtime_error("tojson: a value of type " + value->type() +
                               " is not JSON serializable");
    }
  }

  jinja::string Take() { return std::move(out_); }

 private:
  void Literal(std::string_view text) { AppendMarked(out_, text, kTemplateMark); }

  template <class Item>
  void Sequence(char open, char close, size_t count, int level, const Item& item) {
    Literal({&open, 1});
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) Literal(style_.item_separator);
      NewLine(level + 1);
      item(i);
    }
    if (count > 0) NewLine(level);
    Literal({&close, 1});
  }

  void Object(const jinja::value& value, int level) {
    auto members = value->as_ordered_object();
    if (style_.sort_keys)
      std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
        return a.first->as_string().str() < b.first->as_string().str();
      });
    Sequence('{', '}', members.size(), level, [&](size_t i) {
      Key(members[i].first);
      Literal(style_.key_separator);
      Write(members[i].second, level + 1);
    });
  }

  void Key(const jinja::value& key) {  // as json.dumps turns other keys into strings
    if (jinja::is_val<jinja::value_string>(key)) return Text(key->val_str);
    Literal("\"");
    Write(key, 0);
    Literal("\"");
  }

  void NewLine(int level) {
    if (style_.indent < 0) return;
    Literal("\n" + std::string(static_cast<size_t>(level * style_.indent), ' '));
  }

  void Text(const jinja::string& text) {
    Literal("\"");
    for (const auto& part : text.parts) AppendMarked(out_, Escape(part.val), part.is_input);
    Literal("\"");
  }

  std::string Escape(std::string_view text) const {
    std::string out;
    out.reserve(text.size() + 8);
    for (size_t i = 0; i < text.size();) {
      const auto c = static_cast<unsigned char>(text[i]);
      if (c >= 0x80 && style_.ensure_ascii) {
        i += EscapeCodePoint(out, text, i);
        continue;
      }
      ++i;
      switch (c) {
        case '"':
          out += "\\\"";
          break;
        case '\\':
          out += "\\\\";
          break;
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\t':
          out += "\\t";
          break;
        case '\f':
          out += "\\f";
          break;
        case '\b':
          out += "\\b";
          break;
        default:
          if (c < 0x20 || (c == 0x7F && style_.ensure_ascii))
            EscapeUnit(out, c);
          else
            out += static_cast<char>(c);
      }
    }
    return out;
  }

  static void EscapeUnit(std::string& out, unsigned unit) {
    char buffer[8];
    std::snprintf(buffer, sizeof buffer, "\\u%04x", unit & 0xFFFFu);
    out += buffer;
  }

  static size_t EscapeCodePoint(std::string& out, std::string_view text, size_t at) {
    const size_t length = CodePointLength(text, at);
    unsigned c = static_cast<unsigned char>(text[at]);
    if (length > 1) c &= 0xFFu >> (length + 1);
    for (size_t i = 1; i < length; ++i)
      c = (c << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3F);
    if (c >= 0x10000) {
      EscapeUnit(out, 0xD800 + ((c - 0x10000) >> 10));
      c = 0xDC00 + ((c - 0x10000) & 0x3FF);
    }
    EscapeUnit(out, c);
    return length;
  }

  const JsonStyle& style_;
  jinja::string out_;
};

}  // namespace

jinja::string ToJson(const jinja::value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.Write(value, 0);
  return writer.Take();
}

}  // namespace nextgate::gateway
