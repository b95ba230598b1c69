// A page of entries: those that pass a filter, largest first by one of the orders, as many as fit on the
// page. Entries are offered one by one, so a listing takes the memory of one page, however many there
// are.
//
// The cursor of a page names its last entry, and the next page begins behind it; what is added or hit in
// between may be missed or come twice.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cache/entry_summary.h"

namespace nextgate::gateway::admin {

struct EntryFilter {
  std::optional<std::string> model, route, name_space, id_prefix;
  int64_t hits_min = 0;
  int64_t age_min_ms = 0;

  bool Passes(const cache::EntrySummary& entry, int64_t now_unix_ms) const;
};

enum class EntryOrder { kCreated, kHits, kBytes };

class Listing {
 public:
  // `cursor` is a page's next_cursor(), or empty. kInvalidArgument if it is not one of this order's.
  static Result<Listing> Open(EntryFilter filter, EntryOrder order, size_t page_max,
                              std::string_view cursor, int64_t now_unix_ms);

  // An entry offered twice is listed once.
  void Offer(cache::EntrySummary entry);

  std::vector<cache::EntrySummary> TakePage();  // once, at the end
  // Empty on the last page. After TakePage.
  const std::string& next_cursor() const { return next_cursor_; }

 private:
  using Position = std::pair<int64_t, Hash128>;  // what it is ordered by, and the id
  Listing(EntryFilter filter, EntryOrder order, size_t page_max, int64_t now_unix_ms)
      : filter_(std::move(filter)), order_(order), page_max_(page_max), now_(now_unix_ms) {}
  int64_t RankOf(const cache::EntrySummary& entry) const;

  EntryFilter filter_;
  EntryOrder order_;
  size_t page_max_;
  int64_t now_;
  std::optional<Position> after_;
  std::map<Position, cache::EntrySummary> kept_;  // one more than fit on the page
  std::string next_cursor_;
};

}  // namespace nextgate::gateway::admin
