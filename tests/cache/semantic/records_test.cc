// Records of the semantic tier: what is packed comes back, and nothing else is believed.
#include "cache/semantic/records.h"

#include <gtest/gtest.h>

#include <random>

#include "cache/hmac.h"

namespace nextgate::cache {
namespace {

constexpr Hash128 kA{.high = 1, .low = ~0ULL}, kB{.high = 3, .low = 4};

SemanticRecord Question() {
  return QuestionRecord{.group = kA,
                        .id = kB,
                        .expires_unix_ms = 1'700'000'000'123,
                        .vector = {0.5F, -0.25F, 0, 1, 0.333F}};
}
SemanticRecord SomeEvidence() {
  return EvidenceRecord{
      .id = 77,
      .evidence = {
          .candidate = {.partition = kA, .entry = kB, .cosine = 0.91F, .cosine_second = 0.5F},
          .served = true,
          .observe = 0.02,
          .right = false,
          .source = Verifier::Evidence::Source::kFeedback}};
}

class Records : public ::testing::TestWithParam<bool> {
 protected:
  Keyring keys_ = GetParam() ? Keyring({RandomBytes(32)}) : Keyring();
  SemanticCodec codec_{"a common secret", keys_};
};
INSTANTIATE_TEST_SUITE_P(PlainAndEncrypted, Records, ::testing::Bool());

TEST_P(Records, ComeBackAsTheyWere) {
  const auto question = codec_.Open("q", codec_.Seal("q", Question()));
  ASSERT_TRUE(question);
  const auto& q = std::get<QuestionRecord>(*question);
  EXPECT_EQ(q.group, kA);
  EXPECT_EQ(q.id, kB);
  EXPECT_EQ(q.expires_unix_ms, 1'700'000'000'123);
  ASSERT_EQ(q.vector.size(), 5U);
  EXPECT_EQ(q.vector[1], -0.25F);             // halves are exact where a half can be
  EXPECT_NEAR(q.vector[4], 0.333F, 0.0002F);  // and near elsewhere

  const auto evidence = codec_.Open("e", codec_.Seal("e", SomeEvidence()));
  ASSERT_TRUE(evidence);
  const auto& e = std::get<EvidenceRecord>(*evidence);
  EXPECT_EQ(e.id, 77U);
  EXPECT_EQ(e.evidence.candidate.entry, kB);
  EXPECT_EQ(e.evidence.candidate.cosine, 0.91F);
  EXPECT_EQ(e.evidence.candidate.cosine_second, 0.5F);
  EXPECT_TRUE(e.evidence.served);
  EXPECT_FALSE(e.evidence.right);
  EXPECT_EQ(e.evidence.observe, 0.02);
  EXPECT_EQ(e.evidence.source, Verifier::Evidence::Source::kFeedback);

  const auto rejection = codec_.Open("r", codec_.Seal("r", Rejection{.asked = kA, .entry = kB}));
  ASSERT_TRUE(rejection);
  EXPECT_EQ(std::get<Rejection>(*rejection), (Rejection{.asked = kA, .entry = kB}));
}

TEST_P(Records, AreOfNoUseInAnotherPlaceOrWithoutTheSecret) {
  const std::string bytes = codec_.Seal("q", Question());
  EXPECT_FALSE(codec_.Open("p", bytes));
  EXPECT_FALSE(SemanticCodec("another secret", keys_).Open("q", bytes));
}

TEST_P(Records, EveryChangedOrMissingByteIsNoticed) {
  const std::string bytes = codec_.Seal("e", SomeEvidence());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    const auto opened = codec_.Open("e", changed);
    ASSERT_FALSE(opened) << i;
    EXPECT_EQ(opened.error().code, ErrorCode::kDataLoss);
    EXPECT_FALSE(codec_.Open("e", bytes.substr(0, i))) << i;
  }
}

TEST(Records, NonsenseThatIsSignedIsNotBelieved) {
  const SemanticCodec codec("secret");
  const auto opens = [&](const SemanticRecord& record) {
    return codec.Open("p", codec.Seal("p", record)).has_value();
  };
  auto evidence = std::get<EvidenceRecord>(SomeEvidence());
  EXPECT_TRUE(opens(evidence));
  for (const double observe : {0.0, -1.0, 1.5, std::nan("")}) {
    evidence.evidence.observe = observe;
    EXPECT_FALSE(opens(evidence)) << observe;
  }
  evidence.evidence.observe = 1;
  for (const float cosine : {-2.0F, 1.5F, std::nanf("")}) {
    evidence.evidence.candidate.cosine = cosine;
    EXPECT_FALSE(opens(evidence)) << cosine;
  }
  EXPECT_FALSE(opens(QuestionRecord{.group = kA, .id = kB, .vector = {1e30F}}));  // no half
}

TEST(Records, EncryptedOnesNeedTheirKey) {
  const Keyring keys({RandomBytes(32)});
  const std::string bytes = SemanticCodec("secret", keys).Seal("q", Question());
  EXPECT_FALSE(SemanticCodec("secret").Open("q", bytes));
  EXPECT_TRUE(
      SemanticCodec("secret", keys).Open("q", SemanticCodec("secret").Seal("q", Question())));
}

}  // namespace
}  // namespace nextgate::cache
