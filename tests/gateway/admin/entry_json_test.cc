#include "gateway/admin/entry_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace nextgate::gateway::admin {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

std::string Text(std::mt19937& random) {
  static const std::vector<std::string> kPieces = {"a",    "\n",   "\"", "\\", "é",
                                                   "今天", "\x01", "🚢",  " "};
  std::string text;
  for (size_t left = random() % 12; left > 0; --left) text += kPieces[random() % kPieces.size()];
  return text;
}

cache::StoredAnswer RandomEntry(std::mt19937& random) {
  cache::AnswerBuilder builder;
  cache::AnswerBuilder::Ending ending{.usage = {.prompt_tokens = 3, .completion_tokens = 5},
                                      .extras = Text(random)};
  ending.choices.resize(1 + random() % 3);
  for (auto& choice : ending.choices)
    choice = {.finish_reason = "stop", .stop_reason = Text(random), .extras = Text(random)};
  for (size_t left = random() % 20; left > 0; --left) {
    std::vector<int32_t> ids(random() % 4);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % 151'936);
    const std::string text = Text(random), logprobs = Text(random), extras = Text(random);
    builder.Append({.choice = static_cast<int32_t>(random() % ending.choices.size()),
                    .text = text,
                    .token_ids = ids,
                    .logprobs = logprobs,
                    .extras = extras});
  }
  return {.material = Text(random) + "\n" + Text(random),
          .answer = builder.Finish(std::move(ending)),
          .created_unix_ms = static_cast<int64_t>(random()),
          .expires_unix_ms = static_cast<int64_t>(random()),
          .origin = {.model = Text(random), .scope = {.tenant = "t", .name_space = Text(random)}},
          .hits = cache::HitCounter(static_cast<int64_t>(random()))};
}

TEST(EntryJson, AnEntryComesBackExactlyAndIsOneLine) {
  std::mt19937 random(std::random_device{}());
  for (int i = 0; i < 200; ++i) {
    const cache::StoredAnswer entry = RandomEntry(random);
    const auto line = EntryLine(entry);
    ASSERT_TRUE(line);
    EXPECT_EQ(line->find('\n'), std::string::npos);
    const auto back = ParseEntryLine(Json::parse(*line));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->material, entry.material);
    EXPECT_EQ(back->origin, entry.origin);
    EXPECT_EQ(back->answer->num_deltas(), entry.answer->num_deltas());
    EXPECT_EQ(*EntryLine(*back), *line);
  }
}

TEST(EntryJson, WhatIsMissingOrWrongIsNamed) {
  std::mt19937 random(7);
  cache::StoredAnswer entry = RandomEntry(random);
  while (entry.answer->num_deltas() == 0) entry = RandomEntry(random);
  const Json good = Json::parse(*EntryLine(entry));
  const auto expect = [&](const char* pointer, Json value, const char* message) {
    Json line = good;
    line[Json::json_pointer(pointer)] = std::move(value);
    const auto parsed = ParseEntryLine(line);
    ASSERT_FALSE(parsed) << pointer;
    EXPECT_THAT(parsed.error().message, HasSubstr(message)) << pointer;
  };
  expect("/material", 1, "material: expected a string");
  expect("/material", "other", "not the id of the material");
  expect("/hits", -1, "hits: expected a whole number");
  expect("/hits", UINT64_MAX, "hits: expected a whole number");
  expect("/created_unix_ms", 1.5, "created_unix_ms: expected");
  expect("/origin", nullptr, "origin: expected an object");
  expect("/origin/namespace", nullptr, "origin.namespace: expected a string");
  expect("/usage/prompt_tokens", int64_t{1} << 31, "usage.prompt_tokens: expected");
  expect("/choices", Json::object(), "choices: expected a list");
  expect("/choices/0", 3, "choices: expected an object");
  expect("/deltas/0/choice", 99, "deltas.choice: expected a whole number from 0 to");
  expect("/deltas/0/text", nullptr, "deltas.text: expected a string");
  expect("/deltas/0/token_ids", Json::array({-1}), "token ids");
  for (const auto& [name, value] : good.items()) {
    if (name == "id") continue;
    Json line = good;
    line.erase(name);
    EXPECT_FALSE(ParseEntryLine(line)) << name;
  }
  EXPECT_FALSE(ParseEntryLine(Json::array()));
}

// Any damage is an error or another good entry, never a crash.
TEST(EntryJson, DamagedLinesDoNoHarm) {
  std::mt19937 random(std::random_device{}());
  const std::string good = *EntryLine(RandomEntry(random));
  for (int i = 0; i < 5000; ++i) {
    std::string bytes = good;
    for (size_t edits = 1 + random() % 3; edits > 0; --edits)
      bytes[random() % bytes.size()] = "0{}[],:\"-9ax"[random() % 12];
    const Json line = Json::parse(bytes, nullptr, false);
    if (line.is_discarded()) continue;
    if (const auto entry = ParseEntryLine(line)) {
      EXPECT_NE(entry->answer, nullptr);
    }
  }
}

}  // namespace
}  // namespace nextgate::gateway::admin
