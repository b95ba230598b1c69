#include "cache/aead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "base/sha256.h"
#include "cache/entry_codec.h"
#include "cache/hmac.h"
#include "cache/invalidation.h"
#include "cache/live_record.h"

namespace nextgate::cache {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kOne(32, '1'), kTwo(32, '2');

TEST(Keyring, OpensWhatItSealedInItsPlaceOnly) {
  const Keyring keys({kOne});
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    std::string plain(random() % 300, '\0');
    for (char& c : plain) c = static_cast<char>(random());
    const std::string box = keys.Seal("here", plain);
    EXPECT_TRUE(Keyring::IsBox(box));
    EXPECT_EQ(keys.Open("here", box).value_or("none"), plain);
    EXPECT_FALSE(keys.Open("there", box));
    EXPECT_FALSE(keys.Open("", box));
    EXPECT_FALSE(Keyring({kTwo}).Open("here", box));
    EXPECT_FALSE(Keyring::None().Open("here", box));
  }
  EXPECT_EQ(keys.stats().damaged, 600);
}

TEST(Keyring, NothingThatWasChangedOrCutOpens) {
  const Keyring keys({kOne});
  const std::string box = keys.Seal("here", "a secret of some length");
  EXPECT_THAT(box, Not(HasSubstr("secret")));
  for (size_t i = 0; i < box.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = box;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      EXPECT_FALSE(keys.Open("here", changed)) << i;
    }
    EXPECT_FALSE(keys.Open("here", box.substr(0, i)));
  }
  EXPECT_FALSE(keys.Open("here", box + "x"));
}

TEST(Keyring, SaysWhetherTheKeyIsMissingOrTheBoxIsBroken) {
  const Keyring keys({kOne}), other({kTwo});
  const std::string box = other.Seal("p", "x");
  EXPECT_THAT(keys.Open("p", box).error().message, HasSubstr("a key that is not in"));
  EXPECT_EQ(keys.stats().no_key, 1);
  EXPECT_EQ(keys.stats().damaged, 0);
  EXPECT_FALSE(other.Open("q", box));
  EXPECT_EQ(other.stats().damaged, 1);
  EXPECT_EQ(other.stats().no_key, 0);
}

TEST(Keyring, KeysAreRotatedByTheirOrder) {
  const Keyring before({kOne}), during({kOne, kTwo}), after({kTwo, kOne}), last({kTwo});
  const std::string old_box = before.Seal("p", "x"), new_box = after.Seal("p", "y");
  EXPECT_EQ(during.Open("p", new_box).value_or(""), "y");
  EXPECT_EQ(after.Open("p", old_box).value_or(""), "x");
  EXPECT_EQ(before.Open("p", during.Seal("p", "z")).value_or(""), "z");  // the first encrypts
  EXPECT_FALSE(last.Open("p", old_box));
  EXPECT_FALSE(before.Open("p", new_box));
}

TEST(Keyring, NoncesAreNeverTheSame) {
  const Keyring keys({kOne});
  std::set<std::string> seen;
  for (int i = 0; i < 5000; ++i)
    EXPECT_TRUE(seen.insert(keys.Seal("p", "x").substr(12, 12)).second);
}

// AES-256-GCM as others have it: the box of a known key, place and nonce opens with the formula in the header.
TEST(Keyring, IsTheFormatOfItsHeader) {
  // Made with Python's cryptography: key = HMAC-SHA256(32 * "1", "place"), AESGCM(key).encrypt(12 * "n",
  // b"plain text", b"place").
  const std::string box = "NGX1" + Sha256(kOne).substr(0, 8) + std::string(12, 'n') +
                          *FromHex("071f3c1634917f522614d276ef8bcda91f3610a86325b53db209");
  EXPECT_EQ(Keyring({kOne}).Open("place", box).value_or("none"), "plain text");
}

TEST(Keyring, AKeyFileIsRefusedByLineAndItsKeysAreNotRepeated) {
  const std::string a(64, 'a'), b = std::string(63, 'B') + "0";
  const auto keys = Keyring::ParseKeys("# of 2026\n\n " + a + " \r\n" + b);
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->size(), 2U);
  EXPECT_EQ(keys->front(), std::string(32, '\xaa'));
  const std::map<std::string, std::string> wrong = {
      {"", "no key in it"},      {"# only\n", "no key in it"},     {a + "\n" + a, "line 2"},
      {a + "\nshort", "line 2"}, {std::string(64, 'g'), "line 1"}, {a + " label", "line 1"},
  };
  for (const auto& [text, message] : wrong) {
    const auto refused = Keyring::ParseKeys(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_THAT(refused.error().message, HasSubstr(message));
    EXPECT_THAT(refused.error().message, Not(HasSubstr("aaaa")));
  }
}

const Hash128 kHash{.high = 1, .low = 2};

StoredAnswer Entry() {
  AnswerBuilder builder;
  builder.Append({.text = "a very secret answer"});
  return {.material = std::string(64, 'a') + ":model\n{\"prompt\":\"a very secret prompt\"}",
          .answer = builder.Finish({.choices = {{.finish_reason = "stop"}}}),
          .created_unix_ms = 5,
          .expires_unix_ms = 10,
          .origin = {.model = "a-model", .route = "/r", .scope = {.tenant = "a-tenant"}}};
}

