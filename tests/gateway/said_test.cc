#include "gateway/said.h"

#include <gtest/gtest.h>

#include <random>

namespace nextgate::gateway {
namespace {

using cache::AnswerChoice;
using cache::AnswerDelta;

// One choice's answer: each token has a text, of which the last bytes may be held back.
struct Token {
  int32_t id;
  std::string text;
  std::string logprobs;
};

std::vector<Token> AnswerOf(std::mt19937& random) {
  std::vector<Token> tokens;
  for (size_t i = random() % 12; i > 0; --i) {
    const auto id = static_cast<int32_t>(random() % 1000);
    tokens.push_back({id, std::string(random() % 4, static_cast<char>('a' + random() % 26)),
                      "{\"token\":\"a,\\\"]" + std::to_string(id) + "\",\"top\":[1,{\"x\":2}]}"});
  }
  return tokens;
}

// The tokens as deltas of random sizes. Text held back comes with a later delta, the same amount at the
// same token whoever tells.
void Tell(std::mt19937& random, const std::vector<Token>& tokens, size_t upto,
          const std::function<void(const AnswerDelta&)>& say) {
  std::string text, logprobs;
  std::vector<int32_t> ids;
  for (size_t i = 0; i < upto; ++i) {
    // With every third token the text of two is certain.
    ids.push_back(tokens[i].id);
    logprobs += (logprobs.empty() ? "" : ",") + tokens[i].logprobs;
    if (i % 3 == 1) continue;
    if (i % 3 == 2) text += tokens[i - 1].text;
    text += tokens[i].text;
    if (random() % 2 == 0 && i + 1 != upto) continue;
    if (text.empty()) continue;
    say({.text = text, .token_ids = ids, .logprobs = logprobs});
    text.clear(), logprobs.clear(), ids.clear();
  }
  if (upto == tokens.size() && (upto % 3 == 2 || !ids.empty())) {
    if (upto % 3 == 2) text += tokens[upto - 1].text;
    say({.text = text, .token_ids = ids, .logprobs = logprobs});
  }
}

struct Whole {
  std::string text, logprobs;
  std::vector<int32_t> ids;
  int ends = 0;
  void Add(const AnswerDelta& delta) {
    text += delta.text;
    ids.insert(ids.end(), delta.token_ids.begin(), delta.token_ids.end());
    if (!delta.logprobs.empty()) logprobs += (logprobs.empty() ? "" : ",");
    logprobs += delta.logprobs;
  }
};

TEST(Retelling, SaysTheRestOnceWhereverItWasCutAndHoweverItIsToldAgain) {
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::vector<Token> tokens = AnswerOf(random);
    Whole expected, heard;
    Tell(random, tokens, tokens.size(), [&](const AnswerDelta& delta) { expected.Add(delta); });
    Said said;
    const size_t cut = random() % (tokens.size() + 1);
    Tell(random, tokens, cut, [&](const AnswerDelta& delta) {
      said.Add(delta);
      heard.Add(delta);
    });
    const bool ended = cut == tokens.size() && random() % 2 == 0;
    if (ended) said.Finish(0, {.finish_reason = "stop"});
    Retelling retelling(said);
    const AnswerSource::Listener listener = {
        .delta = [&](const AnswerDelta& delta) { heard.Add(delta); },
        .finish = [&](int32_t, const AnswerChoice&) { ++heard.ends; }};
    Tell(random, tokens, tokens.size(),
         [&](const AnswerDelta& delta) { ASSERT_TRUE(retelling.Delta(delta, listener)); });
    ASSERT_TRUE(retelling.Finish(0, {.finish_reason = "stop"}, listener));
    EXPECT_TRUE(retelling.Covered());
    EXPECT_EQ(heard.text, expected.text);
    EXPECT_EQ(heard.ids, expected.ids);
    EXPECT_EQ(heard.logprobs, expected.logprobs);
    EXPECT_EQ(heard.ends, ended ? 0 : 1);
  }
}

TEST(Retelling, AnotherAnswerIsNoticedBeforeAnythingOfItIsSaid) {
  const std::vector<int32_t> ids = {1, 2, 3}, others = {1, 9, 3, 4};
  Said said;
  said.Add({.text = "A place", .token_ids = ids});
  const AnswerSource::Listener nobody = {.delta = [](const AnswerDelta&) { FAIL(); },
                                         .finish = [](int32_t, const AnswerChoice&) { FAIL(); }};
  EXPECT_FALSE(Retelling(said).Delta({.text = "A plot for", .token_ids = ids}, nobody));
  EXPECT_FALSE(Retelling(said).Delta({.text = "A place for", .token_ids = others}, nobody));
  EXPECT_FALSE(Retelling(said).Finish(0, {.finish_reason = "stop"}, nobody)) << "it is shorter";
  said.Finish(0, {.finish_reason = "stop"});
  EXPECT_FALSE(Retelling(said).Delta({.text = "A place for", .token_ids = ids}, nobody))
      << "it is longer";
}

TEST(Said, TellsItAgainInOrder) {
  Said said;
  said.Add({.choice = 1, .text = "one"});
  said.Finish(1, {.finish_reason = "stop"});
  said.Add({.choice = 0, .text = "nought"});
  said.Finish(0, {.finish_reason = "length"});
  std::string told;
  said.Tell({.delta = [&](const AnswerDelta& delta) { told += std::string(delta.text) + "|"; },
             .finish =
                 [&](int32_t choice, const AnswerChoice& end) {
                   told += std::to_string(choice) + end.finish_reason + "|";
                 }});
  EXPECT_EQ(told, "one|1stop|nought|0length|");
  EXPECT_EQ(said.choice(7).text, "");
}

TEST(DropJsonValues, CountsValuesAndNotTheirCommas) {
  const std::string_view values = R"({"a":[1,2],"b":"x,}\","},[3,4],5,"six,")";
  EXPECT_EQ(DropJsonValues(values, 0), values);
  EXPECT_EQ(DropJsonValues(values, 1), R"([3,4],5,"six,")");
  EXPECT_EQ(DropJsonValues(values, 2), R"(5,"six,")");
  EXPECT_EQ(DropJsonValues(values, 3), R"("six,")");
  EXPECT_EQ(DropJsonValues(values, 4), "");
  EXPECT_EQ(DropJsonValues("", 0), "");
}

}  // namespace
}  // namespace nextgate::gateway
