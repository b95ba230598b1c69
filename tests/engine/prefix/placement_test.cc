#include "engine/prefix/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/model/step.h"

namespace nextgate::engine {

// For messages.
void PrintTo(const PlacedCheckpoint& placed, std::ostream* out) {
  *out << placed.position << " " << CheckpointKindName(placed.kind);
}

namespace {

using enum CheckpointKind;
using Placed = std::vector<PlacedCheckpoint>;

struct Case {
  int32_t tokens = 0;
  int32_t resumed = 0;
  int32_t matched = 0;
  std::vector<int32_t> borders;
  std::vector<int32_t> marked;
  Placed expected;
};

Placed Place(const Case& c) {
  Placed placed = {{1, kMarked}};  // is replaced
  PlaceCheckpoints({.tokens = c.tokens,
                    .resumed = c.resumed,
                    .matched = c.matched,
                    .borders = c.borders,
                    .marked = c.marked},
                   &placed);
  return placed;
}

void ExpectPlaced(const std::vector<Case>& cases) {
  for (const Case& c : cases)
    EXPECT_EQ(Place(c), c.expected)
        << c.tokens << " tokens, " << c.resumed << " resumed, " << c.matched << " matched";
}

TEST(Placement, TheEndIsWhereTheNextTurnAndTheSamePromptGoOn) {
  ExpectPlaced({{.tokens = 0, .expected = {}},
                {.tokens = 1, .expected = {}},
                {.tokens = 63, .expected = {}},
                {.tokens = 64, .expected = {{64, kEnd}}},
                {.tokens = 65, .expected = {{64, kEnd}}},
                {.tokens = 127, .expected = {{64, kEnd}}},
                {.tokens = 128, .expected = {{64, kEnd}, {128, kEnd}}},
                {.tokens = 129, .expected = {{128, kEnd}}},
                {.tokens = 192, .expected = {{128, kEnd}, {192, kEnd}}}});
}

TEST(Placement, BordersAreRoundedDownToBlocks) {
  ExpectPlaced({{.tokens = 200, .borders = {63}, .expected = {{192, kEnd}}},
                {.tokens = 200, .borders = {64}, .expected = {{64, kBorder}, {192, kEnd}}},
                {.tokens = 200, .borders = {127}, .expected = {{64, kBorder}, {192, kEnd}}},
                {.tokens = 200, .borders = {128}, .expected = {{128, kBorder}, {192, kEnd}}},
                {.tokens = 200,
                 .borders = {100, 130},
                 .expected = {{64, kBorder}, {128, kEnd}, {192, kEnd}}},
                {.tokens = 200, .marked = {100}, .expected = {{64, kMarked}, {192, kEnd}}}});
}

TEST(Placement, BordersInAnyOrderAnyNumberAndOutOfThePrompt) {
  constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
  constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
  ExpectPlaced(
      {{.tokens = 200, .borders = {0, 200}, .expected = {{192, kEnd}}},
       {.tokens = 200, .borders = {-1, -64, kLeast, kMost, 256}, .expected = {{192, kEnd}}},
       {.tokens = 200, .borders = {199, 191, 255}, .expected = {{128, kEnd}, {192, kBorder}}},
       {.tokens = 200,
        .borders = {150, 64, 70, 64, 150, 128},
        .marked = {kMost, 0, kLeast, -7},
        .expected = {{64, kSpaced}, {128, kBorder}, {192, kEnd}}}});
}

TEST(Placement, OfSeveralReasonsForAPositionTheStrongestIsItsKind) {
  ExpectPlaced(
      {{.tokens = 600,
        .matched = 256,
        .borders = {256, 512},
        .marked = {300},
        .expected = {{256, kMarked}, {512, kEnd}, {576, kEnd}}},
       {.tokens = 600,
        .matched = 256,
        .borders = {257},
        .expected = {{256, kBorder}, {512, kSpaced}, {576, kEnd}}},
       {.tokens = 600, .matched = 256, .expected = {{256, kMissed}, {512, kSpaced}, {576, kEnd}}},
       {.tokens = 256, .matched = 192, .expected = {{192, kMissed}, {256, kEnd}}},
       {.tokens = 257, .expected = {{256, kEnd}}}});
}

TEST(Placement, ABorderThatKvReachedBeforeIsWorthAState) {
  ExpectPlaced(
      {{.tokens = 200, .matched = 64, .expected = {{64, kMissed}, {192, kEnd}}},
       {.tokens = 200, .matched = 0, .expected = {{192, kEnd}}},
       // Nothing was missed: there was a checkpoint.
       {.tokens = 200, .resumed = 64, .matched = 64, .expected = {{192, kEnd}}},
       {.tokens = 200, .resumed = 64, .matched = 128, .expected = {{128, kMissed}, {192, kEnd}}},
       {.tokens = 200, .matched = 192, .expected = {{192, kMissed}}}});
}

TEST(Placement, NothingIsPlacedWhereItWasResumedOrBefore) {
  ExpectPlaced({{.tokens = 200, .resumed = 192, .matched = 192, .expected = {}},
                {.tokens = 200,
                 .resumed = 128,
                 .matched = 128,
                 .borders = {64, 128, 191},
                 .marked = {100, 130},
                 .expected = {{192, kEnd}}},
                {.tokens = 192, .resumed = 128, .matched = 128, .expected = {{192, kEnd}}},
                {.tokens = 64, .resumed = 64, .matched = 64, .expected = {}}});
}

TEST(Placement, SpacedOnesLieOnAGridOfThePromptNotOfTheResumption) {
  ExpectPlaced(
      {{.tokens = 1100,
        .expected =
            {{256, kSpaced}, {512, kSpaced}, {768, kSpaced}, {1024, kSpaced}, {1088, kEnd}}},
       {.tokens = 1100,
        .resumed = 320,
        .matched = 320,
        .expected = {{512, kSpaced}, {768, kSpaced}, {1024, kSpaced}, {1088, kEnd}}},
       {.tokens = 1100,
        .resumed = 512,
        .matched = 512,
        .expected = {{768, kSpaced}, {1024, kSpaced}, {1088, kEnd}}},
       {.tokens = 1024, .resumed = 768, .matched = 768, .expected = {{960, kEnd}, {1024, kEnd}}}});
}

TEST(Placement, OfManyMessagesTheFirstAndTheLastTwoAreWorthASlot) {
  ExpectPlaced({{.tokens = 460,
                 .borders = {70, 140, 210, 280, 350, 456},
                 .expected = {{64, kBorder},
                              {128, kSpaced},
                              {192, kSpaced},
                              {256, kSpaced},
                              {320, kEnd},
                              {448, kEnd}}},
                {.tokens = 460,
                 .borders = {410, 456},
                 .expected = {{256, kSpaced}, {384, kBorder}, {448, kEnd}}},
                // One message: nobody else's beginning, unless more follows it.
                {.tokens = 460, .borders = {456}, .expected = {{256, kSpaced}, {448, kEnd}}},
                {.tokens = 460, .borders = {300}, .expected = {{256, kBorder}, {448, kEnd}}}});
}

TEST(Placement, ALongPromptHasAnEndEveryLongSpacing) {
  Placed ends;
  for (const PlacedCheckpoint& placed : Place({.tokens = 20'000}))
    if (placed.kind == kEnd) ends.push_back(placed);
  EXPECT_EQ(ends, (Placed{{8192, kEnd}, {16'384, kEnd}, {19'968, kEnd}}));
}

TEST(Placement, IsAscendingOnBlocksBehindTheResumptionForAnyInput) {
  std::mt19937 random(3);
  for (int round = 0; round < 20'000; ++round) {
    Case c{.tokens = static_cast<int32_t>(random() % 1500)};
    c.resumed = static_cast<int32_t>(random() % (static_cast<uint32_t>(c.tokens) / 64 + 1)) * 64;
    c.matched = c.resumed + static_cast<int32_t>(
                                random() % (static_cast<uint32_t>(c.tokens - c.resumed) / 64 + 1)) *
                                64;
    for (uint32_t i = random() % 6; i-- > 0;)
      c.borders.push_back(static_cast<int32_t>(random() % 1600));
    for (uint32_t i = random() % 3; i-- > 0;)
      c.marked.push_back(static_cast<int32_t>(random() % 1600));
    const Placed placed = Place(c);
    std::set<int32_t> positions;
    for (const PlacedCheckpoint& p : placed) {
      ASSERT_EQ(p.position % kBlockTokens, 0);
      ASSERT_TRUE(p.position > c.resumed && p.position <= c.tokens);
      ASSERT_TRUE(positions.empty() || *positions.rbegin() < p.position);
      positions.insert(p.position);
    }
    // Whatever is wanted is there.
    const auto expect = [&](int32_t at, CheckpointKind kind) {
      at = at / 64 * 64;
      if (at <= c.resumed || at > c.tokens) return;
      const auto found = std::find_if(placed.begin(), placed.end(),
                                      [&](const auto& p) { return p.position == at; });
      ASSERT_TRUE(found != placed.end() && found->kind >= kind) << at;
    };
    for (const int32_t at : c.borders) expect(at, kSpaced);
    if (!c.borders.empty()) expect(c.borders.back(), kEnd);
    if (c.borders.size() > 1) expect(c.borders[0], kBorder);
    for (const int32_t at : c.marked) expect(at, kMarked);
    expect(c.matched, kMissed);
    expect(c.tokens, kEnd);
    expect(c.tokens - 1, kEnd);
    for (int32_t at = kCheckpointSpacing; at < c.tokens; at += kCheckpointSpacing)
      expect(at, kSpaced);
  }
}

TEST(Placement, EveryKindHasAName) {
  std::set<std::string> names;
  for (int kind = 0; kind <= static_cast<int>(kMarked); ++kind)
    names.insert(CheckpointKindName(static_cast<CheckpointKind>(kind)));
  EXPECT_EQ(names,
            (std::set<std::string>{"spaced", "answer", "end", "missed", "border", "marked"}));
}

}  // namespace
}  // namespace nextgate::engine
