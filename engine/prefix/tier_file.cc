#include "engine/prefix/tier_file.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

namespace nextgate::engine {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[] = "ngprefix";
constexpr uint32_t kVersion = 1;
constexpr int32_t kTokensMax = 1 << 24;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t kind;
  uint64_t key[2];
  uint64_t above[2];
  int32_t from;
  int32_t to;
  uint64_t payload_bytes;
  uint64_t content[2];
  uint64_t self[2];  // over everything before it
};
static_assert(sizeof(Header) == kTierHeaderBytes && offsetof(Header, self) == 80);

void Put(const Hash128& hash, uint64_t (&to)[2]) {
  to[0] = hash.high;
  to[1] = hash.low;
}
Hash128 Get(const uint64_t (&from)[2]) { return {from[0], from[1]}; }

Hash128 HashOfHeader(const Header& header) {
  return HashBytes({reinterpret_cast<const char*>(&header), offsetof(Header, self)});
}

std::unexpected<Error> Damaged(std::string what) { return MakeError(ErrorCode::kDataLoss, std::move(what)); }

}  // namespace

std::string TierFileHead(const TierRecord& record, std::string_view payload) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  header.version = kVersion;
  header.kind = static_cast<uint32_t>(record.kind);
  Put(record.key, header.key);
  Put(record.above, header.above);
  header.from = record.from;
  header.to = record.to;
  header.payload_bytes = payload.size();
  std::string content(reinterpret_cast<const char*>(record.tokens.data()),
                      record.tokens.size() * sizeof(int32_t));
  Put(HashBytes(std::string(content).append(HashBytes(payload).Hex())), header.content);
  Put(HashOfHeader(header), header.self);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + content;
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
  if (head.size() < sizeof header + token_bytes ||
      header.payload_bytes != file_bytes - sizeof header - token_bytes)
    return Damaged(fmt::format("{} bytes, not the {} that its header says", file_bytes,
                               sizeof header + token_bytes + header.payload_bytes));
  TierFileInfo info{.payload_offset = sizeof header + token_bytes,
                    .payload_bytes = static_cast<size_t>(header.payload_bytes),
                    .content = Get(header.content)};
  TierRecord& r = info.record;
  r.key = Get(header.key);
  r.above = Get(header.above);
  r.from = header.from;
  r.to = header.to;
  r.kind = static_cast<CheckpointKind>(header.kind);
  r.tokens.resize(static_cast<size_t>(header.to - header.from));
  std::memcpy(r.tokens.data(), head.data() + sizeof header, token_bytes);
  return info;
}

Status CheckTierFile(std::string_view file, const TierFileInfo& info) {
  const std::string_view payload = file.substr(info.payload_offset);
  const std::string_view tokens =
      file.substr(kTierHeaderBytes, info.payload_offset - kTierHeaderBytes);
  if (payload.size() != info.payload_bytes ||
      HashBytes(std::string(tokens).append(HashBytes(payload).Hex())) != info.content)
    return Damaged("the checksum is wrong");
  return {};
}

}  // namespace nextgate::engine
