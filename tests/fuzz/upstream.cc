// What an upstream's bytes go through: each reader stays within its input, and gives the same result however
// the bytes are split.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "gateway/openai/embeddings.h"
#include "gateway/upstream/chunk.h"
#include "gateway/upstream/convert.h"
#include "gateway/upstream/embeddings_client.h"
#include "gateway/upstream/http_response_parser.h"
#include "gateway/upstream/json_members.h"
#include "gateway/upstream/recorded.h"
#include "gateway/upstream/sse_parser.h"
#include "tests/fuzz/targets.h"

namespace nextgate::testing {
namespace {

using namespace nextgate::gateway;

// Everything that came out, in one string.
std::string FuzzSse(std::string_view bytes, size_t step) {
  SseParser parser(/*event_bytes_max=*/256);
  std::vector<SseEvent> events;
  std::string out;
  while (!bytes.empty()) {
    const bool fine = parser.Feed(bytes.substr(0, step), events).has_value();
    bytes.remove_prefix(std::min(step, bytes.size()));
    if (fine) continue;
    out = "too long";
    break;
  }
  for (const SseEvent& event : events) out += event.type + "\x1f" + event.data + "\x1e";
  return out;
}

std::string FuzzHttp(std::string_view bytes, size_t step) {
  HttpResponseParser parser;
  std::string body;
  while (!bytes.empty()) {
    if (!parser.Feed(bytes.substr(0, step), body)) return "malformed";
    bytes.remove_prefix(std::min(step, bytes.size()));
  }
  if (!parser.Close()) return "cut off";
  std::string out = std::to_string(parser.head().status) + (parser.reusable() ? "r" : "");
  for (const auto& [name, value] : parser.head().headers) out += "\x1f" + name + "\x1e" + value;
  return out + "\x1d" + body;
}

void FuzzJson(std::string_view bytes) {
  const auto parsed = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  const std::vector<JsonMember> members = MembersOf(bytes);
  const MemberEdit edits[] = {{.name = "id", .value = "\"x\""}, {.name = "usage"}};
  const std::string edited = WithMembers(bytes, edits);
  // What is no JSON but to nlohmann, or nested too deeply, goes no further.
  if (!parsed.is_object() || ParseObject(bytes).is_discarded()) return;
  CHECK(members.size() >= parsed.size());  // repeated names are one to the parser
  if (members.size() == parsed.size()) {
    auto expected = parsed;
    expected["id"] = "x";
    expected.erase("usage");
    CHECK(nlohmann::json::parse(edited) == expected);
  }
  ChunkRecorder recorder;
  ChunkReader reader;
  std::vector<std::string> chunks;
  for (const std::string& chunk : {std::string(bytes), edited, std::string(bytes)}) {
    const auto part = reader.Next(recorder.Chunk(chunk));
    if (chunk.starts_with('{')) CHECK(part && part->text == chunk);
    chunks.push_back(chunk);
  }
  for (const auto endpoint : {openai::Endpoint::kChat, openai::Endpoint::kCompletion}) {
    const std::string body = BodyOfChunks(endpoint, chunks);
    CHECK(nlohmann::json::accept(body));
    for (const std::string& chunk : ChunksOfBody(endpoint, bytes, true))
      CHECK(nlohmann::json::accept(chunk));
  }
}

// A chunk without its beginning is a chunk, and says the rest.
void FuzzChunk(std::string_view bytes, size_t step) {
  const ChunkFacts facts = FactsOf(bytes);
  CHECK(facts.is_chunk || (!facts.has_choices && !facts.only_text && facts.tokens == 0));
  const auto whole = WithoutBeginning(bytes, 0, 0);
  CHECK(whole.has_value() == facts.only_text);
  if (!whole) return;
  const auto before = ParseObject(bytes), after = ParseObject(*whole);
  CHECK(before == after);
  const std::string text = TextOf(before["choices"][0]);
  const auto rest = WithoutBeginning(bytes, step, step);
  CHECK(!rest || step <= text.size());
  if (!rest) return;
  const auto parsed = ParseObject(*rest);
  const bool ascii = std::ranges::all_of(text, [](char c) { return (c & 0x80) == 0; });
  if (ascii) CHECK(TextOf(parsed["choices"][0]) == text.substr(step));
  CHECK(FactsOf(*rest).tokens == facts.tokens - std::min(step, facts.tokens));
}

// An answer of /v1/embeddings is vectors of length 1 or nothing, and so is a request's list of texts.
void FuzzEmbeddings(std::string_view bytes, size_t step) {
  const size_t count = step % 3;
  if (const auto vectors = ReadEmbeddings(bytes, count, /*dimension=*/2)) {
    CHECK(vectors->size() == count);
    for (const std::vector<float>& values : *vectors) {
      CHECK(values.size() == 2);
      const double length = std::hypot(values[0], values[1]);
      CHECK(length == 0 || std::abs(length - 1) < 1e-6);
    }
  }
  const auto request = openai::ParseEmbeddingsRequest(bytes);
  CHECK(!request ||
        (!request->input.empty() && request->input.size() <= openai::kEmbeddingInputsMax));
}

}  // namespace

void FuzzUpstream(std::string_view input) {
  if (input.empty()) return;
  const auto first = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  const size_t step = 1 + first / 8;
  switch (first % 8) {
    case 0:
    case 4:
      CHECK(FuzzSse(input, step) == FuzzSse(input, 1));
      break;
    case 1:
    case 5:
      CHECK(FuzzHttp(input, step) == FuzzHttp(input, 1 << 20));
      break;
    case 2:
      FuzzJson(input);
      break;
    case 6:
      FuzzChunk(input, step);
      break;
    case 7:
      FuzzEmbeddings(input, step);
      break;
    default:
      ChunkReader().Next(input);
  }
}

}  // namespace nextgate::testing
