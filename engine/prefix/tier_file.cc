#include "engine/prefix/tier_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace nextgate::engine {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[] = "ngprefix";
constexpr uint32_t kVersion = 2;
constexpr int32_t kTokensMax = 1 << 24;
constexpr size_t kPieceBytes = size_t{1} << 20;  // hashed at once

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t kind;
  uint64_t key[2];
  uint64_t above[2];
  int32_t from;
  int32_t to;
  uint64_t blocks_bytes;
  uint64_t state_bytes;
  char scope[32];
  uint64_t content[2];
  uint64_t state[2];
  uint64_t self[2];  // over everything before it
  uint64_t none;
};
static_assert(sizeof(Header) == kTierHeaderBytes && offsetof(Header, self) == 136);

void Put(const Hash128& hash, uint64_t (&to)[2]) {
  to[0] = hash.high;
  to[1] = hash.low;
}
Hash128 Get(const uint64_t (&from)[2]) { return {from[0], from[1]}; }

Hash128 HashOfHeader(const Header& header) {
  return HashBytes({reinterpret_cast<const char*>(&header), offsetof(Header, self)});
}

Hash128 HashOf(std::string_view bytes, const TierFileBeat& beat) {
  HashStream stream;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPieceBytes))) {
    beat();
    stream.Add(bytes.substr(0, kPieceBytes));
  }
  return stream.hash();
}
Hash128 HashOfContent(std::string_view tokens, std::string_view blocks, const TierFileBeat& beat) {
  return HashBytes(std::string(tokens).append(HashOf(blocks, beat).Hex()));
}

std::unexpected<Error> Damaged(std::string what) {
  return MakeError(ErrorCode::kDataLoss, std::move(what));
}

}  // namespace

std::string TierFileHead(const TierRecord& record, std::string_view blocks, std::string_view state,
                         const TierFileBeat& beat) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  header.version = kVersion;
  header.kind = static_cast<uint32_t>(record.kind);
  Put(record.key, header.key);
  Put(record.above, header.above);
  header.from = record.from;
  header.to = record.to;
  header.blocks_bytes = blocks.size();
  header.state_bytes = state.size();
  CHECK(record.scope_digest.size() == sizeof header.scope);
  std::memcpy(header.scope, record.scope_digest.data(), sizeof header.scope);
  const std::string tokens(reinterpret_cast<const char*>(record.tokens.data()),
                           record.tokens.size() * sizeof(int32_t));
  Put(HashOfContent(tokens, blocks, beat), header.content);
  Put(HashOf(state, beat), header.state);
  Put(HashOfHeader(header), header.self);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + tokens;
}

Result<TierFileInfo> ReadTierFileHead(std::string_view head, size_t file_bytes) {
  Header header;
  if (head.size() < sizeof header)
    return Damaged(fmt::format("{} bytes are less than a header", head.size()));
  std::memcpy(&header, head.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof header.magic) != 0)
    return Damaged("it does not begin with 'ngprefix'");
  if (header.version != kVersion)
    return Damaged(fmt::format("version {}, not {}", header.version, kVersion));
  if (Get(header.self) != HashOfHeader(header)) return Damaged("the header's checksum is wrong");
  if (header.from < 0 || header.to <= header.from || header.to > kTokensMax ||
      header.from % kBlockTokens != 0 || header.to % kBlockTokens != 0 ||
      header.kind > static_cast<uint32_t>(CheckpointKind::kMarked))
    return Damaged("the header makes no sense");
  const size_t token_bytes = static_cast<size_t>(header.to - header.from) * sizeof(int32_t);
  const size_t blocks_offset = sizeof header + token_bytes;
  if (head.size() < blocks_offset || file_bytes < blocks_offset ||
      header.blocks_bytes > file_bytes - blocks_offset ||
      header.state_bytes != file_bytes - blocks_offset - header.blocks_bytes)
    return Damaged(fmt::format("{} bytes are not what its header says", file_bytes));
  TierFileInfo info{.blocks_offset = blocks_offset,
                    .blocks_bytes = static_cast<size_t>(header.blocks_bytes),
                    .state_bytes = static_cast<size_t>(header.state_bytes),
                    .content = Get(header.content),
                    .state = Get(header.state)};
  TierRecord& r = info.record;
  r.key = Get(header.key);
  r.above = Get(header.above);
  r.from = header.from;
  r.to = header.to;
  r.scope_digest.assign(header.scope, sizeof header.scope);
  r.kind = static_cast<CheckpointKind>(header.kind);
  r.tokens.resize(static_cast<size_t>(header.to - header.from));
  std::memcpy(r.tokens.data(), head.data() + sizeof header, token_bytes);
  return info;
}

Status CheckTierFile(std::string_view file, const TierFileInfo& info, const TierFileBeat& beat) {
  if (file.size() < info.state_offset()) return Damaged("it was cut");
  const std::string_view tokens =
      file.substr(kTierHeaderBytes, info.blocks_offset - kTierHeaderBytes);
  const std::string_view blocks = file.substr(info.blocks_offset, info.blocks_bytes);
  const std::string_view state = file.substr(info.state_offset());
  if (HashOfContent(tokens, blocks, beat) != info.content)
    return Damaged("the checksum of tokens and KV is wrong");
  if (!state.empty() && (state.size() != info.state_bytes || HashOf(state, beat) != info.state))
    return Damaged("the checksum of the state is wrong");
  return {};
}

}  // namespace nextgate::engine
