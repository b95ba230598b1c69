// A checkpoint's own chat template: messages in, prompt text out, exactly as Hugging Face's
// apply_chat_template renders it, with the provenance of every byte kept: what the template says is
// told from what a request said, so that a user who types `<|im_end|>` gets those characters and
// never a special token (prompt_builder.h turns the pieces into tokens).
//
// Nothing is trusted: templates come with downloaded checkpoints, and everything in ChatInput is a
// stranger's. What a template may cost is bounded by chat_template_limits.h.
//
// Threads: immutable after Open; Render may be called from any thread. Its stack need is bounded
// (JSON deeper than kMaxChatDepth is refused before anything recurses, a template that recurses is
// stopped before the stack ends), so 256 KB stacks suffice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/tokenizer.h"

namespace nextgate::gateway {

inline constexpr int kMaxChatDepth = 64;                 // nesting of messages, tools and kwargs
inline constexpr size_t kMaxRenderedBytes = 256u << 20;  // of one prompt

// What one request gives the template. The JSON is borrowed for the call; all strings valid UTF-8.
struct ChatInput {
  // An array of objects with a string `role`, as OpenAI has them. Before rendering, as vLLM does:
  // `content` null or absent becomes ""; an array of text parts becomes the template's list form if
  // it reads lists, else the texts joined by '\n' (a part of another type is an error); an
  // assistant's tool-call `arguments`, a JSON object in a string, become that object; `reasoning`
  // and `thinking` are also seen as `reasoning_content`. The role developer is system's new name: a
  // template that does not know it gets system.
  const nlohmann::ordered_json* messages = nullptr;
  const nlohmann::ordered_json* tools = nullptr;  // an array; null or empty: none
  const nlohmann::ordered_json* template_kwargs =
      nullptr;  // an object, e.g. {"enable_thinking": false}
  bool add_generation_prompt = true;
  // The last message is left open: the prompt ends with its content. Excludes
  // add_generation_prompt.
  bool continue_final_message = false;
};

struct RenderedChat {
  std::vector<engine::TextPiece> pieces;  // neighbours differ in is_template; none is empty
  // What of the whole text which message wrote (its role too, where the template prints that): bytes
  // [begin, end), as long as they come from one message. Ascending, none empty.
  struct MessageText {
    int32_t message = 0;  // index in ChatInput::messages
    size_t begin = 0;
    size_t end = 0;
  };
  std::vector<MessageText> message_texts;
};

class ChatTemplate {
 public:
  // The source is `override_source` (a file's path, or the template itself if there is no such
  // file), else <model_dir>/chat_template.jinja, else `chat_template` in
  // <model_dir>/tokenizer_config.json (a string, or a list of {name, template}, of which `default`
  // is taken). bos_token and eos_token come from tokenizer_config.json. kNotFound: the checkpoint
  // has no template (a base model: completions still work); kInvalidArgument: it does not parse.
  static Result<std::unique_ptr<ChatTemplate>> Open(const std::string& model_dir,
                                                    const std::string& override_source = "");
  // For tests and tools. `origin` names the source in messages.
  static Result<std::unique_ptr<ChatTemplate>> FromSource(std::string source, std::string bos_token,
                                                          std::string eos_token,
                                                          const std::string& origin);
  ~ChatTemplate();

  // kInvalidArgument (400) for what a request did wrong, the template's own raise_exception
  // and the limits of chat_template_limits.h included.
  Result<RenderedChat> Render(const ChatInput& input) const;

  const std::string& source() const;  // the text of the template
  const std::string& origin() const;  // the file it came from, for the log
  bool reads_content_lists() const;   // the template handles `content` as a list of parts

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nextgate::gateway