TEST(EncryptedEntry, ShowsNothingAndIsReadByWhoHasTheKey) {
  const Keyring one({kOne}), both({kTwo, kOne}), two({kTwo});
  const EntryCodec codec("s", one), plain("s"), rotated("s", both), stranger("s", two);
  const std::string bytes = codec.Encode(kHash, Entry());
  for (const char* text : {"secret", "a-model", "a-tenant", "model"})
    EXPECT_THAT(bytes, Not(HasSubstr(text)));
  for (const EntryCodec* reader : {&codec, &rotated}) {
    const auto back = reader->Decode(kHash, bytes);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->material, Entry().material);
    EXPECT_EQ(back->answer->ChoiceText(0), "a very secret answer");
    EXPECT_EQ(
        reader->DecodeSummary(kHash, bytes.substr(0, EntryCodec::kHeaderBytesMax))->origin.model,
        "a-model");
  }
  for (const EntryCodec* reader : {&plain, &stranger}) {
    EXPECT_FALSE(reader->Decode(kHash, bytes));
    EXPECT_FALSE(reader->DecodeSummary(kHash, bytes));
  }
  EXPECT_EQ(two.stats().no_key, 2);
  // What was written before there were keys is read on.
  EXPECT_TRUE(codec.Decode(kHash, plain.Encode(kHash, Entry())));
}

TEST(EncryptedEntry, BelongsToItsKeyAndNoPartOfItToAnother) {
  const Keyring keys({kOne});
  const EntryCodec codec("s", keys);
  const std::string bytes = codec.Encode(kHash, Entry());
  EXPECT_FALSE(codec.Decode({.high = 2, .low = 2}, bytes));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] ^= 1;
    EXPECT_FALSE(codec.Decode(kHash, changed));
    EXPECT_FALSE(codec.Decode(kHash, bytes.substr(0, i)));
  }
  // Who knows the secret of the signatures, and not the keys, cannot move a box either.
  const auto sign = [](const Hash128& hash, const std::string& text) {
    return text +
           HmacSha256(HmacSha256("s", "nextgate entry digest"), hash.Hex() + text).substr(0, 16);
  };
  const Hash128 other{.high = 9, .low = 9};
  WireReader in(std::string_view(bytes).substr(4));
  const std::string_view header = in.Text();
  WireWriter rewritten;
  rewritten.Text(header);
  const std::string moved = sign(other, "NGE4" + rewritten.bytes());
  EXPECT_FALSE(codec.DecodeSummary(other, moved));
  EXPECT_TRUE(codec.DecodeSummary(kHash, sign(kHash, "NGE4" + rewritten.bytes())));
}

TEST(EncryptedLiveRecord, ShowsNothingAndBelongsToItsPlace) {
  const Keyring one({kOne}), two({kTwo, kOne});
  const LiveCodec codec("s", one), plain("s"), rotated("s", two);
  LiveBatch batch;
  batch.Delta({.text = "a very secret word"});
  const LivePlace place{"{n}:live:h:7", "7 token", 3};
  const std::string record = codec.Seal(place, batch.bytes());
  EXPECT_THAT(record, Not(HasSubstr("secret")));
  EXPECT_EQ(codec.Open(place, record).value_or(""), batch.bytes());
  EXPECT_EQ(rotated.Open(place, record).value_or(""), batch.bytes());
  EXPECT_FALSE(plain.Open(place, record));
  EXPECT_FALSE(codec.Open({place.stream, place.holder, 4}, record));
  EXPECT_EQ(codec.Open(place, plain.Seal(place, batch.bytes())).value_or(""), batch.bytes());
}

TEST(EncryptedInvalidation, HidesThePrefixAndWithoutTheKeyKillsRatherMore) {
  const Keyring one({kOne}), two({kTwo});
  const InvalidationRecord record{
      .id = std::string(24, '0'),
      .predicate = {.model = "m", .prompt_prefix = "a very secret prompt"},
      .instant_unix_ms = 7};
  const std::string packed = record.Pack(one);
  EXPECT_THAT(packed, Not(HasSubstr("secret")));
  EXPECT_EQ(InvalidationRecord::Unpack(packed, one).predicate, record.predicate);
  for (const Keyring* keys : {&two, &Keyring::None()}) {
    const InvalidationPredicate read = InvalidationRecord::Unpack(packed, *keys).predicate;
    EXPECT_EQ(read.model, "m");
    EXPECT_FALSE(read.prompt_prefix);
  }
  EXPECT_EQ(InvalidationRecord::Unpack(record.Pack(), one).predicate, record.predicate);
  std::string text = packed;  // the box in another record
  text.replace(text.find(record.id), 24, std::string(24, '1'));
  EXPECT_FALSE(InvalidationRecord::Unpack(text, one).predicate.prompt_prefix);
}

}  // namespace
}  // namespace nextgate::cache
