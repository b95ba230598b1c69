#include "gateway/upstream/chunk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "gateway/said.h"
#include "gateway/upstream/recorded.h"

namespace nextgate::gateway {
namespace {

using cache::AnswerChoice;
using cache::AnswerDelta;
using nlohmann::json;
using nlohmann::ordered_json;
using ::testing::Optional;

TEST(Chunk, FactsAreThoseOfItsOnlyChoice) {
  const auto facts = FactsOf(
      R"({"choices":[{"index":0,"text":"ab","token_ids":[1,2],"logprobs":{"tokens":["a","b"]}}]})");
  EXPECT_TRUE(facts.has_choices && facts.only_text);
  EXPECT_EQ(facts.tokens, 2U);
  EXPECT_FALSE(FactsOf(R"({"choices":[],"usage":{"prompt_tokens":1}})").has_choices);
  EXPECT_FALSE(
      FactsOf(R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]})").only_text);
  EXPECT_FALSE(FactsOf(R"({"choices":[{"index":0,"delta":{"reasoning_content":"x"}}]})").only_text);
  EXPECT_TRUE(
      FactsOf(R"({"choices":[{"index":0,"delta":{"content":"x","tool_calls":[]}}]})").only_text);
  EXPECT_FALSE(FactsOf(R"({"choices":[{"text":"a"},{"text":"b"}]})").only_text);
  EXPECT_FALSE(FactsOf("[1]").has_choices);
  EXPECT_FALSE(FactsOf(std::string(100'000, '[')).has_choices);
}

TEST(Chunk, ItsBeginningIsLeftOutOfAllThatGoesWithTheTokens) {
  EXPECT_THAT(
      WithoutBeginning(
          R"({"id":"c","choices":[{"index":1,"text":"harbour","token_ids":[7,8,9],"finish_reason":null,"logprobs":{"text_offset":[0,3,5],"tokens":["har","bo","ur"],"token_logprobs":[-1,-2,-3],"top_logprobs":null}}],"model":"m"})",
          3, 1),
      Optional(std::string(
          R"({"id":"c","choices":[{"index":1,"text":"bour","token_ids":[8,9],"finish_reason":null,"logprobs":{"text_offset":[3,5],"tokens":["bo","ur"],"token_logprobs":[-2,-3],"top_logprobs":null}}],"model":"m"})")));
  EXPECT_THAT(
      WithoutBeginning(
          R"({"choices":[{"index":0,"delta":{"content":"ab"},"logprobs":{"content":[{"token":"a"},{"token":"b"}]}}]})",
          1, 1),
      Optional(std::string(
          R"({"choices":[{"index":0,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b"}]}}]})")));
  EXPECT_EQ(WithoutBeginning(
                R"({"choices":[{"index":0,"delta":{"content":"a","tool_calls":[{}]}}]})", 1, 0),
            std::nullopt);
  EXPECT_EQ(WithoutBeginning(R"({"choices":[{"text":"a"},{"text":"b"}]})", 1, 0), std::nullopt);
  EXPECT_EQ(WithoutBeginning(R"({"choices":[{"index":0,"text":"a"}]})", 2, 0), std::nullopt);
  EXPECT_EQ(WithoutBeginning("no JSON", 0, 0), std::nullopt);
}

// An upstream's stream of an answer with `choices`, in chunks of random sizes.
struct Telling {
  std::mt19937 random;
  std::string id;
  bool listed = false;
  ChunkRecorder recorder;
  std::vector<std::vector<std::string>> answers;  // of each choice, its tokens' texts

