#include "gateway/chat_template.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "gateway/chat_template_builtins.h"
#include "gateway/chat_template_input.h"
#include "gateway/chat_template_limits.h"
#include "gateway/chat_template_text.h"
#include "jinja/caps.h"
#include "jinja/lexer.h"
#include "jinja/parser.h"
#include "jinja/runtime.h"

namespace nextgate::gateway {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using jinja::mk_val;

constexpr int64_t kMaxTemplateBytes = 4 << 20;
constexpr std::array kTokenNames = {"bos_token", "eos_token", "unk_token", "pad_token"};
// What chat_template_kwargs may not replace.
constexpr std::array kReservedNames = {
    "messages",      "tools",   "documents", "add_generation_prompt", "continue_final_message",
    "chat_template", "tokenize"};

using SpecialTokens = std::vector<std::pair<std::string, std::string>>;  // name, text

Result<Json> ReadTokenizerConfig(const fs::path& dir) {
  const fs::path path = dir / "tokenizer_config.json";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return Json::object();
  ASSIGN_OR_RETURN(std::string text, ReadFile(path.string(), kMaxTemplateBytes));
  Json config = Json::parse(text, nullptr, false);
  if (!config.is_object()) return DataLoss(fmt::format("{}: is not a JSON object", path.string()));
  return config;
}

// A token is a string, or {"content": …} in older files.
std::string TokenText(const Json& config, const char* name) {
  const auto token = config.find(name);
  if (token == config.end()) return "";
  if (token->is_string()) return token->get<std::string>();
  if (token->is_object() && token->contains("content") && (*token)["content"].is_string())
    return (*token)["content"].get<std::string>();
  return "";
}

Result<std::string> TemplateOfConfig(const Json& config, const std::string& file) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null())
    return NotFound(
        "the checkpoint has no chat template: neither chat_template.jinja nor chat_template in "
        "tokenizer_config.json; give one with --chat-template");
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array())
    for (const auto& entry : *found)
      if (entry.is_object() && entry.value("name", Json()) == "default" &&
          entry.value("template", Json()).is_string())
        return entry["template"].get<std::string>();
  return NotFound(
      fmt::format("{}: chat_template must be a string, or a list that has one named 'default'; "
                  "choose one with --chat-template",
                  file));
}

// The engine wraps a message in an excerpt of the template; the last line says what happened.
std::string Cause(const std::string& what) {
  const size_t at = what.rfind("Error: ");
  return at == std::string::npos ? what : what.substr(at + 7);
}

struct Part {
  std::string text;
  int mark;
};

size_t TotalSize(const std::vector<Part>& parts) {
  size_t size = 0;
  for (const Part& part : parts) size += part.text.size();
  return size;
}

// Ends the prompt where the final message's content ends, as transformers does: at the tag, which a
// template that trims contents leaves without its space; then trailing space goes too.
Status CutAtTag(std::vector<Part>& parts, const std::string& final_text) {
  std::string text;
  for (const Part& part : parts) text += part.text;
  const std::string_view tag = kContinueTag;
  const std::string_view bare = tag.substr(0, tag.size() - 1);
  size_t cut = text.rfind(bare);
  const StripRange core = Strip(final_text, true, true);
  const std::string stripped = final_text.substr(core.begin, core.end - core.begin);
  if (cut == std::string::npos || text.find(stripped) == std::string::npos)
    return InvalidArgument(
        "continue_final_message: the chat template does not print the final message as it is, so "
        "it "
        "cannot be continued",
        "continue_final_message");
  if (text.compare(cut, tag.size(), tag) != 0)
    cut = Strip(std::string_view(text).substr(0, cut), false, true).end;
  size_t begin = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t size = parts[i].text.size();
    if (begin + size >= cut) {
      parts[i].text.resize(cut - begin);
      parts.resize(i + 1);
      break;
    }
    begin += size;
  }
  return {};
}

