// Errors as OpenAI's clients expect them: {"error": {"message", "type", "param", "code"}} and the
// one table from our codes to HTTP statuses.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace nextgate::gateway::openai {

int HttpStatus(ErrorCode code);

// `code` is OpenAI's machine-readable code where there is one (invalid_api_key, model_not_found, …);
// "" gives context_length_exceeded for kOutOfRange, else null.
std::string ErrorBody(const Error& error, std::string_view code = "");

}  // namespace nextgate::gateway::openai
