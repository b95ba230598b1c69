#include "cache/live_record.h"

#include <gtest/gtest.h>

#include <random>

namespace nextgate::cache {
namespace {

const LivePlace kPlace{.stream = "{n}:live:h:7", .holder = "7 token", .number = 3};

// Everything said, as one string.
std::string Told(std::string_view events, bool* well_formed = nullptr) {
  std::string told;
  const bool good = TellEvents(
      events,
      {.hello = [&](std::string_view digest, int32_t n,
                    int64_t) { told += "hello " + std::string(digest) + std::to_string(n); },
       .delta =
           [&](const AnswerDelta& d) {
             told += "|" + std::to_string(d.choice) + std::string(d.text) +
                     std::to_string(d.token_ids.size()) + std::string(d.logprobs);
           },
       .finish =
           [&](int32_t c, const AnswerChoice& e) {
             told += "|end" + std::to_string(c) + e.finish_reason + e.stop_reason + e.extras;
           },
       .end =
           [&](AnswerBuilder::Ending e) {
             told += "|all" + std::to_string(e.choices.size()) +
                     std::to_string(e.usage.completion_tokens) + e.extras;
           },
       .given_up = [&] { told += "|given up"; }});
  if (well_formed != nullptr) *well_formed = good;
  return told;
}

std::string Everything() {
  LiveBatch batch;
  batch.Hello("digest", 2);
  const std::vector<int32_t> ids = {1, -5, 1'000'000};
  batch.Delta({.choice = 1, .text = "Wörter", .token_ids = ids, .logprobs = "{}", .extras = ""});
  batch.Finish(1, {.finish_reason = "stop", .stop_reason = "\"x\"", .extras = "{\"a\":1}"});
  batch.End({.choices = {{.finish_reason = "stop"}, {.finish_reason = "length"}},
             .usage = {.completion_tokens = 9},
             .extras = "{}"});
  batch.GiveUp();
  return batch.bytes();
}

TEST(LiveRecord, TellsWhatWasSaid) {
  bool good = false;
  EXPECT_EQ(Told(Everything(), &good),
            "hello digest2|1Wörter3{}|end1stop\"x\"{\"a\":1}|all29{}|given up");
  EXPECT_TRUE(good);
  EXPECT_TRUE(LiveBatch().empty());
}

TEST(LiveRecord, WhatIsCutOffOrDamagedIsMalformedAndNeverReadBeyond) {
  const std::string whole = Everything();
  const std::string all = Told(whole);
  for (size_t size = 0; size < whole.size(); ++size) {
    bool good = true;
    EXPECT_EQ(all.find(Told(std::string(whole.substr(0, size)), &good)), 0u);
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = whole;
    for (int n = 0; n < 3; ++n) damaged[random() % damaged.size()] = static_cast<char>(random());
    Told(damaged);  // under ASan: reads nothing that is not there
  }
}

TEST(LiveRecord, CountsOnlyInItsPlaceAndUnderItsSecret) {
  const LiveCodec codec("secret"), stranger("another");
  const std::string record = codec.Seal(kPlace, "events");
  EXPECT_EQ(codec.Open(kPlace, record), "events");
  EXPECT_FALSE(stranger.Open(kPlace, record));
  EXPECT_FALSE(codec.Open({"{n}:live:h:8", kPlace.holder, 3}, record));
  EXPECT_FALSE(codec.Open({kPlace.stream, "7 other", 3}, record));
  EXPECT_FALSE(codec.Open({kPlace.stream, kPlace.holder, 4}, record));
  EXPECT_FALSE(codec.Open(kPlace, record.substr(1)));
  EXPECT_FALSE(codec.Open(kPlace, "short"));
  std::string changed = record;
  changed[0] ^= 1;
  EXPECT_FALSE(codec.Open(kPlace, changed));
}

TEST(LiveRecord, TheDigestOfAMaterialNeedsTheSecret) {
  EXPECT_EQ(LiveCodec("s").DigestOf("m"), LiveCodec("s").DigestOf("m"));
  EXPECT_NE(LiveCodec("s").DigestOf("m"), LiveCodec("s").DigestOf("n"));
  EXPECT_NE(LiveCodec("s").DigestOf("m"), LiveCodec("t").DigestOf("m"));
}

}  // namespace
}  // namespace nextgate::cache
