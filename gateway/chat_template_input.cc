#include "gateway/chat_template_input.h"

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "gateway/chat_template_text.h"

namespace nextgate::gateway {
namespace {

using Json = nlohmann::ordered_json;
using jinja::mk_val;
using jinja::value;

// The engine's object hash has no secret, so a stranger's keys may be chosen to collide: bounded, a
// lookup stays bounded.
constexpr size_t kMaxMembers = 4096;
constexpr const char* kReasoningFields[] = {"reasoning_content", "thinking", "reasoning"};

value MarkedText(const std::string& text, int mark) {
  auto out = mk_val<jinja::value_string>(text);
  out->val_str.parts[0].is_input = mark;
  return out;
}

bool ShapeIsSane(const Json& json, int depth) {
  if (!json.is_structured()) return true;
  if (depth == kMaxChatDepth) return false;
  if (json.is_object() && json.size() > kMaxMembers) return false;
  for (const auto& item : json)
    if (!ShapeIsSane(item, depth + 1)) return false;
  return true;
}

// The text of one content part, as vLLM reads them: {"type": "text", "text": …}, or a bare string.
Result<std::string> PartText(const Json& part, const std::string& param) {
  if (part.is_string()) return part.get<std::string>();
  if (!part.is_object() || !part.contains("type") || !part["type"].is_string())
    return InvalidArgument(fmt::format("{}: expected {{\"type\": \"text\", \"text\": …}}", param),
                           param);
  const auto type = part["type"].get<std::string>();
  const bool refusal = type == "refusal";
  if (!refusal && type != "text" && type != "input_text" && type != "output_text")
    return InvalidArgument(
        fmt::format("{}: content of type '{}' is not supported; this model reads text", param,
                    type),
        param);
  const auto text = part.find(refusal ? "refusal" : "text");
  if (text == part.end() || !text->is_string())
    return InvalidArgument(
        fmt::format("{}: '{}' must be a string", param, refusal ? "refusal" : "text"),
        param + (refusal ? ".refusal" : ".text"));
  return text->get<std::string>();
}

// Builds one message. `tag` is appended to its text (continue_final_message).
class MessageBuilder {
 public:
  MessageBuilder(const Json& message, size_t index, const TemplateReads& reads, const char* tag)
      : message_(message),
        where_(fmt::format("messages[{}]", index)),
        mark_(kFirstMessageMark + static_cast<int>(index)),
        reads_(reads),
        tag_(tag) {}

  Result<value> Build() {
    if (!message_.is_object()) return InvalidArgument(where_ + ": must be an object", where_);
    const auto role = message_.find("role");
    if (role == message_.end() || !role->is_string())
      return InvalidArgument(where_ + ".role: must be a string", where_ + ".role");
    const Json* reasoning = nullptr;
    for (const char* name : kReasoningFields) {
      const auto field = message_.find(name);
      if (reasoning == nullptr && field != message_.end() && !field->is_null()) reasoning = &*field;
    }
    auto out = mk_val<jinja::value_object>();
    if (reasoning != nullptr) out->insert("thinking", FromJson(*reasoning, mark_));
    for (const auto& [key, field] : message_.items()) {
      if (key == "content") continue;
      if (key == "role" && field == "developer" && !reads_.developers) {
        out->insert("role", MarkedText("system", mark_));
        continue;
      }
      if (key == "tool_calls") {
        if (field.is_null()) continue;
        ASSIGN_OR_RETURN(value calls, ToolCalls(field));
        out->insert("tool_calls", calls);
        continue;
      }
      out->insert(MarkedText(key, mark_), FromJson(field, mark_));
    }
    if (reasoning != nullptr) out->insert("reasoning_content", FromJson(*reasoning, mark_));
    const auto content = message_.find("content");
    ASSIGN_OR_RETURN(value text, Content(content == message_.end() ? Json(nullptr) : *content));
    out->insert("content", text);
    return out;
  }

  std::string final_text() const { return final_text_; }

 private:
  Result<value> Content(const Json& content) {
    const std::string where = where_ + ".content";
    if (content.is_null() || content.is_string()) {
      final_text_ = content.is_string() ? content.get<std::string>() : "";
      if (reads_.strings) return MarkedText(final_text_ + tag_, mark_);
      return TextParts({final_text_ + tag_});
    }
    if (!content.is_array())
      return InvalidArgument(where + ": must be a string or an array of text parts", where);
    std::vector<std::string> texts;
    for (size_t i = 0; i < content.size(); ++i) {
      ASSIGN_OR_RETURN(std::string text, PartText(content[i], fmt::format("{}[{}]", where, i)));
      texts.push_back(std::move(text));
    }
    if (reads_.lists) {
      if (!texts.empty()) {
        final_text_ = texts.back();
        texts.back() += tag_;
      }
      return TextParts(texts);
    }
    for (size_t i = 0; i < texts.size(); ++i) final_text_ += (i > 0 ? "\n" : "") + texts[i];
    return MarkedText(final_text_ + tag_, mark_);
  }

