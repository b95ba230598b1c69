// What instances leave in Redis for one another, and lines of an export: what can be read is written again
// with the same meaning, and what is signed lets nobody change it.
#include <zstd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/check.h"
#include "cache/aead.h"
#include "cache/entry_codec.h"
#include "cache/hmac.h"
#include "cache/invalidation.h"
#include "cache/live_record.h"
#include "gateway/admin/entry_json.h"
#include "tests/fuzz/targets.h"

namespace nextgate::testing {
namespace {

using cache::EntryCodec;
using cache::StoredAnswer;
using nlohmann::ordered_json;

constexpr Hash128 kHash{.high = 7, .low = 9};
constexpr Hash128 kOtherHash{.high = 7, .low = 8};
constexpr std::string_view kSecret = "a secret of the fuzzer";

const cache::Keyring& Keys() {
  static const cache::Keyring keys({std::string(32, 'k'), std::string(32, 'j')});
  return keys;
}

// Values out of the input; zeros and empty texts when it is used up.
class Source {
 public:
  explicit Source(std::string_view bytes) : bytes_(bytes) {}

  uint64_t Number() {
    uint64_t value = 0;
    for (size_t left = Byte() % 9; left > 0; --left) value = value << 8 | Byte();
    return value;
  }
  size_t Below(size_t bound) { return Byte() % bound; }
  std::string Text() {
    const size_t wanted = Byte();  // before what is left is counted
    const size_t size = std::min(wanted, bytes_.size());
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }

 private:
  unsigned char Byte() {
    if (bytes_.empty()) return 0;
    const auto byte = static_cast<unsigned char>(bytes_.front());
    bytes_.remove_prefix(1);
    return byte;
  }
  std::string_view bytes_;
};

cache::AnswerChoice ReadChoice(Source& in) {
  return {.finish_reason = in.Text(), .stop_reason = in.Text(), .extras = in.Text()};
}

StoredAnswer ReadEntry(Source& in) {
  StoredAnswer entry{
      .material = in.Text() + in.Text(),
      .created_unix_ms = static_cast<int64_t>(in.Number()),
      .expires_unix_ms = static_cast<int64_t>(in.Number()),
      .origin = {.model = in.Text(),
                 .route = in.Text(),
                 .scope = {.tenant = in.Text(), .name_space = in.Text()},
                 .position = cache::SharedPosition(static_cast<int64_t>(in.Number()))},
      .hits = cache::HitCounter(static_cast<int64_t>(in.Number()))};
  cache::AnswerBuilder::Ending ending{
      .usage = {.prompt_tokens = static_cast<int32_t>(in.Number()),
                .completion_tokens = static_cast<int32_t>(in.Number()),
                .cached_tokens = static_cast<int32_t>(in.Number())},
      .extras = in.Text()};
  for (size_t left = 1 + in.Below(4); left > 0; --left) ending.choices.push_back(ReadChoice(in));
  cache::AnswerBuilder builder;
  for (size_t left = in.Below(20); left > 0; --left) {
    std::vector<int32_t> ids(in.Below(4));
    for (int32_t& id : ids) id = static_cast<int32_t>(in.Number());
    const std::string text = in.Text(), logprobs = in.Text(), extras = in.Text();
    builder.Append({.choice = static_cast<int32_t>(in.Below(ending.choices.size())),
                    .text = text,
                    .token_ids = ids,
                    .logprobs = logprobs,
                    .extras = extras});
  }
  entry.answer = builder.Finish(std::move(ending));
  return entry;
}

void CheckSameChoice(const cache::AnswerChoice& a, const cache::AnswerChoice& b) {
  CHECK(a.finish_reason == b.finish_reason && a.stop_reason == b.stop_reason &&
        a.extras == b.extras);
}

void CheckSame(const StoredAnswer& a, const StoredAnswer& b) {
  CHECK(a.material == b.material && a.created_unix_ms == b.created_unix_ms &&
        a.expires_unix_ms == b.expires_unix_ms && a.hits.value() == b.hits.value());
  CHECK(a.origin == b.origin);
  const cache::Answer &x = *a.answer, &y = *b.answer;
  CHECK(x.extras() == y.extras() && x.usage().prompt_tokens == y.usage().prompt_tokens &&
        x.usage().completion_tokens == y.usage().completion_tokens &&
        x.usage().cached_tokens == y.usage().cached_tokens);
  CHECK(x.choices().size() == y.choices().size() && x.num_deltas() == y.num_deltas());
  for (size_t i = 0; i < x.choices().size(); ++i) CheckSameChoice(x.choices()[i], y.choices()[i]);
  for (size_t i = 0; i < x.num_deltas(); ++i) {
    const cache::AnswerDelta p = x.delta(i), q = y.delta(i);
    CHECK(p.choice == q.choice && p.text == q.text && p.logprobs == q.logprobs &&
          p.extras == q.extras && std::ranges::equal(p.token_ids, q.token_ids));
  }
}

// Its bytes are the entry's in its place only, and as they are.
void CheckSealed(const EntryCodec& codec, const StoredAnswer& entry, Source& in) {
  std::string bytes = codec.Encode(kHash, entry);
  const auto decoded = codec.Decode(kHash, bytes);
  CHECK(decoded);
  CheckSame(entry, *decoded);
  const auto summary =
      codec.DecodeSummary(kHash, std::string_view(bytes).substr(0, EntryCodec::kHeaderBytesMax));
  CHECK(summary && summary->created_unix_ms == entry.created_unix_ms);
  CHECK(!codec.Decode(kOtherHash, bytes) && !codec.DecodeSummary(kOtherHash, bytes));
  CHECK(!EntryCodec("another secret", codec.keys()).Decode(kHash, bytes));
  bytes[in.Number() % bytes.size()] ^= static_cast<char>(1 << in.Below(8));
  CHECK(!codec.Decode(kHash, bytes));
  bytes.resize(in.Number() % bytes.size());
  CHECK(!codec.Decode(kHash, bytes));
}

void CheckEntries(std::string_view input) {
  Source in(input);
  const bool encrypted = in.Below(2) == 1;
  const StoredAnswer entry = ReadEntry(in);
  CheckSealed(EntryCodec(kSecret, encrypted ? Keys() : cache::Keyring::None()), entry, in);
}

std::string Digest(std::string_view bytes) {
  static const std::string key = cache::HmacSha256(kSecret, "nextgate entry digest");
  return cache::HmacSha256(key, kHash.Hex() + std::string(bytes)).substr(0, 16);
}

// Header and payload of anybody who has the secret, a newer nextgate perhaps: compressed here, or as they
// come.
void CheckSignedEntry(std::string_view input, bool compress) {
  const size_t header_bytes =
      std::min<size_t>(input.empty() ? 0 : static_cast<unsigned char>(input.front()), input.size());
  const std::string_view header = input.substr(0, header_bytes);
  std::string packed(input.substr(header_bytes));
  if (compress) {
    std::string small(ZSTD_compressBound(packed.size()), '\0');
    small.resize(ZSTD_compress(small.data(), small.size(), packed.data(), packed.size(), 1));
    packed = small;
  }
  cache::WireWriter head, body;
  head.Text(header);
  body.Text(packed);
  std::string bytes = "NGE3" + head.bytes();
  bytes += Digest(bytes);
  bytes += body.bytes();
  bytes += Digest(bytes);
  const EntryCodec codec(kSecret);
  const auto decoded = codec.Decode(kHash, bytes);
  if (!decoded) {
    CHECK(decoded.error().code == ErrorCode::kDataLoss && !decoded.error().message.empty());
    return;
  }
  CHECK(codec.DecodeSummary(kHash, bytes));
  StoredAnswer entry = *decoded;
  entry.origin.position = cache::SharedPosition(entry.origin.position);
  for (std::string* label :
       {&entry.origin.model, &entry.origin.route, &entry.origin.scope.tenant,
        &entry.origin.scope.team, &entry.origin.scope.user, &entry.origin.scope.name_space})
    label->resize(std::min(label->size(), cache::kLabelBytesMax));
  const auto again = codec.Decode(kHash, codec.Encode(kHash, entry));
  CHECK(again);
  CheckSame(entry, *again);
}

void CheckLiveRecord(std::string_view input) {
  const auto repacked = [](std::string_view events, cache::LiveBatch& batch) {
    return cache::TellEvents(
        events,
        {.hello = [&](auto digest, auto choices, auto at) { batch.Hello(digest, choices, at); },
         .delta = [&](const cache::AnswerDelta& delta) { batch.Delta(delta); },
         .finish = [&](auto choice, const auto& end) { batch.Finish(choice, end); },
         .end = [&](const auto& ending) { batch.End(ending); },
         .given_up = [&] { batch.GiveUp(); }});
  };
  cache::LiveBatch first, second;
  const bool whole = repacked(input, first);
  CHECK(repacked(first.bytes(), second) && second.bytes() == first.bytes());
  if (!whole || input.empty()) return;
  for (const cache::Keyring* keys : {&cache::Keyring::None(), &Keys()}) {
    const cache::LiveCodec codec(kSecret, *keys);
    const cache::LivePlace place{.stream = "s", .holder = "h", .number = 3};
    std::string record = codec.Seal(place, first.bytes());
    const auto opened = codec.Open(place, record);
    CHECK(opened && *opened == first.bytes());
    CHECK(!codec.Open({.stream = "s", .holder = "h", .number = 4}, record));
    CHECK(!codec.Open({.stream = "sh", .holder = "", .number = 3}, record));
    record[input.size() % record.size()] ^= 1;
    CHECK(!codec.Open(place, record));
    CHECK(!codec.Open(place, input));
  }
}

void CheckInvalidation(std::string_view input) {
  const auto record = cache::InvalidationRecord::Unpack(input, Keys());
  CHECK(!record.id.empty() || input.contains("\"id\""));
  for (const cache::Keyring* keys : {&cache::Keyring::None(), &Keys()}) {
    const auto again = cache::InvalidationRecord::Unpack(record.Pack(*keys), *keys);
    CHECK(again.id == record.id && again.predicate == record.predicate &&
          again.instant_unix_ms == record.instant_unix_ms);
  }
  const cache::EntryOrigin origin{.model = "m", .route = "/v1/chat/completions"};
  const std::string material =
      std::string(64, '0') + ":f\n{\"messages\":[{\"content\":\"What is it?\",\"role\":\"user\"}]}";
  const bool dead = record.predicate.Matches(
      {.id = kHash, .origin = origin, .material = material, .created_unix_ms = 5});
  if (record.predicate.everything()) CHECK(dead);
  cache::PositionOf(input);
}

void CheckBox(std::string_view input) {
  const auto keys = cache::Keyring::ParseKeys(input);
  if (keys) {
    CHECK(!keys->empty());
    for (const std::string& key : *keys) CHECK(key.size() == 32);
    CHECK(cache::Keyring(*keys).encrypts());
  } else {
    CHECK(keys.error().message.find("line") != std::string::npos ||
          keys.error().message.find("key") != std::string::npos);
  }
  CHECK(!Keys().Open("place", input));
  std::string box = Keys().Seal("place", input);
  CHECK(cache::Keyring::IsBox(box));
  const auto opened = Keys().Open("place", box);
  CHECK(opened && *opened == input && !Keys().Open("another place", box));
  CHECK(!cache::Keyring::None().Open("place", box));
  const size_t at = input.empty() ? 0 : static_cast<unsigned char>(input.front()) % box.size();
  box[at] ^= 4;
  CHECK(!Keys().Open("place", box));
}

void CheckImportLine(std::string_view input) {
  const auto json = ordered_json::parse(input, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return;
  const auto entry = gateway::admin::ParseEntryLine(json);
  if (!entry) {
    CHECK(entry.error().code == ErrorCode::kInvalidArgument && !entry.error().message.empty());
    return;
  }
  const auto line = gateway::admin::EntryLine(*entry);
  CHECK(line && !line->contains('\n'));
  const auto again = gateway::admin::ParseEntryLine(ordered_json::parse(*line));
  CHECK(again);
  StoredAnswer expected = *entry;
  expected.origin.position = cache::SharedPosition(expected.origin.position);
  CheckSame(expected, *again);
  CHECK(gateway::admin::EntryLine(*again) == *line);
  // As an instance would go on with it.
  const auto stored = EntryCodec(kSecret).Decode(kHash, EntryCodec(kSecret).Encode(kHash, *entry));
  CHECK(stored && stored->material == entry->material);
}

}  // namespace

void FuzzEntry(std::string_view input) {
  switch (TakeChoice(input, 8)) {
    case 0:
      return CheckEntries(input);
    case 1:
      return CheckSignedEntry(input, /*compress=*/true);
    case 2:
      return CheckSignedEntry(input, /*compress=*/false);
    case 3:
      return CheckLiveRecord(input);
    case 4:
      return CheckInvalidation(input);
    case 5:
      return CheckBox(input);
    case 6:
      return CheckImportLine(input);
    default:
      CHECK(!EntryCodec(kSecret, Keys()).Decode(kHash, input));  // whoever has no secret
      CHECK(!EntryCodec(kSecret, Keys()).DecodeSummary(kHash, input));
  }
}

}  // namespace nextgate::testing
