#include "cache/entry_codec.h"

#include <gtest/gtest.h>

#include <random>

#include "cache/hmac.h"
#include "cache/wire.h"

namespace nextgate::cache {
namespace {

constexpr Hash128 kHash{.high = 7, .low = 9};

class EntryCodecTest : public testing::Test {
 protected:
  std::string RandomText(size_t size_max) {
    std::string text(random_() % (size_max + 1), '\0');
    for (char& c : text) c = static_cast<char>(random_());
    return text;
  }

  StoredAnswer RandomEntry() {
    AnswerBuilder builder;
    AnswerBuilder::Ending ending{.usage = {.prompt_tokens = static_cast<int32_t>(random_() % 1000),
                                           .completion_tokens = static_cast<int32_t>(random_() % 9),
                                           .cached_tokens = static_cast<int32_t>(random_() % 9)},
                                 .extras = RandomText(30)};
    ending.choices.resize(1 + random_() % 4);
    for (AnswerChoice& choice : ending.choices)
      choice = {.finish_reason = "stop", .stop_reason = RandomText(9), .extras = RandomText(40)};
    for (size_t left = random_() % 60; left > 0; --left) {
      std::vector<int32_t> ids(random_() % 4);
      for (int32_t& id : ids) id = static_cast<int32_t>(random_() % 151'936);
      const std::string text = RandomText(12), logprobs = RandomText(20), extras = RandomText(3);
      builder.Append({.choice = static_cast<int32_t>(random_() % ending.choices.size()),
                      .text = text,
                      .token_ids = ids,
                      .logprobs = logprobs,
                      .extras = extras});
    }
    return {.material = RandomText(5000),
            .answer = builder.Finish(std::move(ending)),
            .created_unix_ms = static_cast<int64_t>(random_()),
            .expires_unix_ms = static_cast<int64_t>(random_()),
            .origin = {.model = RandomText(40),
                       .route = RandomText(20),
                       .scope = {.tenant = RandomText(9), .name_space = RandomText(300)}},
            .hits = HitCounter(static_cast<int64_t>(random_()))};
  }

  std::mt19937 random_{std::random_device{}()};
  EntryCodec codec_{"a shared secret"};
};

void ExpectEqual(const StoredAnswer& a, const StoredAnswer& b) {
  EXPECT_EQ(a.material, b.material);
  EXPECT_EQ(a.created_unix_ms, b.created_unix_ms);
  EXPECT_EQ(a.expires_unix_ms, b.expires_unix_ms);
  EXPECT_EQ(a.origin, b.origin);
  EXPECT_EQ(a.hits.value(), b.hits.value());
  EXPECT_EQ(a.answer->extras(), b.answer->extras());
  EXPECT_EQ(a.answer->usage().prompt_tokens, b.answer->usage().prompt_tokens);
  EXPECT_EQ(a.answer->usage().completion_tokens, b.answer->usage().completion_tokens);
  EXPECT_EQ(a.answer->usage().cached_tokens, b.answer->usage().cached_tokens);
  ASSERT_EQ(a.answer->choices().size(), b.answer->choices().size());
  for (size_t i = 0; i < a.answer->choices().size(); ++i) {
    EXPECT_EQ(a.answer->choices()[i].finish_reason, b.answer->choices()[i].finish_reason);
    EXPECT_EQ(a.answer->choices()[i].stop_reason, b.answer->choices()[i].stop_reason);
    EXPECT_EQ(a.answer->choices()[i].extras, b.answer->choices()[i].extras);
  }
  ASSERT_EQ(a.answer->num_deltas(), b.answer->num_deltas());
  for (size_t i = 0; i < a.answer->num_deltas(); ++i) {
    const AnswerDelta x = a.answer->delta(i), y = b.answer->delta(i);
    EXPECT_EQ(x.choice, y.choice);
    EXPECT_EQ(x.text, y.text);
    EXPECT_TRUE(std::ranges::equal(x.token_ids, y.token_ids));
    EXPECT_EQ(x.logprobs, y.logprobs);
    EXPECT_EQ(x.extras, y.extras);
  }
}

TEST_F(EntryCodecTest, AnyAnswerComesBackAsItWas) {
  for (int i = 0; i < 300; ++i) {
    const StoredAnswer entry = RandomEntry();
    const std::string bytes = codec_.Encode(kHash, entry);
    const auto back = codec_.Decode(kHash, bytes);
    ASSERT_TRUE(back) << back.error().message;
    ExpectEqual(entry, *back);
    EXPECT_EQ(codec_.Encode(kHash, *back), bytes);
  }
}

TEST_F(EntryCodecTest, TheBeginningOfAnEntryIsEnoughForItsSummary) {
  for (int i = 0; i < 100; ++i) {
    const StoredAnswer entry = RandomEntry();
    const std::string bytes = codec_.Encode(kHash, entry);
    const auto summary = codec_.DecodeSummary(kHash, bytes.substr(0, EntryCodec::kHeaderBytesMax));
    ASSERT_TRUE(summary) << summary.error().message;
    EXPECT_EQ(summary->id, kHash);
    EXPECT_EQ(summary->created_unix_ms, entry.created_unix_ms);
    EXPECT_EQ(summary->origin, entry.origin);
    EXPECT_EQ(summary->hits, entry.hits.value());
    EXPECT_EQ(summary->completion_tokens, entry.answer->usage().completion_tokens);
    EXPECT_FALSE(codec_.DecodeSummary({.high = 7, .low = 8}, bytes)) << "moved to another key";
    EXPECT_FALSE(EntryCodec("another secret").DecodeSummary(kHash, bytes));
  }
  StoredAnswer wide = RandomEntry();
  const std::string long_text(100'000, 'x');
  wide.origin = {.model = long_text,
                 .route = long_text,
                 .scope = {long_text, long_text, long_text, long_text}};
  wide.material = std::string(64, 'a') + ":" + long_text + "\n{}";
  const std::string bytes = codec_.Encode(kHash, wide);
  EXPECT_TRUE(codec_.DecodeSummary(kHash, bytes.substr(0, EntryCodec::kHeaderBytesMax)));
}

TEST_F(EntryCodecTest, NothingThatWasChangedOrCutIsRead) {
  const std::string bytes = codec_.Encode(kHash, RandomEntry());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ (1 << (random_() % 8)));
    EXPECT_FALSE(codec_.Decode(kHash, changed)) << i;
    EXPECT_FALSE(codec_.Decode(kHash, bytes.substr(0, i))) << i;
  }
  EXPECT_FALSE(codec_.Decode(kHash, bytes + "x"));
  EXPECT_FALSE(codec_.Decode({.high = 7, .low = 8}, bytes)) << "moved to another key";
  EXPECT_FALSE(EntryCodec("another secret").Decode(kHash, bytes));
  EXPECT_FALSE(codec_.Decode(kHash, ""));
}

// Somebody who knows the secret, or a bug of ours: still no crash, no wild allocation.
TEST_F(EntryCodecTest, SignedNonsenseIsRefused) {
  const std::string key = HmacSha256("a shared secret", "nextgate entry digest");
  const auto sign = [&](std::string bytes) {
    return bytes + HmacSha256(key, kHash.Hex() + bytes).substr(0, 16);
  };
  const std::string good = codec_.Encode(kHash, RandomEntry());
  ASSERT_EQ(sign(good.substr(0, good.size() - 16)), good) << "the test signs as the codec does";
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good.substr(0, good.size() - 16);
    for (int edits = 1 + static_cast<int>(random_() % 3); edits > 0; --edits)
      bytes[4 + random_() % (bytes.size() - 4)] = static_cast<char>(random_());
    const auto entry = codec_.Decode(kHash, sign(std::move(bytes)));
    if (entry) {
      EXPECT_NE(entry->answer, nullptr);
    }
  }
}

TEST(Wire, ReadsWhatItWroteAndStaysFailedPastTheEnd) {
  const int64_t values[] = {0, 1, -1, 63, -64, 127, 128, INT64_MAX, INT64_MIN};
  WireWriter out;
  for (const int64_t value : values) out.Signed(value);
  out.Unsigned(UINT64_MAX);
  out.Text(std::string("a\0b", 3));
  WireReader in(out.bytes());
  for (const int64_t value : values) EXPECT_EQ(in.Signed(), value);
  EXPECT_EQ(in.Unsigned(), UINT64_MAX);
  EXPECT_EQ(in.Text(), std::string_view("a\0b", 3));
  EXPECT_TRUE(in.Done());
  EXPECT_EQ(in.Unsigned(), 0u);
  EXPECT_TRUE(in.failed());
  EXPECT_FALSE(in.Done());

  WireReader too_long("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");  // 65 bits
  EXPECT_EQ(too_long.Unsigned(), 0u);
  EXPECT_TRUE(too_long.failed());
  WireReader lying(
      "\x05"
      "ab");  // says five bytes, has two
  EXPECT_EQ(lying.Text(), "");
  EXPECT_TRUE(lying.failed());
}

}  // namespace
}  // namespace nextgate::cache
