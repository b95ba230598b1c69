#include "cache/semantic/records.h"

#include <bit>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include "base/check.h"
#include "cache/hmac.h"
#include "cache/wire.h"

namespace nextgate::cache {
namespace {

constexpr std::string_view kMagic = "NGS1", kEncryptedMagic = "NGS2";
constexpr size_t kDigestBytes = 16;
constexpr size_t kDimensionMax = 16384;

enum Kind : char { kQuestion = 'q', kEvidence = 'e', kRejection = 'r' };

std::string BoxPlace(std::string_view place) { return "semantic record " + std::string(place); }

void PutHash(WireWriter& out, const Hash128& hash) {
  out.Unsigned(hash.high);
  out.Unsigned(hash.low);
}
Hash128 TakeHash(WireReader& in) {
  const uint64_t high = in.Unsigned();
  return {.high = high, .low = in.Unsigned()};
}

// A number as its bits; it comes back as it was.
void PutReal(WireWriter& out, double value) { out.Unsigned(std::bit_cast<uint64_t>(value)); }
double TakeReal(WireReader& in) { return std::bit_cast<double>(in.Unsigned()); }

std::string ToHalves(std::span<const float> vector) {
  std::string bytes;
  bytes.reserve(2 * vector.size());
  for (const float value : vector) {
    const auto half = std::bit_cast<uint16_t>(static_cast<_Float16>(value));
    bytes += static_cast<char>(half & 0xff);
    bytes += static_cast<char>(half >> 8);
  }
  return bytes;
}

std::optional<std::vector<float>> FromHalves(std::string_view bytes) {
  if (bytes.size() % 2 != 0 || bytes.size() > 2 * kDimensionMax) return std::nullopt;
  std::vector<float> vector(bytes.size() / 2);
  for (size_t i = 0; i < vector.size(); ++i) {
    const auto low = static_cast<uint8_t>(bytes[2 * i]);
    const auto high = static_cast<uint8_t>(bytes[2 * i + 1]);
    vector[i] = static_cast<float>(std::bit_cast<_Float16>(static_cast<uint16_t>(low | high << 8)));
    if (!std::isfinite(vector[i])) return std::nullopt;
  }
  return vector;
}

struct Packer {
  WireWriter& out;
  char operator()(const QuestionRecord& record) const {
    PutHash(out, record.group);
    PutHash(out, record.id);
    out.Signed(record.expires_unix_ms);
    out.Text(ToHalves(record.vector));
    return kQuestion;
  }
  char operator()(const EvidenceRecord& record) const {
    const Verifier::Evidence& e = record.evidence;
    out.Unsigned(record.id);
    PutHash(out, e.candidate.partition);
    PutHash(out, e.candidate.entry);
    PutReal(out, e.candidate.cosine);
    out.Unsigned(e.candidate.cosine_second ? 1 : 0);
    PutReal(out, e.candidate.cosine_second.value_or(0));
    out.Unsigned((e.served ? 1U : 0U) | (e.right ? 2U : 0U));
    PutReal(out, e.observe);
    out.Unsigned(static_cast<uint64_t>(e.source));
    return kEvidence;
  }
  char operator()(const Rejection& record) const {
    PutHash(out, record.asked);
    PutHash(out, record.entry);
    return kRejection;
  }
};

std::optional<SemanticRecord> UnpackQuestion(WireReader& in) {
  QuestionRecord record{.group = TakeHash(in), .id = TakeHash(in), .vector = {}};
  record.expires_unix_ms = in.Signed();
  auto vector = FromHalves(in.Text());
  if (!vector) return std::nullopt;
  record.vector = std::move(*vector);
  return record;
}

bool IsCosine(double value) { return value >= -1.01 && value <= 1.01; }

std::optional<SemanticRecord> UnpackEvidence(WireReader& in) {
  EvidenceRecord record{.id = in.Unsigned(), .evidence = {}};
  Verifier::Evidence& e = record.evidence;
  e.candidate.partition = TakeHash(in);
  e.candidate.entry = TakeHash(in);
  const double cosine = TakeReal(in);
  const bool has_second = in.Unsigned() == 1;
  const double second = TakeReal(in);
  const uint64_t flags = in.Unsigned();
  e.observe = TakeReal(in);
  const uint64_t source = in.Unsigned();
  if (!IsCosine(cosine) || !IsCosine(second) || flags > 3 || source > 2) return std::nullopt;
  if (!(e.observe > 0 && e.observe <= 1)) return std::nullopt;
  e.candidate.cosine = static_cast<float>(cosine);
  if (has_second) e.candidate.cosine_second = static_cast<float>(second);
  e.served = (flags & 1) != 0;
  e.right = (flags & 2) != 0;
  e.source = static_cast<Verifier::Evidence::Source>(source);
  return record;
}

std::optional<SemanticRecord> Unpack(char kind, WireReader& in) {
  switch (kind) {
    case kQuestion:
      return UnpackQuestion(in);
    case kEvidence:
      return UnpackEvidence(in);
    case kRejection: {
      const Hash128 asked = TakeHash(in);
      return Rejection{.asked = asked, .entry = TakeHash(in)};
    }
    default:
      return std::nullopt;
  }
}

Error Damaged(const char* what) { return {ErrorCode::kDataLoss, what, ""}; }

}  // namespace

SemanticCodec::SemanticCodec(std::string_view secret, const Keyring& keys)
    : digest_key_(HmacSha256(secret, "nextgate semantic records")), keys_(keys) {}

std::string SemanticCodec::Digest(std::string_view place, std::string_view bytes) const {
  std::string message(place);
  message += '\0';
  message += bytes;
  return HmacSha256(digest_key_, message).substr(0, kDigestBytes);
}

std::string SemanticCodec::Seal(std::string_view place, const SemanticRecord& record) const {
  WireWriter payload;
  const char kind = std::visit(Packer{payload}, record);
  std::string bytes(keys_.encrypts() ? kEncryptedMagic : kMagic);
  bytes += kind;
  bytes += keys_.encrypts() ? keys_.Seal(BoxPlace(place) + kind, payload.bytes()) : payload.bytes();
  bytes += Digest(place, bytes);
  return bytes;
}

Result<SemanticRecord> SemanticCodec::Open(std::string_view place, std::string_view bytes) const {
  const std::string_view magic = bytes.substr(0, kMagic.size());
  if (magic != kMagic && magic != kEncryptedMagic)
    return std::unexpected(Damaged("no record of this version"));
  if (bytes.size() < kMagic.size() + 1 + kDigestBytes)
    return std::unexpected(Damaged("a record that is cut off"));
  const std::string_view signed_part = bytes.substr(0, bytes.size() - kDigestBytes);
  if (!EqualDigests(Digest(place, signed_part), bytes.substr(signed_part.size())))
    return std::unexpected(Damaged("a record that is not signed with the common secret"));
  const char kind = bytes[kMagic.size()];
  std::string opened;
  std::string_view payload = signed_part.substr(kMagic.size() + 1);
  if (magic == kEncryptedMagic) {
    ASSIGN_OR_RETURN(opened, keys_.Open(BoxPlace(place) + kind, payload));
    payload = opened;
  }
  WireReader in(payload);
  auto record = Unpack(kind, in);
  if (!record || !in.Done()) return std::unexpected(Damaged("a record that says nothing"));
  return std::move(*record);
}

}  // namespace nextgate::cache
