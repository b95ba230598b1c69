#include "cache/key.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "cache/hmac.h"

namespace nextgate::cache {
namespace {

using nlohmann::json;

constexpr std::string_view kIrrelevant[] = {
    "cache", "metadata", "priority", "request_id", "stream", "stream_options", "user",
};

constexpr std::string_view kRelevant[] = {
    "add_generation_prompt",
    "add_special_tokens",
    "allowed_token_ids",
    "bad_words",
    "best_of",
    "cache_salt",
    "chat_template",
    "chat_template_kwargs",
    "continue_final_message",
    "documents",
    "echo",
    "endpoint",
    "frequency_penalty",
    "function_call",
    "functions",
    "ignore_eos",
    "include_reasoning",
    "include_stop_str_in_output",
    "length_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "min_p",
    "min_tokens",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt",
    "prompt_logprobs",
    "reasoning_effort",
    "repetition_penalty",
    "response_format",
    "return_token_ids",
    "return_tokens_as_token_ids",
    "seed",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "stop",
    "stop_token_ids",
    "structured_outputs",
    "suffix",
    "temperature",
    "thinking_token_budget",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "truncate_prompt_tokens",
    "use_beam_search",
};

// Below these the tokenizer normalises before anything else looks at the text.
constexpr std::string_view kTokenized[] = {
    "chat_template_kwargs", "documents", "functions", "messages", "prompt", "suffix", "tools",
};

bool Contains(std::span<const std::string_view> list, std::string_view name) {
  return std::ranges::find(list, name) != list.end();
}

bool IsAscii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// `text` in NFC; unchanged if it is not valid UTF-8 (then it is compared byte by byte).
std::string Nfc(std::string_view text) {
  utf8proc_uint8_t* out = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &out,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owned(out, &std::free);
  if (size < 0) return std::string(text);
  return std::string(reinterpret_cast<const char*>(out), static_cast<size_t>(size));
}

void WriteString(std::string_view text, std::string& out) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

template <class Number>
void WriteChars(Number value, std::string& out) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, end.ptr);
}

void WriteDouble(double value, std::string& out) {
  // A double that is an integer is written as that integer, so that 1.0 and 1 are one number.
  constexpr double kTwoTo63 = 9223372036854775808.0;
  if (value == std::trunc(value) && value >= -kTwoTo63 && value < 2 * kTwoTo63) {
    if (value < kTwoTo63) {
      WriteChars(static_cast<int64_t>(value), out);
    } else {
      WriteChars(static_cast<uint64_t>(value), out);
    }
    return;
  }
  WriteChars(value, out);  // the shortest text that reads back as this double
}

class Writer {
 public:
  // False if nested too deeply.
  bool Write(const json& value, bool nfc, int depth) {
    if (depth > kDepthMax) return false;
    switch (value.type()) {
      case json::value_t::object:
        return WriteObject(value, nfc, depth);
      case json::value_t::array:
        return WriteArray(value, nfc, depth);
      case json::value_t::string: {
        const auto& text = value.get_ref<const std::string&>();
        if (nfc && !IsAscii(text)) {
          WriteString(Nfc(text), out);
        } else {
          WriteString(text, out);
        }
        return true;
      }
      case json::value_t::number_integer:
        WriteChars(value.get<int64_t>(), out);
        return true;
      case json::value_t::number_unsigned:
        WriteChars(value.get<uint64_t>(), out);
        return true;
      case json::value_t::number_float:
        WriteDouble(value.get<double>(), out);
        return true;
      case json::value_t::boolean:
        out += value.get<bool>() ? "true" : "false";
        return true;
      default:
        out += "null";
        return true;  // null; binary and discarded are not JSON
    }
  }

  std::string out;

 private:
  bool WriteObject(const json& object, bool nfc, int depth) {
    out += '{';
    bool first = true;
    for (const auto& [name, value] : object.items()) {  // std::map: sorted by bytes
      if (!std::exchange(first, false)) out += ',';
      WriteString(name, out);
      out += ':';
      if (!Write(value, nfc, depth + 1)) return false;
    }
    out += '}';
    return true;
  }

  bool WriteArray(const json& array, bool nfc, int depth) {
    out += '[';
    bool first = true;
    for (const json& value : array) {
      if (!std::exchange(first, false)) out += ',';
      if (!Write(value, nfc, depth + 1)) return false;
    }
    out += ']';
    return true;
  }
};

void AppendLengthPrefixed(std::string_view part, std::string& out) {
  WriteChars(part.size(), out);
  out += ':';
  out += part;
}

}  // namespace

std::span<const std::string_view> IrrelevantFields() { return kIrrelevant; }
std::span<const std::string_view> RelevantFields() { return kRelevant; }

std::expected<std::string, Ineligible> Canonicalise(const json& request) {
  CHECK(request.is_object());
  const auto echo = request.find("echo");
  const bool echoes = echo != request.end() && echo->is_boolean() && echo->get<bool>();

  Writer writer;
  writer.out += '{';
  for (const auto& [name, value] : request.items()) {
    if (Contains(kIrrelevant, name)) continue;
    if (!Contains(kRelevant, name))
      return std::unexpected(Ineligible{.reason = Reason::kUnknownField, .detail = name});
    if (value.is_null()) continue;  // null is "not given"
    if (writer.out.size() > 1) writer.out += ',';
    WriteString(name, writer.out);
    writer.out += ':';
    const bool nfc = Contains(kTokenized, name) && !(echoes && name == "prompt");
    if (!writer.Write(value, nfc, 1))
      return std::unexpected(Ineligible{.reason = Reason::kTooDeep, .detail = name});
  }
  writer.out += '}';
  return std::move(writer.out);
}

Partitioner::Partitioner(std::string secret) : secret_(std::move(secret)) {
  CHECK(!secret_.empty());
}

std::string Partitioner::RandomSecret() { return RandomBytes(32); }

std::string Partitioner::Partition(const Scope& scope, std::string_view model_fingerprint) const {
  std::string message;
  for (const std::string& part : {std::cref(scope.tenant), std::cref(scope.team),
                                  std::cref(scope.user), std::cref(scope.name_space)})
    AppendLengthPrefixed(part, message);
  std::string out = Hex(HmacSha256(secret_, message));
  out += ':';
  out += model_fingerprint;
  return out;
}

CacheKey MakeKey(std::string_view partition, std::string_view canonical, HashFunction hash) {
  CHECK(partition.find('\n') == std::string_view::npos);
  CacheKey key;
  key.material.reserve(partition.size() + 1 + canonical.size());
  key.material += partition;
  key.material += '\n';
  key.material += canonical;
  key.hash = hash(key.material);
  return key;
}

MaterialParts SplitMaterial(std::string_view material) {
  constexpr size_t kScopeDigits = 64;
  const size_t line = material.find('\n');
  if (line == std::string_view::npos || line <= kScopeDigits || material[kScopeDigits] != ':')
    return {};
  return {.scope_id = material.substr(0, kScopeDigits),
          .fingerprint = material.substr(kScopeDigits + 1, line - kScopeDigits - 1),
          .canonical = material.substr(line + 1)};
}

}  // namespace nextgate::cache
