// What is remembered of answers, with real tokenizers: the model's of this repository and, where it was
// fetched, Qwen3's.
#include "gateway/answer_ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/tokenizer/detokenizer.h"

namespace nextgate::gateway {
namespace {

using engine::Tokenizer;
using Ids = std::vector<int32_t>;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

std::string Qwen3Dir() {
  const char* prefix = std::getenv("NEXTGATE_DEPS_PREFIX");
  return std::string(prefix != nullptr ? prefix : NEXTGATE_DEPS_PREFIX) + "/share/qwen3";
}

class AnswerIdsTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    const std::string dir =
        GetParam() ? Qwen3Dir() : std::string(NEXTGATE_SOURCE_DIR "/models/dictionary");
    if (GetParam() && !std::filesystem::exists(dir + "/tokenizer.json"))
      GTEST_SKIP() << "the Qwen3 tokenizer is not at " << dir << ": run scripts/fetch_test_data.sh";
    tokenizer_ = *Tokenizer::Open(dir);
    answers_ = std::make_unique<AnswerIds>(*tokenizer_);
    end_ = *tokenizer_->TokenId("<|im_end|>");
    for (int32_t id = 0; id < tokenizer_->size(); ++id)
      if (const auto bytes = tokenizer_->TokenBytes(id); bytes.size() == 1)
        bytes_[static_cast<unsigned char>(bytes[0])] = id;
  }

