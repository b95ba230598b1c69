// The two forms of an OpenAI answer, one made into the other: the chunks of a stream added up to a body,
// a body told as a stream. Members that are not known to this server are kept: strings that models
// write piece by piece are joined, lists of log probabilities and token ids too, of all else the last
// value that is not null counts.
//
// Threads: pure functions. REQUIRES of all: `text` parameters are JSON objects.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/openai/api_request.h"

namespace nextgate::gateway {

// "" if there is no chunk.
std::string BodyOfChunks(openai::Endpoint endpoint, std::span<const std::string> chunks);

// Per choice: role, all that was written, the end; then usage if it was asked for.
std::vector<std::string> ChunksOfBody(openai::Endpoint endpoint, std::string_view body,
                                      bool include_usage);

}  // namespace nextgate::gateway
