// The normalised tier in a request: the real pipeline, over an engine that says what it was asked.
#include <gmock/gmock.h>

#include "tests/gateway/chat_pipeline_fixture.h"

namespace nextgate::gateway {
namespace {

class NormalisedTest : public ChatPipelineTest {
 protected:
  NormalisedTest() {
    engine_.script = [this](const engine::GenerationRequest& request) {
      ++generated_;
      return engine::Says(request, tokenizer_->Encode("Answer " + std::string(generated_, 'x')));
    };
  }

  struct Got {
    std::string cache, tier, text;
    bool operator==(const Got&) const = default;
    friend void PrintTo(const Got& got, std::ostream* out) {
      *out << got.cache << "|" << got.tier << "|" << got.text;
    }
  };
  Got Say(const std::string& text, json more = json::object(), const char* mode = "normalised") {
    if (mode != nullptr) more["cache"]["mode"] = mode;
    more["messages"] = json::array({{{"role", "user"}, {"content", text}}});
    ServerReply reply = Ask(more);
    Got got{.cache = Header(reply, "X-Cache"), .tier = Header(reply, "X-Cache-Tier"), .text = {}};
    if (reply.stream) {
      got.text = Stream(reply).Text();
    } else {
      got.text = json::parse(reply.body)["choices"][0]["message"]["content"];
    }
    Sent(reply);
    return got;
  }

  size_t generated_ = 0;
};

TEST_F(NormalisedTest, ServesWhatWasStoredForTheOtherWriting) {
  EXPECT_EQ(Say("What is a harbour?"), (Got{"MISS", "", "Answer x"}));
  EXPECT_EQ(Say("what is  a harbour"), (Got{"HIT", "normalised", "Answer x"}));
  EXPECT_EQ(Say("what is  a harbour", {{"stream", true}}), (Got{"HIT", "normalised", "Answer x"}));
  EXPECT_EQ(Say("What is a harbour?"), (Got{"HIT", "exact", "Answer x"}));
  EXPECT_EQ(generated_, 1U);
  const cache::StatsSnapshot counts = stats_.Snapshot();
  EXPECT_EQ(counts.hits[static_cast<size_t>(cache::Tier::kNormalised)], 2);
  EXPECT_EQ(counts.hits[static_cast<size_t>(cache::Tier::kExact)], 1);
  EXPECT_EQ(counts.misses, 1);
  store_.ForEach([](const Hash128&, const auto& entry) { EXPECT_EQ(entry->hits.value(), 3); });
  EXPECT_EQ(store_.stats().entries, 1);
}

TEST_F(NormalisedTest, IsOffUnlessAskedFor) {
  EXPECT_EQ(Say("What is it?", {}, nullptr).cache, "MISS");
  EXPECT_EQ(Say("what is it", {}, nullptr).cache, "MISS");
  EXPECT_EQ(Say("What is  it", {}, "exact").cache, "MISS");
  // What was stored without the tier is not found through it.
  EXPECT_EQ(Say("what  is  it").cache, "MISS");
  EXPECT_EQ(Say("What is  it!").tier, "normalised");
  EXPECT_EQ(Say("What is  it!", {}, "exact").cache, "MISS");
}

TEST_F(NormalisedTest, NeverForOtherParametersScopesOrTexts) {
  EXPECT_EQ(Say("What is it?").cache, "MISS");
  EXPECT_EQ(Say("what is it", {{"max_tokens", 5}}).cache, "MISS");
  EXPECT_EQ(Say("what is it", {{"stop", "z"}}).cache, "MISS");
  EXPECT_EQ(Say("what is it", {{"cache", {{"namespace", "n"}}}}).cache, "MISS");
  EXPECT_EQ(Say("what is it not").cache, "MISS");
  EXPECT_EQ(Say("Tell us").cache, "MISS");
  EXPECT_EQ(Say("Tell US").cache, "MISS");
  EXPECT_EQ(Say("add 2").cache, "MISS");
  EXPECT_EQ(Say("Add 2").cache, "MISS");
  EXPECT_EQ(Say("Add 2").tier, "exact");
}

TEST_F(NormalisedTest, WhatEndsTheEntryEndsItHereToo) {
  EXPECT_EQ(Say("What is it?").cache, "MISS");
  EXPECT_EQ(Say("what is it").tier, "normalised");
  cache::InvalidationPredicate everything;
  invalidations_.Issue(everything, Clock::System().UnixMs());
  EXPECT_EQ(Say("what is it"), (Got{"MISS", "", "Answer xx"}));
  EXPECT_EQ(Say("What is it?"), (Got{"HIT", "normalised", "Answer xx"}));
  store_.Clear();
  EXPECT_EQ(Say("What is it?").cache, "MISS");
}

TEST_F(NormalisedTest, AnAgeThatIsTooHighIsAMiss) {
  EXPECT_EQ(Say("What is it?").cache, "MISS");
  EXPECT_EQ(Say("what is it", {{"cache", {{"s-maxage", 1000}}}}).tier, "normalised");
  EXPECT_EQ(Say("what is it", {{"cache", {{"no-cache", true}}}}).cache, "BYPASS");
  EXPECT_EQ(Say("what is  it", {{"cache", {{"s-maxage", 1000}}}}),
            (Got{"HIT", "normalised", "Answer xx"}));
}

// Who only takes exact answers waits behind one who takes less, and gets an answer of his own.
TEST_F(NormalisedTest, AFollowerOfTheExactTierIsNotServedFromTheNormalisedOne) {
  auto [flight, first] = flights_.Join(
      pipeline_
          .Plan(
              *openai::ParseChatRequest(
                  R"({"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "what is it"}]})",
                  {.vocab_size = 8192}),
              "")
          ->key);
  ASSERT_TRUE(first);
  EXPECT_EQ(Say("What is it?", {{"model", "m"}}).cache, "MISS");
  cache::CacheHit near;
  store_.ForEach([&](const Hash128& id, const auto& entry) {
    near = {.answer = entry->answer, .entry = entry, .id = id, .tier = cache::Tier::kNormalised};
  });
  flight->BeginStored(near);
  EXPECT_EQ(Say("what is it", {{"model", "m"}}, "exact"), (Got{"MISS", "", "Answer xx"}));
}

}  // namespace
}  // namespace nextgate::gateway