  std::string Recorded(ordered_json chunk) {
    chunk["id"] = id;
    return recorder.Chunk(chunk.dump());
  }
  ordered_json Choice(size_t c, size_t begin, size_t end) {
    std::string text;
    ordered_json ids = ordered_json::array();
    for (size_t i = begin; i < end; ++i) {
      text += answers[c][i];
      ids.push_back(i);
    }
    ordered_json choice = {{"index", c}, {"text", text}, {"finish_reason", nullptr}};
    if (listed) choice["token_ids"] = ids;
    return choice;
  }
  // False as soon as the listener says so.
  bool Tell(const std::function<bool(const AnswerDelta&)>& delta,
            const std::function<bool(int32_t)>& finish) {
    std::vector<size_t> told(answers.size());
    size_t open = answers.size();
    while (open > 0) {
      const size_t c = random() % answers.size();
      if (told[c] > answers[c].size()) continue;
      const size_t end = std::min(answers[c].size(), told[c] + random() % 4);
      ordered_json choice = Choice(c, told[c], end);
      const bool last = end == answers[c].size() && random() % 2 == 0;
      if (last) choice["finish_reason"] = "stop";
      told[c] = end + (last ? 1 : 0);
      if (!delta({.choice = static_cast<int32_t>(c),
                  .text = choice["text"].get<std::string>(),
                  .extras = Recorded({{"choices", ordered_json::array({choice})}})}))
        return false;
      if (!last) continue;
      --open;
      if (!finish(static_cast<int32_t>(c))) return false;
    }
    return delta({.extras = Recorded({{"choices", json::array()}, {"usage", {{"n", 1}}}})});
  }
};

TEST(Retelling, AnUpstreamsChunksAreGoneOnWithWhereverTheyWereCut) {
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Telling first{.random = random, .id = "cmpl-1", .listed = seed % 2 == 0};
    for (size_t c = 0; c < 1 + seed % 3; ++c) {
      first.answers.emplace_back();
      for (size_t i = random() % 15; i > 0; --i)
        first.answers.back().push_back(std::string(random() % 3, static_cast<char>('a' + i)));
    }
    Telling second = first;
    second.random.seed(seed + 1'000'000);
    second.id = "cmpl-another";

    std::vector<std::string> texts(first.answers.size());
    std::vector<std::vector<size_t>> ids(first.answers.size());
    std::vector<int> ends(first.answers.size());
    int usages = 0;
    ChunkReader reader;
    const auto hear = [&](const AnswerDelta& delta) {
      const auto part = reader.Next(delta.extras);
      ASSERT_TRUE(part);
      const json chunk = json::parse(part->text);
      usages += chunk.contains("usage") ? 1 : 0;
      for (const json& choice : chunk["choices"]) {
        const auto c = choice["index"].get<size_t>();
        EXPECT_EQ(choice["text"], delta.text);
        texts[c] += choice["text"].get<std::string>();
        for (const json& token : choice.value("token_ids", json::array())) ids[c].push_back(token);
      }
    };
    Said said;
    const size_t cut = random() % 20;
    size_t deltas = 0;
    first.Tell(
        [&](const AnswerDelta& delta) {
          if (deltas++ >= cut) return false;
          said.Add(delta);
          hear(delta);
          return true;
        },
        [&](int32_t c) {
          said.Finish(c, {.finish_reason = "stop"});
          ++ends[static_cast<size_t>(c)];
          return true;
        });

    Retelling retelling(said);
    reader = {};  // what goes on is whole, or written against what was heard since
    const AnswerSource::Listener listener = {
        .delta = hear,
        .finish = [&](int32_t c, const AnswerChoice&) { ++ends[static_cast<size_t>(c)]; }};
    ASSERT_TRUE(second.Tell(
        [&](const AnswerDelta& delta) { return retelling.Delta(delta, listener); },
        [&](int32_t c) { return retelling.Finish(c, {.finish_reason = "stop"}, listener); }));
    EXPECT_TRUE(retelling.Covered());
    EXPECT_EQ(usages, 1);
    for (size_t c = 0; c < texts.size(); ++c) {
      std::string whole;
      for (const std::string& token : first.answers[c]) whole += token;
      EXPECT_EQ(texts[c], whole);
      EXPECT_EQ(ends[c], 1);
      if (!first.listed) continue;
      ASSERT_EQ(ids[c].size(), first.answers[c].size());
      for (size_t i = 0; i < ids[c].size(); ++i) EXPECT_EQ(ids[c][i], i);
    }
  }
}

TEST(Retelling, WhatCannotBeComparedIsNotToldTwice) {
  ChunkRecorder recorder;
  const std::string chunk =
      R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]})";
  Said said;
  said.Add({.extras = recorder.Chunk(chunk)});
  const AnswerSource::Listener nobody = {.delta = [](const AnswerDelta&) { FAIL(); }};
  EXPECT_FALSE(Retelling(said).Delta({.extras = ChunkRecorder().Chunk(chunk)}, nobody));
}

}  // namespace
}  // namespace nextgate::gateway
