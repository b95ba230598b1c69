#include "cache/entry_codec.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "cache/answer_wire.h"
#include "cache/hmac.h"
#include "cache/invalidation.h"
#include "cache/wire.h"

namespace nextgate::cache {
namespace {

constexpr std::string_view kMagic = "NGE3", kEncryptedMagic = "NGE4";
constexpr size_t kDigestBytes = 16;
constexpr int kZstdLevel = 1;

std::string HeaderPlace(const Hash128& hash) { return "entry header " + hash.Hex(); }
std::string PayloadPlace(const Hash128& hash) { return "entry payload " + hash.Hex(); }

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

std::string PackHeader(const Hash128& hash, const StoredAnswer& entry) {
  const EntrySummary summary = Summarise(hash, entry);
  WireWriter out;
  out.Signed(summary.created_unix_ms);
  out.Signed(summary.expires_unix_ms);
  out.Signed(summary.hits);
  for (const std::string* text :
       {&summary.origin.model, &summary.origin.route, &summary.origin.scope.tenant,
        &summary.origin.scope.team, &summary.origin.scope.user, &summary.origin.scope.name_space,
        &summary.fingerprint, &summary.scope_id})
    out.Text(*text);
  out.Signed(summary.prompt_tokens);
  out.Signed(summary.completion_tokens);
  out.Unsigned(summary.finish_reasons.size());
  for (const std::string& reason : summary.finish_reasons) out.Text(reason);
  out.Signed(SharedPosition(summary.origin.position));
  return out.bytes();
}

bool UnpackHeader(std::string_view header, EntrySummary& summary) {
  WireReader in(header);
  summary.created_unix_ms = in.Signed();
  summary.expires_unix_ms = in.Signed();
  summary.hits = in.Signed();
  for (std::string* text :
       {&summary.origin.model, &summary.origin.route, &summary.origin.scope.tenant,
        &summary.origin.scope.team, &summary.origin.scope.user, &summary.origin.scope.name_space,
        &summary.fingerprint, &summary.scope_id})
    *text = in.Text();
  summary.prompt_tokens = static_cast<int32_t>(in.Signed());
  summary.completion_tokens = static_cast<int32_t>(in.Signed());
  for (size_t left = in.Count(); left > 0; --left) summary.finish_reasons.emplace_back(in.Text());
  summary.origin.position = in.Signed();
  return in.Done();
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

EntryCodec::EntryCodec(std::string_view secret, const Keyring& keys)
    : digest_key_(HmacSha256(secret, "nextgate entry digest")), keys_(keys) {}

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
  std::string labels = PackHeader(hash, entry);
  if (keys_.encrypts()) {
    labels = keys_.Seal(HeaderPlace(hash), labels);
    packed = keys_.Seal(PayloadPlace(hash), packed);
  }
  WireWriter header, body;
  header.Text(labels);
  body.Text(packed);
  std::string bytes = std::string(keys_.encrypts() ? kEncryptedMagic : kMagic) + header.bytes();
  bytes += Digest(hash, bytes);
  bytes += body.bytes();
  return bytes += Digest(hash, bytes);
}

// The header, proven by its digest, and what follows it.
Result<EntryCodec::Frame> EntryCodec::OpenFrame(const Hash128& hash, std::string_view bytes) const {
  const bool encrypted = bytes.starts_with(kEncryptedMagic);
  if (!encrypted && !bytes.starts_with(kMagic)) return DataLoss("not an entry of this version");
  WireReader in(bytes.substr(kMagic.size()));
  const std::string_view header = in.Text();
  if (in.failed()) return DataLoss("the entry is cut off");
  const auto signed_bytes = static_cast<size_t>(header.data() + header.size() - bytes.data());
  if (bytes.size() < signed_bytes + kDigestBytes) return DataLoss("the entry is cut off");
  if (!EqualDigests(Digest(hash, bytes.substr(0, signed_bytes)),
                    bytes.substr(signed_bytes, kDigestBytes)))
    return DataLoss("the entry's digest is wrong: changed, or written with another secret");
  Frame frame{.encrypted = encrypted,
              .header = std::string(header),
              .rest = bytes.substr(signed_bytes + kDigestBytes)};
  if (encrypted) {
    ASSIGN_OR_RETURN(frame.header, keys_.Open(HeaderPlace(hash), header));
  }
  return frame;
}

Result<EntrySummary> EntryCodec::DecodeSummary(const Hash128& hash,
                                               std::string_view beginning) const {
  ASSIGN_OR_RETURN(const Frame frame, OpenFrame(hash, beginning));
  EntrySummary summary{.id = hash};
  if (!UnpackHeader(frame.header, summary)) return DataLoss("the entry's header is malformed");
  return summary;
}

Result<StoredAnswer> EntryCodec::Decode(const Hash128& hash, std::string_view bytes) const {
  if (!bytes.starts_with(kMagic) && !bytes.starts_with(kEncryptedMagic))
    return DataLoss("not an entry of this version");
  if (bytes.size() < kMagic.size() + kDigestBytes) return DataLoss("the entry is cut off");
  const std::string_view digest = bytes.substr(bytes.size() - kDigestBytes);
  bytes.remove_suffix(kDigestBytes);
  if (!EqualDigests(Digest(hash, bytes), digest))
    return DataLoss("the entry's digest is wrong: changed, or written with another secret");
  ASSIGN_OR_RETURN(const Frame frame, OpenFrame(hash, bytes));
  EntrySummary summary;
  if (!UnpackHeader(frame.header, summary)) return DataLoss("the entry's header is malformed");
  WireReader in(frame.rest);
  std::string_view packed = in.Text();
  if (!in.Done()) return DataLoss("the entry's frame is malformed");
  std::string opened;
  if (frame.encrypted) {
    ASSIGN_OR_RETURN(opened, keys_.Open(PayloadPlace(hash), packed));
    packed = opened;
  }
  const uint64_t size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size > kPayloadBytesMax)  // also what zstd returns for errors
    return DataLoss("the entry is too large, or not compressed as it should be");
  std::string payload(size, '\0');
  if (ZSTD_decompress(payload.data(), payload.size(), packed.data(), packed.size()) != size)
    return DataLoss("the entry does not decompress");
  WireReader fields(payload);
  StoredAnswer entry{.material = std::string(fields.Text()),
                     .answer = UnpackAnswer(fields),
                     .created_unix_ms = summary.created_unix_ms,
                     .expires_unix_ms = summary.expires_unix_ms,
                     .origin = std::move(summary.origin),
                     .hits = HitCounter(summary.hits)};
  if (entry.answer == nullptr) return DataLoss("the entry's payload is malformed");
  return entry;
}

}  // namespace nextgate::cache
