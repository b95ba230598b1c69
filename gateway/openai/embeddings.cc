#include "gateway/openai/embeddings.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "gateway/base64.h"
#include "gateway/openai/api_request.h"
#include "gateway/openai/field_reader.h"

namespace nextgate::gateway::openai {
namespace {

void ReadInput(FieldReader& read, std::vector<std::string>& input) {
  const Json* given = read.Find("input");
  if (given == nullptr)
    return read.Fail("input: missing; expected a text or a list of texts", "input");
  if (given->is_string()) return input.push_back(given->get<std::string>());
  const size_t count = given->is_array() ? given->size() : 0;
  const bool ids = count > 0 && (given->front().is_number() || given->front().is_array());
  if (ids)
    return read.Fail(
        "input: token ids are not taken here, only texts: give a text or a list of texts", "input");
  if (count == 0 || count > kEmbeddingInputsMax)
    return read.Fail(fmt::format("input: expected a text or a list of 1 to {} texts, got {}",
                                 kEmbeddingInputsMax, Described(*given)),
                     "input");
  for (const Json& text : *given) {
    if (!text.is_string())
      return read.Fail(
          fmt::format("input[{}]: expected a text, got {}", input.size(), Described(text)),
          "input");
    input.push_back(text.get<std::string>());
  }
}

}  // namespace

Result<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view body) {
  ASSIGN_OR_RETURN(const auto object, ParseBody(body));
  FieldReader read(*object);
  EmbeddingsRequest request;
  request.model = read.Text("model").value_or("");
  ReadInput(read, request.input);
  const std::string format = read.Text("encoding_format").value_or("float");
  if (format != "float" && format != "base64")
    read.Fail("encoding_format: expected float or base64", "encoding_format");
  request.base64 = format == "base64";
  request.dimensions = read.Whole("dimensions", 1, INT32_MAX).value_or(0);
  request.truncate = read.Whole("truncate_prompt_tokens", -1, -1).has_value();
  read.Find("user");
  if (!read.status()) return std::unexpected(read.status().error());
  request.ignored_fields = read.Unread();
  return request;
}

std::string EmbeddingsBody(std::string_view model, std::span<const cache::Embedding> embeddings,
                           bool base64) {
  std::string body = R"({"object":"list","data":[)";
  int64_t tokens = 0;
  for (size_t i = 0; i < embeddings.size(); ++i) {
    const cache::Embedding& one = embeddings[i];
    fmt::format_to(std::back_inserter(body), R"({}{{"object":"embedding","index":{},"embedding":)",
                   i == 0 ? "" : ",", i);
    if (base64) {
      body += '"' + FloatsToBase64(one.values) + '"';
    } else {
      for (size_t d = 0; d < one.values.size(); ++d)
        fmt::format_to(std::back_inserter(body), "{}{}", d == 0 ? '[' : ',', one.values[d]);
      body += ']';
    }
    body += '}';
    tokens += one.num_tokens;
  }
  const std::string name = Json(model).dump(-1, ' ', false, Json::error_handler_t::replace);
  return body + fmt::format(R"(],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
                            name, tokens, tokens);
}

}  // namespace nextgate::gateway::openai
