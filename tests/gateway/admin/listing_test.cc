#include "gateway/admin/listing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace nextgate::gateway::admin {
namespace {

constexpr int64_t kNow = 1'000'000;

std::vector<cache::EntrySummary> RandomEntries(int count, std::mt19937& random) {
  std::vector<cache::EntrySummary> entries;
  for (int i = 0; i < count; ++i)
    entries.push_back({.id = {.high = random(), .low = random()},
                       .created_unix_ms = static_cast<int64_t>(random() % 40),  // many are equal
                       .hits = static_cast<int64_t>(random() % 5),
                       .bytes = static_cast<int64_t>(random() % 1000),
                       .origin = {.model = random() % 2 == 0 ? "a" : "b", .route = "r"}});
  return entries;
}

TEST(Listing, PagesHoldEveryEntryOnceInOrderWhateverTheOrderOfTheirOffering) {
  std::mt19937 random(std::random_device{}());
  auto entries = RandomEntries(203, random);
  const auto rank = [](EntryOrder order, const cache::EntrySummary& e) {
    return order == EntryOrder::kCreated ? e.created_unix_ms
           : order == EntryOrder::kHits  ? e.hits
                                         : e.bytes;
  };
  for (const EntryOrder order : {EntryOrder::kCreated, EntryOrder::kHits, EntryOrder::kBytes}) {
    std::vector<cache::EntrySummary> all;
    std::string cursor;
    int pages = 0;
    do {
      std::ranges::shuffle(entries, random);
      auto listing = Listing::Open({}, order, 10, cursor, kNow);
      ASSERT_TRUE(listing) << listing.error().message;
      for (const auto& entry : entries) listing->Offer(entry);
      for (int i = 0; i < 20; ++i) listing->Offer(entries[random() % entries.size()]);  // twice
      for (auto& entry : listing->TakePage()) all.push_back(std::move(entry));
      cursor = listing->next_cursor();
      ++pages;
    } while (!cursor.empty());
    EXPECT_EQ(pages, 21);
    ASSERT_EQ(all.size(), entries.size());
    for (size_t i = 1; i < all.size(); ++i)
      EXPECT_GT((std::pair{rank(order, all[i - 1]), all[i - 1].id}),
                (std::pair{rank(order, all[i]), all[i].id}));
  }
}

TEST(Listing, TheLastPageMayBeFull) {
  auto listing = Listing::Open({}, EntryOrder::kHits, 2, "", kNow);
  ASSERT_TRUE(listing);
  for (uint64_t i = 0; i < 2; ++i) listing->Offer({.id = {.high = i}});
  EXPECT_EQ(listing->TakePage().size(), 2u);
  EXPECT_EQ(listing->next_cursor(), "");
}

TEST(Listing, WhatAnInstanceWhoseClockIsAheadMadeIsListed) {
  const cache::EntrySummary entry{.created_unix_ms = kNow + 2000};
  EXPECT_TRUE(EntryFilter().Passes(entry, kNow));
  EXPECT_FALSE(EntryFilter{.age_min_ms = 1}.Passes(entry, kNow));
}

TEST(Listing, AFilterPassesWhatHasAllThatIsAskedFor) {
  const cache::EntrySummary entry{
      .id = {.high = 0xab00000000000000, .low = 1},
      .created_unix_ms = kNow - 5000,
      .hits = 3,
      .origin = {.model = "m", .route = "r", .scope = {.name_space = "n"}}};
  const auto passes = [&](const EntryFilter& filter) { return filter.Passes(entry, kNow); };
  EXPECT_TRUE(passes({}));
  EXPECT_TRUE(passes({.model = "m",
                      .route = "r",
                      .name_space = "n",
                      .id_prefix = "ab0",
                      .hits_min = 3,
                      .age_min_ms = 5000}));
  EXPECT_FALSE(passes({.model = "x"}));
  EXPECT_FALSE(passes({.route = "x"}));
  EXPECT_FALSE(passes({.name_space = ""}));
  EXPECT_FALSE(passes({.id_prefix = "b"}));
  EXPECT_FALSE(passes({.hits_min = 4}));
  EXPECT_FALSE(passes({.age_min_ms = 5001}));
}

TEST(Listing, ACursorOfAnotherOrderOrNoneAtAllIsRefused) {
  const std::string id(32, '0');
  EXPECT_TRUE(Listing::Open({}, EntryOrder::kHits, 1, "hits.7." + id, kNow));
  for (const std::string& cursor :
       {"created.7." + id, "hits." + id, "hits.." + id, "hits.7x." + id, "hits.7." + id + "0",
        std::string("hits"), std::string("hits."), std::string("x")}) {
    const auto listing = Listing::Open({}, EntryOrder::kHits, 1, cursor, kNow);
    ASSERT_FALSE(listing) << cursor;
    EXPECT_EQ(listing.error().param, "cursor");
  }
}

}  // namespace
}  // namespace nextgate::gateway::admin
