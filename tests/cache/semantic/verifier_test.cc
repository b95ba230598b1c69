// What is served follows the evidence, the same on every instance, in bounded memory.
#include "cache/semantic/verifier.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace nextgate::cache {
namespace {

constexpr Hash128 kBank = {1, 1}, kShop = {2, 2};
using Evidence = Verifier::Evidence;

Verifier::Options Verified(double error_max) {
  return {.mode = Verifier::Mode::kVerified, .error_max = error_max};
}

Evidence Label(float cosine, bool right, uint64_t entry, Hash128 partition = kBank) {
  return {.candidate = {.partition = partition, .entry = {0, entry}, .cosine = cosine},
          .right = right};
}

bool Serves(const Verifier& verifier, float cosine, uint64_t entry = 1u << 30,
            Hash128 partition = kBank) {
  return verifier.Rule({.partition = partition, .entry = {0, entry}, .cosine = cosine}).serve;
}

// `count` labels at random cosines, wrong with a chance of 2 * (1 - cosine)^2, each of an entry of its own.
std::vector<Evidence> Traffic(int count, uint64_t seed, Hash128 partition = kBank) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<> uniform;
  std::vector<Evidence> evidence;
  for (int i = 0; i < count; ++i) {
    const double cosine = 0.5 + 0.5 * uniform(random);
    const bool right = uniform(random) >= 2 * (1 - cosine) * (1 - cosine);
    evidence.push_back(
        Label(static_cast<float>(cosine), right, static_cast<uint64_t>(i), partition));
  }
  return evidence;
}

void Fold(Verifier& verifier, const std::vector<Evidence>& evidence) {
  for (const Evidence& each : evidence) verifier.Observe(each);
}

TEST(Verifier, StaticServesFromTheThresholdOn) {
  const Verifier verifier({.mode = Verifier::Mode::kStatic, .threshold = 0.9f});
  const Verifier::Ruling at = verifier.Rule({.partition = kBank, .cosine = 0.9f});
  EXPECT_TRUE(at.serve);
  EXPECT_EQ(at.observe, verifier.options().observe_served);
  EXPECT_EQ(at.threshold, 0.9f);
  const Verifier::Ruling below = verifier.Rule({.partition = kBank, .cosine = 0.8999f});
  EXPECT_FALSE(below.serve);
  EXPECT_EQ(below.observe, verifier.options().observe_unserved);
}

TEST(Verifier, WithoutEvidenceNothingIsServed) {
  const Verifier verifier(Verified(0.05));
  const Verifier::Ruling ruling = verifier.Rule({.partition = kBank, .cosine = 1});
  EXPECT_FALSE(ruling.serve);
  EXPECT_EQ(ruling.threshold, 2);
  EXPECT_EQ(ruling.observe, 1);
}

TEST(Verifier, ServesWhatEvidenceSupportsAndLessForATighterBound) {
  Verifier loose(Verified(0.05)), tight(Verified(0.01));
  Fold(loose, Traffic(8000, 1));
  Fold(tight, Traffic(8000, 1));
  EXPECT_TRUE(Serves(loose, 0.95f));
  EXPECT_FALSE(Serves(loose, 0.6f));
  const SemanticCandidate fresh = {.partition = kBank, .entry = {9, 9}, .cosine = 0.9f};
  EXPECT_LT(loose.Rule(fresh).threshold, tight.Rule(fresh).threshold);
  // Above a cosine of 1 - x a share of 2 * x^2 / 3 is wrong: 5 % at 0.726, 1 % at 0.878.
  EXPECT_GT(loose.Rule(fresh).threshold, 0.726f);
  EXPECT_GT(tight.Rule(fresh).threshold, 0.878f);
}

TEST(Verifier, ANewEntryNeedsNoLabelsOfItsOwn) {
  Verifier verifier(Verified(0.05));
  Fold(verifier, Traffic(4000, 2));
  EXPECT_TRUE(Serves(verifier, 0.97f, 123'456'789));
}

