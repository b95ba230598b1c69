#include "gateway/upstream/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "gateway/upstream/convert.h"
#include "gateway/upstream/json_members.h"

namespace nextgate::gateway {
namespace {

std::string AsEvent(std::string_view data) { return fmt::format("data: {}\n\n", data); }

}  // namespace

std::string UpstreamWriter::Delta(const cache::AnswerDelta& delta) {
  const auto part = reader_.Next(delta.extras);
  if (!part) return "";
  switch (part->kind) {
    case ChunkReader::Kind::kError:
      return AsEvent(part->text);
    case ChunkReader::Kind::kChunk:
      return Event(part->text);
    case ChunkReader::Kind::kBody:
      break;
  }
  std::string events;
  for (const std::string& chunk :
       ChunksOfBody(request_.endpoint, part->text, request_.include_usage))
    events += Event(chunk);
  return events;
}

std::string UpstreamWriter::Event(std::string_view chunk) const {
  if (!request_.include_usage && chunk.find("\"usage\"") != std::string_view::npos) {
    const std::vector<JsonMember> members = MembersOf(chunk);
    const auto usage = std::ranges::find(members, "usage", &JsonMember::name);
    const auto choices = std::ranges::find(members, "choices", &JsonMember::name);
    if (usage != members.end() && usage->value == "null") {
      std::string without = WithMembers(chunk, std::vector<MemberEdit>{{.name = "usage"}});
      return AsEvent(Identified(without));
    }
    if (usage != members.end() && choices != members.end() &&
        choices->value.find('{') == std::string_view::npos)
      return "";
  }
  return AsEvent(Identified(chunk));
}

std::string UpstreamWriter::Identified(std::string_view json) const {
  if (!replay_) return std::string(json);
  const MemberEdit edits[] = {
      {.name = "id", .value = fmt::format("\"{}\"", id_), .add = false},
      {.name = "created", .value = std::to_string(created_s_), .add = false}};
  return WithMembers(json, edits);
}

std::string UpstreamWriter::Body(const cache::Answer& answer) {
  ChunkReader reader;
  std::vector<std::string> chunks;
  for (size_t i = 0; i < answer.num_deltas(); ++i) {
    auto part = reader.Next(answer.delta(i).extras);
    if (!part || part->kind == ChunkReader::Kind::kError) continue;
    if (part->kind == ChunkReader::Kind::kBody) return Identified(part->text);
    chunks.push_back(std::move(part->text));
  }
  return Identified(BodyOfChunks(request_.endpoint, chunks));
}

}  // namespace nextgate::gateway