  value TextParts(const std::vector<std::string>& texts) {
    auto list = mk_val<jinja::value_array>();
    for (const std::string& text : texts) {
      auto part = mk_val<jinja::value_object>();
      part->insert("type", MarkedText("text", mark_));
      part->insert("text", MarkedText(text, mark_));
      list->push_back(part);
    }
    return list;
  }

  // As vLLM: `arguments` is JSON in a string on the wire and an object for the template.
  Result<value> ToolCalls(const Json& calls) {
    if (!calls.is_array())
      return InvalidArgument(where_ + ".tool_calls: must be an array", where_ + ".tool_calls");
    Json prepared = calls;
    for (size_t i = 0; i < prepared.size(); ++i) {
      const std::string where = fmt::format("{}.tool_calls[{}].function", where_, i);
      if (!prepared[i].is_object() || !prepared[i].contains("function") ||
          !prepared[i]["function"].is_object())
        return InvalidArgument(where + ": must be an object", where);
      Json& function = prepared[i]["function"];
      const auto arguments = function.find("arguments");
      if (arguments == function.end() || arguments->is_null() ||
          (arguments->is_string() && arguments->get_ref<const std::string&>().empty())) {
        function["arguments"] = Json::object();
        continue;
      }
      if (!arguments->is_string()) continue;
      Json parsed = Json::parse(arguments->get_ref<const std::string&>(), nullptr, false);
      if (parsed.is_discarded())
        return InvalidArgument(where + ".arguments: is not valid JSON", where + ".arguments");
      RETURN_IF_ERROR(CheckShape(parsed, where + ".arguments"));
      *arguments = std::move(parsed);
    }
    return FromJson(prepared, mark_);
  }

  const Json& message_;
  std::string where_;
  int mark_;
  const TemplateReads reads_;
  const char* tag_;
  std::string final_text_;
};

}  // namespace

Status CheckShape(const Json& json, const std::string& param) {
  if (ShapeIsSane(json, 0)) return {};
  return InvalidArgument(
      fmt::format("{}: nested deeper than {} levels, or an object with more than {} "
                  "members",
                  param, kMaxChatDepth, kMaxMembers),
      param);
}

value FromJson(const Json& json, int mark) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return mk_val<jinja::value_bool>(json.get<bool>());
    case Json::value_t::number_integer:
      return mk_val<jinja::value_int>(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return mk_val<jinja::value_int>(json.get<int64_t>());
      return mk_val<jinja::value_float>(json.get<double>());
    case Json::value_t::number_float:
      return mk_val<jinja::value_float>(json.get<double>());
    case Json::value_t::string:
      return MarkedText(json.get_ref<const std::string&>(), mark);
    case Json::value_t::array: {
      auto list = mk_val<jinja::value_array>();
      for (const auto& item : json) list->push_back(FromJson(item, mark));
      return list;
    }
    case Json::value_t::object: {
      auto object = mk_val<jinja::value_object>();
      for (const auto& [key, item] : json.items())
        object->insert(MarkedText(key, mark), FromJson(item, mark));
      return object;
    }
    default:
      return mk_val<jinja::value_none>();
  }
}

Result<TemplateInput> PrepareInput(const ChatInput& input, const TemplateReads& reads) {
  if (input.messages == nullptr || !input.messages->is_array() || input.messages->empty())
    return InvalidArgument("messages: must be an array of at least one message", "messages");
  RETURN_IF_ERROR(CheckShape(*input.messages, "messages"));
  TemplateInput out;
  auto messages = mk_val<jinja::value_array>();
  for (size_t i = 0; i < input.messages->size(); ++i) {
    const bool continued = input.continue_final_message && i + 1 == input.messages->size();
    MessageBuilder builder((*input.messages)[i], i, reads, continued ? kContinueTag : "");
    ASSIGN_OR_RETURN(value message, builder.Build());
    messages->push_back(message);
    if (continued) out.final_text = builder.final_text();
  }
  out.messages = messages;
  out.tools = mk_val<jinja::value_none>();
  if (input.tools != nullptr && !input.tools->is_null()) {
    if (!input.tools->is_array()) return InvalidArgument("tools: must be an array", "tools");
    RETURN_IF_ERROR(CheckShape(*input.tools, "tools"));
    if (!input.tools->empty()) out.tools = FromJson(*input.tools, kInputMark);
  }
  return out;
}

}  // namespace nextgate::gateway