TEST(Verifier, AnEntryIsServedLessAfterItWasWrongAndMoreAfterItWasRight) {
  Verifier verifier(Verified(0.05));
  Fold(verifier, Traffic(4000, 3));
  const SemanticCandidate candidate = {.partition = kBank, .entry = {0, 77'777}, .cosine = 0.9f};
  const Verifier::Ruling before = verifier.Rule(candidate);
  verifier.Observe(Label(0.9f, false, 77'777));
  const Verifier::Ruling after = verifier.Rule(candidate);
  EXPECT_GT(after.threshold, before.threshold + 0.02f);
  EXPECT_LT(after.p_right, before.p_right);
  for (int i = 0; i < 30; ++i) verifier.Observe(Label(0.7f, true, 88'888));
  EXPECT_LT(verifier.Rule({.partition = kBank, .entry = {0, 88'888}, .cosine = 0.9f}).threshold,
            before.threshold);
}

TEST(Verifier, FeedbackMovesItsEntryAndNoRate) {
  Verifier verifier(Verified(0.05));
  Fold(verifier, Traffic(4000, 4));
  const SemanticCandidate candidate = {.partition = kBank, .entry = {0, 5}, .cosine = 0.9f};
  const SemanticCandidate other = {.partition = kBank, .entry = {7, 7}, .cosine = 0.9f};
  const float before = verifier.Rule(candidate).threshold,
              of_other = verifier.Rule(other).threshold;
  verifier.Observe({.candidate = candidate,
                    .served = true,
                    .observe = 0,
                    .right = false,
                    .source = Evidence::Source::kFeedback});
  EXPECT_GT(verifier.Rule(candidate).threshold, before);
  EXPECT_EQ(verifier.Rule(other).threshold, of_other);
  EXPECT_EQ(verifier.ServedError().observed, 0);
}

TEST(Verifier, StopsServingAPartitionWhoseHitsTurnWrongAndNoOther) {
  Verifier verifier(Verified(0.05));
  Fold(verifier, Traffic(6000, 5));
  Fold(verifier, Traffic(300, 6, kShop));
  ASSERT_TRUE(Serves(verifier, 0.97f, 1u << 30, kShop));
  int labels = 0;
  while (labels < 200 && Serves(verifier, 0.97f, 1u << 30, kShop)) {
    Evidence wrong = Label(0.97f, labels % 2 == 0, 1000u + static_cast<uint64_t>(labels), kShop);
    wrong.served = true;
    wrong.observe = 0.02;
    verifier.Observe(wrong);
    ++labels;
  }
  EXPECT_LT(labels, 40);
  EXPECT_EQ(verifier.size().alarms, 1);
  EXPECT_TRUE(Serves(verifier, 0.97f));
}

TEST(Verifier, AComparatorThatMissesWrongHitsCostsThreshold) {
  Verifier::Options missing = Verified(0.05);
  missing.comparator = {.false_same = 60, .num_wrong = 200};
  Verifier trusting(Verified(0.05)), careful(missing);
  Fold(trusting, Traffic(8000, 7));
  Fold(careful, Traffic(8000, 7));
  const SemanticCandidate fresh = {.partition = kBank, .entry = {9, 9}, .cosine = 0.9f};
  EXPECT_GT(careful.Rule(fresh).threshold, trusting.Rule(fresh).threshold);
}

TEST(Verifier, MeasuresTheErrorOfServedHits) {
  Verifier verifier(Verified(0.05));
  for (int i = 0; i < 200; ++i) {
    Evidence label = Label(0.95f, i >= 3, static_cast<uint64_t>(i), i % 2 == 0 ? kBank : kShop);
    label.served = true;
    label.observe = 0.02;
    verifier.Observe(label);
    label.served = false;
    label.right = false;
    verifier.Observe(label);  // not served, so not in it
  }
  const Verifier::Bound all = verifier.ServedError();
  EXPECT_EQ(all.observed, 200);
  EXPECT_EQ(all.wrong, 3);
  EXPECT_NEAR(all.hits, 10'000, 1e-6);
  EXPECT_NEAR(all.error, 0.015, 1e-12);
  EXPECT_NEAR(all.interval.low, 0.00310410762155351, 1e-9);
  EXPECT_NEAR(all.interval.high, 0.0432082819177126, 1e-9);
  EXPECT_EQ(verifier.ServedError(kBank).wrong, 2);
  EXPECT_EQ(verifier.ServedError({3, 3}).observed, 0);
}

TEST(Verifier, LabelsHadWithALowerProbabilityStandForMoreHits) {
  Verifier verifier(Verified(0.05));
  Evidence often = Label(0.95f, true, 1), seldom = Label(0.95f, false, 2);
  often.served = seldom.served = true;
  often.observe = 0.5;
  seldom.observe = 0.1;
  verifier.Observe(often);
  verifier.Observe(seldom);
  EXPECT_NEAR(verifier.ServedError().hits, 12, 1e-12);
  EXPECT_NEAR(verifier.ServedError().error, 10.0 / 12, 1e-12);
}

TEST(Verifier, SuggestsAThresholdPerPartitionAndBound) {
  Verifier verifier({.mode = Verifier::Mode::kStatic});
  Fold(verifier, Traffic(8000, 8));
  Fold(verifier, Traffic(20, 9, kShop));
  const std::vector<Verifier::Suggestion> all = verifier.Suggest();
  ASSERT_EQ(all.size(), 8u);
  float last = 2;
  for (const Verifier::Suggestion& suggestion : all) {
    if (suggestion.partition == kShop) {
      EXPECT_FALSE(suggestion.threshold.has_value());
      continue;
    }
    if (!suggestion.threshold) continue;
    EXPECT_LE(*suggestion.threshold, last);
    last = *suggestion.threshold;
    EXPECT_LE(suggestion.error.error, suggestion.error_max);
    EXPECT_NEAR(suggestion.rate, (1 - *suggestion.threshold) / 0.5, 0.03);
  }
  EXPECT_GT(last, 0.726f);
  EXPECT_LT(last, 0.80f);
}

TEST(Verifier, EvidenceThatCannotBeIsIgnored) {
  Verifier verifier(Verified(0.05));
  const std::string before = verifier.Pack();
  for (const float cosine : {std::numeric_limits<float>::quiet_NaN(), 2.0f, -3.0f})
    verifier.Observe(Label(cosine, true, 1));
  for (const double observe : {0.0, -1.0, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    Evidence label = Label(0.9f, true, 1);
    label.observe = observe;
    verifier.Observe(label);
  }
  EXPECT_EQ(verifier.Pack(), before);
  EXPECT_FALSE(Serves(verifier, std::numeric_limits<float>::quiet_NaN()));
}

TEST(Verifier, EqualEvidenceInEqualOrderIsEqualStateAndPackingKeepsIt) {
  Verifier one(Verified(0.02)), two(Verified(0.02));
  for (const Evidence& label : Traffic(3000, 10)) {
    one.Observe(label);
    (void)one.Rule(label.candidate);  // which changes nothing
    two.Observe(label);
  }
  EXPECT_EQ(one.Pack(), two.Pack());

  Verifier three(Verified(0.02));
  ASSERT_TRUE(three.Unpack(one.Pack()));
  EXPECT_EQ(three.Pack(), one.Pack());
  for (const Evidence& label : Traffic(1000, 11, kShop)) {
    EXPECT_EQ(one.Rule(label.candidate).threshold, three.Rule(label.candidate).threshold);
    one.Observe(label);
    three.Observe(label);
  }
  EXPECT_EQ(three.Pack(), one.Pack());
}

TEST(Verifier, DamagedBytesAreRefusedAndChangeNothing) {
  Verifier verifier(Verified(0.02));
  Fold(verifier, Traffic(50, 12));
  const std::string good = verifier.Pack();
  for (size_t at = 0; at < good.size(); at += 7) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    const Status status = verifier.Unpack(bad);
    ASSERT_FALSE(status) << at;
    EXPECT_EQ(status.error().code, ErrorCode::kDataLoss);
  }
  for (const size_t size : {size_t{0}, size_t{3}, size_t{30}, good.size() - 1})
    EXPECT_FALSE(verifier.Unpack(good.substr(0, size)));
  EXPECT_EQ(verifier.Pack(), good);
}

TEST(Verifier, PartitionsAndEntriesAreBounded) {
  Verifier::Options options = Verified(0.05);
  options.partitions_max = 3;
  options.entries_max = 10;
  Verifier verifier(options);
  for (uint64_t i = 0; i < 100; ++i) verifier.Observe(Label(0.9f, true, i, Hash128{i % 7, i % 7}));
  EXPECT_EQ(verifier.size().partitions, 3);
  EXPECT_EQ(verifier.size().entries, 10);

  Verifier large(Verified(0.05));
  Fold(large, Traffic(100, 13));
  ASSERT_TRUE(verifier.Unpack(large.Pack()));
  EXPECT_EQ(verifier.size().entries, 10);
}

TEST(Verifier, OptionsOutOfTheirRangesAreNamed) {
  EXPECT_TRUE(Verifier::ValidateOptions({}));
  EXPECT_EQ(Verifier::ValidateOptions({.error_max = 0}).error().param, "error_max");
  EXPECT_EQ(Verifier::ValidateOptions({.confidence = 1}).error().param, "confidence");
  EXPECT_EQ(Verifier::ValidateOptions({.mode = Verifier::Mode::kVerified, .observe_served = 0})
                .error()
                .param,
            "observe_served");
  EXPECT_EQ(Verifier::ValidateOptions({.observe_served = -1}).error().param, "observe_served");
  EXPECT_TRUE(Verifier::ValidateOptions({.observe_served = 0}));  // static: nothing to learn from
  EXPECT_EQ(Verifier::ValidateOptions({.observe_unserved = 2}).error().param, "observe_unserved");
  EXPECT_EQ(Verifier::ValidateOptions({.comparator = {.false_same = 1}}).error().param,
            "comparator");
  EXPECT_FALSE(Verifier::ValidateOptions({.entries_max = 0}));
}

}  // namespace
}  // namespace nextgate::cache
