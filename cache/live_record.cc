#include "cache/live_record.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cache/answer_wire.h"
#include "cache/hmac.h"
#include "cache/invalidation.h"

namespace nextgate::cache {
namespace {

constexpr size_t kDigestBytes = 16;
constexpr uint64_t kVersion = 2;
constexpr size_t kChoicesMax = 1 << 16;

enum Kind : uint64_t { kHello, kDelta, kFinish, kEnd, kGivenUp };

std::string BoxPlace(const LivePlace& place) {
  WireWriter text;
  text.Text("live record");
  text.Text(place.stream);
  text.Text(place.holder);
  text.Unsigned(place.number);
  return text.bytes();
}

AnswerBuilder::Ending UnpackEnding(WireReader& in) {
  AnswerBuilder::Ending ending;
  ending.choices.resize(std::min(in.Count(), kChoicesMax));
  for (AnswerChoice& choice : ending.choices) choice = UnpackChoice(in);
  ending.usage = UnpackUsage(in);
  ending.extras = in.Text();
  return ending;
}

}  // namespace

void LiveBatch::Hello(std::string_view material_digest, int32_t num_choices, int64_t position) {
  out_.Unsigned(kHello);
  out_.Unsigned(kVersion);
  out_.Text(material_digest);
  out_.Unsigned(static_cast<uint64_t>(num_choices));
  out_.Signed(SharedPosition(position));
}

void LiveBatch::Delta(const AnswerDelta& delta) {
  out_.Unsigned(kDelta);
  PackDelta(out_, delta);
}

void LiveBatch::Finish(int32_t choice, const AnswerChoice& end) {
  out_.Unsigned(kFinish);
  out_.Unsigned(static_cast<uint64_t>(choice));
  PackChoice(out_, end);
}

void LiveBatch::End(const AnswerBuilder::Ending& ending) {
  out_.Unsigned(kEnd);
  out_.Unsigned(ending.choices.size());
  for (const AnswerChoice& choice : ending.choices) PackChoice(out_, choice);
  PackUsage(out_, ending.usage);
  out_.Text(ending.extras);
}

void LiveBatch::GiveUp() { out_.Unsigned(kGivenUp); }

bool TellEvents(std::string_view events, const LiveListener& listener) {
  WireReader in(events);
  std::vector<int32_t> token_ids;
  while (!in.Done() && !in.failed()) {
    const uint64_t kind = in.Unsigned();
    if (kind == kHello) {
      const bool known = in.Unsigned() == kVersion;
      const std::string_view digest = in.Text();
      const auto choices = static_cast<int32_t>(in.Unsigned() & 0x7fff'ffff);
      const int64_t position = in.Signed();
      if (in.failed() || !known) return false;
      if (listener.hello) listener.hello(digest, choices, position);
    } else if (kind == kDelta) {
      const AnswerDelta delta = UnpackDelta(in, &token_ids);
      if (in.failed()) return false;
      if (listener.delta) listener.delta(delta);
    } else if (kind == kFinish) {
      const auto choice = static_cast<int32_t>(in.Unsigned() & 0x7fff'ffff);
      const AnswerChoice end = UnpackChoice(in);
      if (in.failed()) return false;
      if (listener.finish) listener.finish(choice, end);
    } else if (kind == kEnd) {
      AnswerBuilder::Ending ending = UnpackEnding(in);
      if (in.failed()) return false;
      if (listener.end) listener.end(std::move(ending));
    } else if (kind == kGivenUp && !in.failed()) {
      if (listener.given_up) listener.given_up();
    } else {
      return false;
    }
  }
  return in.Done();
}

LiveCodec::LiveCodec(std::string_view secret, const Keyring& keys)
    : record_key_(HmacSha256(secret, "nextgate live record")),
      material_key_(HmacSha256(secret, "nextgate live material")),
      keys_(keys) {}

std::string LiveCodec::DigestOf(std::string_view material) const {
  return HmacSha256(material_key_, material);
}

std::string LiveCodec::Sign(const LivePlace& place, std::string_view body) const {
  WireWriter message;
  message.Text(place.stream);
  message.Text(place.holder);
  message.Unsigned(place.number);
  message.Text(body);
  return HmacSha256(record_key_, message.bytes()).substr(0, kDigestBytes);
}

std::string LiveCodec::Seal(const LivePlace& place, std::string_view events) const {
  std::string body = keys_.encrypts() ? keys_.Seal(BoxPlace(place), events) : std::string(events);
  const std::string digest = Sign(place, body);
  return body += digest;
}

Result<std::string> LiveCodec::Open(const LivePlace& place, std::string_view record) const {
  if (record.size() < kDigestBytes) return DataLoss("the record is cut off");
  const std::string_view body = record.substr(0, record.size() - kDigestBytes);
  if (!EqualDigests(Sign(place, body), record.substr(body.size())))
    return DataLoss("the record's digest is wrong: changed, or written with another secret");
  if (Keyring::IsBox(body)) return keys_.Open(BoxPlace(place), body);  // no event begins so
  return std::string(body);
}

}  // namespace nextgate::cache
