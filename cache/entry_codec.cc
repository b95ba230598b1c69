#include "cache/entry_codec.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "cache/answer_wire.h"
#include "cache/hmac.h"
#include "cache/wire.h"

namespace nextgate::cache {
namespace {

constexpr std::string_view kMagic = "NGE1";
constexpr size_t kDigestBytes = 16;
constexpr int kZstdLevel = 1;

std::string PackPayload(const StoredAnswer& entry) {
  const Answer& answer = *entry.answer;
  WireWriter out;
  out.Text(entry.material);
  out.Unsigned(answer.choices().size());
  for (const AnswerChoice& choice : answer.choices()) PackChoice(out, choice);
  PackUsage(out, answer.usage());
  out.Text(answer.extras());
  out.Unsigned(answer.num_deltas());
  for (size_t i = 0; i < answer.num_deltas(); ++i) PackDelta(out, answer.delta(i));
  return out.bytes();
}

// nullptr if malformed. AnswerBuilder keeps Answer's invariants.
std::shared_ptr<const Answer> UnpackAnswer(WireReader& in) {
  AnswerBuilder::Ending ending;
  ending.choices.resize(std::min<size_t>(in.Count(), 1 << 16));
  for (AnswerChoice& choice : ending.choices) choice = UnpackChoice(in);
  ending.usage = UnpackUsage(in);
  ending.extras = in.Text();
  AnswerBuilder builder;
  std::vector<int32_t> token_ids;
  for (size_t left = in.Count(); left > 0; --left) {
    const AnswerDelta delta = UnpackDelta(in, &token_ids);
    if (in.failed() || static_cast<size_t>(delta.choice) >= ending.choices.size()) return nullptr;
    builder.Append(delta);
  }
  return in.Done() ? builder.Finish(std::move(ending)) : nullptr;
}

}  // namespace

EntryCodec::EntryCodec(std::string_view secret)
    : digest_key_(HmacSha256(secret, "nextgate entry digest")) {}

std::string EntryCodec::Digest(const Hash128& hash, std::string_view bytes) const {
  return HmacSha256(digest_key_, hash.Hex() + std::string(bytes)).substr(0, kDigestBytes);
}

std::string EntryCodec::Encode(const Hash128& hash, const StoredAnswer& entry) const {
  const std::string payload = PackPayload(entry);
  std::string packed(ZSTD_compressBound(payload.size()), '\0');
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), payload.data(), payload.size(), kZstdLevel);
  CHECK(!ZSTD_isError(size));
  packed.resize(size);
  WireWriter out;
  out.Signed(entry.created_unix_ms);
  out.Signed(entry.expires_unix_ms);
  out.Text(packed);
  std::string bytes = std::string(kMagic) + out.bytes();
  return bytes += Digest(hash, bytes);
}

Result<StoredAnswer> EntryCodec::Decode(const Hash128& hash, std::string_view bytes) const {
  if (!bytes.starts_with(kMagic)) return DataLoss("not an entry of this version");
  if (bytes.size() < kMagic.size() + kDigestBytes) return DataLoss("the entry is cut off");
  const std::string_view digest = bytes.substr(bytes.size() - kDigestBytes);
  bytes.remove_suffix(kDigestBytes);
  if (!EqualDigests(Digest(hash, bytes), digest))
    return DataLoss("the entry's digest is wrong: changed, or written with another secret");
  WireReader in(bytes.substr(kMagic.size()));
  StoredAnswer entry;
  entry.created_unix_ms = in.Signed();
  entry.expires_unix_ms = in.Signed();
  const std::string_view packed = in.Text();
  if (!in.Done()) return DataLoss("the entry's frame is malformed");
  const uint64_t size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size > kPayloadBytesMax)  // also what zstd returns for errors
    return DataLoss("the entry is too large, or not compressed as it should be");
  std::string payload(size, '\0');
  if (ZSTD_decompress(payload.data(), payload.size(), packed.data(), packed.size()) != size)
    return DataLoss("the entry does not decompress");
  WireReader fields(payload);
  entry.material = fields.Text();
  entry.answer = UnpackAnswer(fields);
  if (entry.answer == nullptr) return DataLoss("the entry's payload is malformed");
  return entry;
}

}  // namespace nextgate::cache
