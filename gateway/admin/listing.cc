#include "gateway/admin/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace nextgate::gateway::admin {
namespace {

std::string_view OrderName(EntryOrder order) {
  switch (order) {
    case EntryOrder::kCreated:
      return "created";
    case EntryOrder::kHits:
      return "hits";
    case EntryOrder::kBytes:
      return "bytes";
  }
  return "";
}

}  // namespace

bool EntryFilter::Passes(const cache::EntrySummary& entry, int64_t now_unix_ms) const {
  return (!model || entry.origin.model == *model) && (!route || entry.origin.route == *route) &&
         (!name_space || entry.origin.scope.name_space == *name_space) &&
         (!id_prefix || entry.id.Hex().starts_with(*id_prefix)) && entry.hits >= hits_min &&
         // Another instance's clock may be ahead: what it made has no age yet.
         std::max<int64_t>(0, now_unix_ms - entry.created_unix_ms) >= age_min_ms;
}

Result<Listing> Listing::Open(EntryFilter filter, EntryOrder order, size_t page_max,
                              std::string_view cursor, int64_t now_unix_ms) {
  Listing listing(std::move(filter), order, page_max, now_unix_ms);
  if (cursor.empty()) return listing;
  const std::string prefix = fmt::format("{}.", OrderName(order));
  const size_t dot = cursor.rfind('.');
  int64_t rank = 0;
  if (cursor.starts_with(prefix) && dot >= prefix.size()) {
    const std::string_view digits = cursor.substr(prefix.size(), dot - prefix.size());
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    const auto id = ParseHash128(cursor.substr(dot + 1));
    if (error == std::errc() && end == digits.data() + digits.size() && id) {
      listing.after_ = Position{rank, *id};
      return listing;
    }
  }
  return InvalidArgument(
      fmt::format("cursor: expected the next_cursor of a page in the order {}", OrderName(order)),
      "cursor");
}

int64_t Listing::RankOf(const cache::EntrySummary& entry) const {
  switch (order_) {
    case EntryOrder::kCreated:
      return entry.created_unix_ms;
    case EntryOrder::kHits:
      return entry.hits;
    case EntryOrder::kBytes:
      return entry.bytes;
  }
  return 0;
}

void Listing::Offer(cache::EntrySummary entry) {
  if (!filter_.Passes(entry, now_)) return;
  const Position position{RankOf(entry), entry.id};
  if (after_ && position >= *after_) return;
  kept_.insert_or_assign(position, std::move(entry));
  if (kept_.size() > page_max_ + 1) kept_.erase(kept_.begin());
}

std::vector<cache::EntrySummary> Listing::TakePage() {
  const bool more = kept_.size() > page_max_;
  if (more) kept_.erase(kept_.begin());
  if (more && !kept_.empty()) {
    const auto& [rank, id] = kept_.begin()->first;
    next_cursor_ = fmt::format("{}.{}.{}", OrderName(order_), rank, id.Hex());
  }
  std::vector<cache::EntrySummary> page;
  for (auto it = kept_.rbegin(); it != kept_.rend(); ++it) page.push_back(std::move(it->second));
  return page;
}

}  // namespace nextgate::gateway::admin