RenderedChat Finish(std::vector<Part> parts) {
  RenderedChat out;
  size_t offset = 0;
  for (Part& part : parts) {
    if (part.text.empty()) continue;
    const size_t begin = std::exchange(offset, offset + part.text.size());
    if (const int32_t message = part.mark - kFirstMessageMark; message >= 0) {
      auto& texts = out.message_texts;
      if (!texts.empty() && texts.back().end == begin && texts.back().message == message)
        texts.back().end = offset;
      else
        texts.push_back({.message = message, .begin = begin, .end = offset});
    }
    const bool is_template = part.mark == kTemplateMark;
    if (!out.pieces.empty() && out.pieces.back().is_template == is_template)
      out.pieces.back().text += part.text;
    else
      out.pieces.push_back({std::move(part.text), is_template});
  }
  return out;
}

}  // namespace

struct ChatTemplate::Impl {
  std::string source;
  std::string origin;
  SpecialTokens tokens;
  jinja::program program;
  TemplateReads reads;

  Impl(std::string source_in, std::string origin_in, SpecialTokens tokens_in, jinja::program parsed)
      : source(std::move(source_in)),
        origin(std::move(origin_in)),
        tokens(std::move(tokens_in)),
        program(std::move(parsed)) {}

  static Result<std::unique_ptr<Impl>> Parse(std::string source, SpecialTokens tokens,
                                             const std::string& origin) {
    InstallTemplateBuiltins();
    try {
      jinja::lexer lexer;
      const jinja::lexer_result lexed = lexer.tokenize(source);
      if (Status nesting = CheckNesting(lexed); !nesting)
        return Refused(origin, nesting.error().message);
      auto parsed = jinja::parse_from_tokens(lexed);
      auto impl =
          std::make_unique<Impl>(std::move(source), origin, std::move(tokens), std::move(parsed));
      RenderBudget budget(kMaxRenderedBytes);
      const jinja::caps caps = jinja::caps_get(impl->program);
      if (budget.refused() != nullptr)
        return Refused(impl->origin,
                       fmt::format("for a short conversation it {}", budget.refused()));
      impl->reads = {.lists = caps.supports_typed_content,
                     .strings = caps.supports_string_content || !caps.supports_typed_content,
                     .developers = impl->source.find("developer") != std::string::npos};
      return impl;
    } catch (const std::exception& error) {
      return Refused(origin, error.what());
    }
  }

  static std::unexpected<Error> Refused(const std::string& origin, std::string_view why) {
    return InvalidArgument(fmt::format("{}: the chat template does not parse: {}", origin, why),
                           "chat_template");
  }