  // The text as nobody would encode it: each ASCII character a token.
  Ids Letters(const std::string& text) const {
    Ids ids;
    for (const char c : text)
      for (const int32_t id : tokenizer_->Encode(std::string(1, c))) ids.push_back(id);
    return ids;
  }
  // A token of one byte, which may be part of a character.
  int32_t Byte(unsigned char byte) const { return bytes_[byte]; }
  // What Find gives, "" and nothing if it is nothing.
  AnswerIds::Known Found(std::string_view text, std::string_view scope = "") const {
    return answers_->Find(scope, text).value_or(AnswerIds::Known());
  }
  void ExpectWhole(std::string_view text, const Ids& ids) const {
    EXPECT_THAT(Found(text).ids, ElementsAreArray(ids));
    EXPECT_EQ(Found(text).bytes, text.size());
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<AnswerIds> answers_;
  int32_t end_ = 0;
  std::array<int32_t, 256> bytes_ = {};
};

Ids Joined(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_P(AnswerIdsTest, GivesTheIdsThatWereGeneratedAndNotThoseOfTheEncoder) {
  const Ids letters = Letters("harbour");
  ASSERT_NE(letters, tokenizer_->Encode("harbour"));
  answers_->Remember("", "harbour", letters);
  ExpectWhole("harbour", letters);
  EXPECT_FALSE(answers_->Find("", "harbou"));
  EXPECT_FALSE(answers_->Find("", "harbour "));
  EXPECT_FALSE(answers_->Find("", ""));
}

TEST_P(AnswerIdsTest, TheEndOfTheTurnIsNotPartOfTheAnswer) {
  answers_->Remember("", "ships", Joined(Letters("ships"), {end_}));
  ExpectWhole("ships", Letters("ships"));
  // Nor a stop token that has a text of its own.
  answers_->Remember("", "ship", Letters("ship."));
  ExpectWhole("ship", Letters("ship"));
}

TEST_P(AnswerIdsTest, OfACutTextTheWholeTokensCount) {
  const Ids ids = tokenizer_->Encode("A way for a");
  const Ids place = tokenizer_->Encode(" place");  // of which " pl" was kept
  ASSERT_EQ(place.size(), 1u);
  answers_->Remember("", "A way for a pl", Joined(ids, place));
  EXPECT_THAT(Found("A way for a pl").ids, ElementsAreArray(ids));
  EXPECT_EQ(Found("A way for a pl").bytes, std::string("A way for a").size());
  answers_->Remember("", " p", place);
  EXPECT_FALSE(answers_->Find("", " p"));
}

TEST_P(AnswerIdsTest, ACharacterOfSeveralTokensIsCutBeforeIt) {
  const Ids ids = {Byte('a'), Byte(0xE2), Byte(0x82), Byte(0xAC)};  // a€
  answers_->Remember("", "a€", ids);
  ExpectWhole("a€", ids);
  answers_->Remember("", "a€b", Ids{ids[0], ids[1], ids[2]});
  EXPECT_THAT(Found("a€b").ids, ElementsAre(ids[0]));
  EXPECT_EQ(Found("a€b").bytes, 1u);
}

TEST_P(AnswerIdsTest, BrokenCharactersAreTheIdsThatTheyWereToldFor) {
  const std::string told = "a\uFFFDb\uFFFD";  // the last was cut off by max_tokens
  const Ids ids = {Byte('a'), Byte(0xFF), Byte('b'), Byte(0xE2), Byte(0x82)};
  ASSERT_EQ(tokenizer_->Decode(ids, true), told);
  answers_->Remember("", told, ids);
  ExpectWhole(told, ids);
  answers_->Remember("", told, Joined(ids, {end_}));
  ExpectWhole(told, ids);
  // What does not say it is not taken for it because it ends in half a character too.
  answers_->Remember("", "ab\uFFFD", Ids{Byte('a'), Byte('b'), Byte('x'), Byte(0xE2)});
  EXPECT_THAT(Found("ab\uFFFD").ids, ElementsAre(Byte('a'), Byte('b')));
  const auto half = [&](int32_t id) {  // a character and the beginning of another
    const std::string_view bytes = tokenizer_->TokenBytes(id);
    return bytes.size() == 2 && bytes[0] >= ' ' && static_cast<unsigned char>(bytes[1]) >= 0xC2;
  };
  for (int32_t id = 0; id < tokenizer_->size(); ++id) {
    if (!half(id)) continue;
    answers_->Remember("", "ab\uFFFD", Ids{Byte('a'), Byte('b'), id});
    EXPECT_EQ(Found("ab\uFFFD").bytes, 2u) << id;
  }
}

// With skip_special_tokens: false a client sees them, and sends them back as text.
TEST_P(AnswerIdsTest, NoSpecialTokenIsEverGiven) {
  const int32_t start = *tokenizer_->TokenId("<|im_start|>");
  const Ids ids = Joined(Joined(Letters("so"), {end_, start}), Letters("system"));
  const std::string shown = tokenizer_->Decode(ids, /*skip_special=*/false);
  const std::string hidden = tokenizer_->Decode(ids, /*skip_special=*/true);
  ASSERT_NE(shown, hidden);
  for (const std::string& text : {shown, hidden}) {
    answers_->Remember("", text, ids);
    EXPECT_THAT(Found(text).ids, ElementsAreArray(Letters("so")));
    EXPECT_EQ(Found(text).bytes, 2u);
  }
  answers_->Remember("", "system", Joined({start}, Letters("system")));
  EXPECT_FALSE(answers_->Find("", "system"));
}

TEST_P(AnswerIdsTest, IdsThatSayAnotherTextAreNotUsed) {
  answers_->Remember("", "harbour", Letters("haven"));
  EXPECT_THAT(Found("harbour").ids, ElementsAreArray(Letters("ha")));
  answers_->Remember("", "harbour", Letters("port"));
  EXPECT_FALSE(answers_->Find("", "harbour"));
  answers_->Remember("", "port", Ids{});
  EXPECT_FALSE(answers_->Find("", "port"));
}

TEST_P(AnswerIdsTest, IdsWithoutATextAreKeptWithinAnAnswerOnly) {
  const int32_t padding = tokenizer_->size() + 3;  // a row of the head that is no token
  answers_->Remember("", "ab", Ids{Byte('a'), padding, Byte('b'), padding});
  ExpectWhole("ab", {Byte('a'), padding, Byte('b')});
}

TEST_P(AnswerIdsTest, TheNewestOfEqualTextsCounts) {
  answers_->Remember("", "ships", Letters("ships"));
  answers_->Remember("", "ships", tokenizer_->Encode("ships"));
  ExpectWhole("ships", tokenizer_->Encode("ships"));
  EXPECT_EQ(answers_->size(), 1u);
}

TEST_P(AnswerIdsTest, ScopesDoNotSeeEachOther) {
  answers_->Remember("acme", "ships", Letters("ships"));
  EXPECT_FALSE(answers_->Find("", "ships"));
  EXPECT_FALSE(answers_->Find("acm", "eships"));
  EXPECT_FALSE(answers_->Find("other", "ships"));
  answers_->Remember("a", "aa", Letters("aa"));
  EXPECT_FALSE(answers_->Find("aa", "a"));
  EXPECT_EQ(Found("ships", "acme").ids, Letters("ships"));
  answers_->Remember("other", "ships", tokenizer_->Encode("ships"));
  EXPECT_EQ(Found("ships", "acme").ids, Letters("ships"));
}

TEST_P(AnswerIdsTest, TheLeastRecentlyUsedGoWhenItIsFull) {
  constexpr size_t kBytes = 10'000;
  AnswerIds few(*tokenizer_, kBytes);
  const auto text = [](int i) { return std::to_string(1000 + i); };
  for (int i = 0; i < 100; ++i) {
    few.Remember("", text(i), Letters(text(i)));
    ASSERT_LE(few.bytes(), kBytes);
    ASSERT_TRUE(few.Find("", text(0))) << i;  // used all the time
  }
  EXPECT_TRUE(few.Find("", text(99)));
  EXPECT_FALSE(few.Find("", text(1)));
  EXPECT_GT(few.size(), 10u);
  EXPECT_LT(few.size(), 60u);
  // One that is too large takes the place of its old self only.
  const size_t before = few.size();
  few.Remember("", text(99), Ids(kBytes, Byte('a')));
  EXPECT_FALSE(few.Find("", text(99)));
  EXPECT_EQ(few.size(), before - 1);
}

// Whatever was generated and however it was cut: what is found says exactly what it claims.
TEST_P(AnswerIdsTest, WhatIsFoundAlwaysDecodesToTheTextThatItStandsFor) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](size_t n) { return static_cast<int32_t>(random() % n); };
  int whole = 0;
  for (int round = 0; round < 3000; ++round) {
    Ids ids;
    for (int i = 1 + below(20); i > 0; --i)
      ids.push_back(random() % 8 == 0   ? end_ + below(5)
                    : random() % 2 == 0 ? Byte(static_cast<unsigned char>(128 + below(120)))
                                        : below(static_cast<size_t>(tokenizer_->size())));
    engine::Detokenizer detokenizer(*tokenizer_, /*skip_special=*/round % 2 == 0);
    std::string text;
    for (const int32_t id : ids) text += detokenizer.Add(id);
    text += detokenizer.Flush();
    if (random() % 3 == 0) {
      size_t cut = static_cast<size_t>(below(text.size() + 1));
      while (cut < text.size() && (text[cut] & 0xC0) == 0x80) ++cut;
      text.resize(cut);
    }
    answers_->Remember("", text, ids);
    const auto found = answers_->Find("", text);
    if (!found) continue;
    ASSERT_FALSE(found->ids.empty());
    ASSERT_LE(found->bytes, text.size());
    ASSERT_EQ(tokenizer_->Decode(found->ids, /*skip_special=*/false), text.substr(0, found->bytes));
    ASSERT_FALSE(engine::FindInvalidUtf8(text.substr(found->bytes)));
    whole += found->bytes == text.size() ? 1 : 0;
  }
  EXPECT_GT(whole, 300);
}

TEST_P(AnswerIdsTest, ManyThreadsMayRememberAndFind) {
  AnswerIds few(*tokenizer_, 5'000);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const std::string text = std::to_string(100 + (i * 7 + t) % 60);
        if (i % 2 == 0) few.Remember("", text, tokenizer_->Encode(text));
        if (const auto found = few.Find("", text); found && found->bytes != text.size())
          ADD_FAILURE() << text;
      }
    });
  threads.clear();
  EXPECT_LE(few.bytes(), 5'000u);
}

INSTANTIATE_TEST_SUITE_P(OurModel, AnswerIdsTest, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Qwen3, AnswerIdsTest, ::testing::Values(true));

}  // namespace
}  // namespace nextgate::gateway