  // Runs the template; exceptions of the engine pass through.
  std::vector<Part> Execute(const ChatInput& input, const TemplateInput& prepared) const {
    jinja::context context(source);
    for (const auto& [name, text] : tokens)
      context.set_val(name, mk_val<jinja::value_string>(text));
    if (input.template_kwargs != nullptr && input.template_kwargs->is_object())
      for (const auto& [name, item] : input.template_kwargs->items())
        context.set_val(name, FromJson(item, kInputMark));
    context.set_val("messages", prepared.messages);
    context.set_val("tools", prepared.tools);
    context.set_val("documents", mk_val<jinja::value_none>());
    context.set_val("add_generation_prompt",
                    mk_val<jinja::value_bool>(input.add_generation_prompt));
    RenderBudget budget(kMaxRenderedBytes);
    jinja::runtime runtime(context);
    const auto printed = jinja::runtime::gather_string_parts(runtime.execute(program));
    std::vector<Part> parts;
    for (auto& part : printed->val_str.parts)
      if (!part.val.empty()) parts.push_back({std::move(part.val), part.is_input});
    return parts;
  }
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;
const std::string& ChatTemplate::source() const { return impl_->source; }
const std::string& ChatTemplate::origin() const { return impl_->origin; }
bool ChatTemplate::reads_content_lists() const { return impl_->reads.lists; }

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::Open(const std::string& model_dir,
                                                         const std::string& override_source) {
  const fs::path dir(model_dir);
  ASSIGN_OR_RETURN(const Json config, ReadTokenizerConfig(dir));
  SpecialTokens tokens;
  for (const char* name : kTokenNames)
    if (std::string text = TokenText(config, name); !text.empty()) tokens.emplace_back(name, text);

  std::string source;
  std::string origin;
  std::error_code ignored;
  if (!override_source.empty()) {
    origin = "--chat-template";
    source = override_source;
    if (fs::exists(override_source, ignored)) {
      origin = override_source;
      ASSIGN_OR_RETURN(source, ReadFile(override_source, kMaxTemplateBytes));
    } else if (override_source.find('{') ==
               std::string::npos) {  // a path, then, and not a template
      return NotFound(
          fmt::format("--chat-template: '{}' is neither a file nor a template (it has no '{{')",
                      override_source));
    }
  } else if (fs::exists(dir / "chat_template.jinja", ignored)) {
    origin = (dir / "chat_template.jinja").string();
    ASSIGN_OR_RETURN(source, ReadFile(origin, kMaxTemplateBytes));
  } else {
    origin = (dir / "tokenizer_config.json").string();
    ASSIGN_OR_RETURN(source, TemplateOfConfig(config, origin));
  }
  ASSIGN_OR_RETURN(auto impl, Impl::Parse(std::move(source), std::move(tokens), origin));
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(impl)));
}

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::FromSource(std::string source,
                                                               std::string bos_token,
                                                               std::string eos_token,
                                                               const std::string& origin) {
  SpecialTokens tokens;
  if (!bos_token.empty()) tokens.emplace_back("bos_token", std::move(bos_token));
  if (!eos_token.empty()) tokens.emplace_back("eos_token", std::move(eos_token));
  ASSIGN_OR_RETURN(auto impl, Impl::Parse(std::move(source), std::move(tokens), origin));
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(impl)));
}

Result<RenderedChat> ChatTemplate::Render(const ChatInput& input) const {
  if (input.add_generation_prompt && input.continue_final_message)
    return InvalidArgument("continue_final_message and add_generation_prompt cannot both be true",
                           "continue_final_message");
  if (const Json* kwargs = input.template_kwargs; kwargs != nullptr && !kwargs->is_null()) {
    const std::string where = "chat_template_kwargs";
    if (!kwargs->is_object()) return InvalidArgument(where + ": must be an object", where);
    RETURN_IF_ERROR(CheckShape(*kwargs, where));
    for (const char* name : kReservedNames)
      if (kwargs->contains(name))
        return InvalidArgument(fmt::format("{}: '{}' may not be set here", where, name), where);
  }
  ASSIGN_OR_RETURN(const TemplateInput prepared, PrepareInput(input, impl_->reads));
  std::vector<Part> parts;
  try {
    parts = impl_->Execute(input, prepared);
  } catch (const TemplateRaised& raised) {
    return InvalidArgument(
        fmt::format("the chat template refuses this conversation: {}", raised.what()), "messages");
  } catch (const TemplateTooCostly& cost) {
    return InvalidArgument(fmt::format("the chat template {} for this conversation", cost.what()),
                           "messages");
  } catch (const std::exception& error) {
    return InvalidArgument(fmt::format("the chat template failed: {}", Cause(error.what())),
                           "messages");
  }
  if (const size_t size = TotalSize(parts); size > kMaxRenderedBytes)
    return MakeError(ErrorCode::kTooLarge,
                     fmt::format("the rendered prompt has {} bytes; at most {} are allowed", size,
                                 kMaxRenderedBytes),
                     "messages");
  if (input.continue_final_message) RETURN_IF_ERROR(CutAtTag(parts, prepared.final_text));
  return Finish(std::move(parts));
}

}  // namespace nextgate::gateway
