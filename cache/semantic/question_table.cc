#include "cache/semantic/question_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cache/semantic/half_vector.h"
#include "cache/semantic/vector_graph.h"

namespace nextgate::cache {
namespace {

constexpr uint32_t kRows = QuestionBlock::kRows;
// A ticket, its place in two maps, and what the allocator adds.
constexpr size_t kEntryBytes = 208;
constexpr size_t kGroupBytes = 320;

uint32_t CapacityOf(const GroupView& view) {
  if (view.blocks.empty()) return 0;
  return static_cast<uint32_t>((view.blocks.size() - 1) * kRows + view.blocks.back()->rows.size());
}

void CopyRow(const GroupView& from, uint32_t row, QuestionBlock& to, uint32_t slot) {
  to.rows[slot] = from.row(row);
  std::copy_n(from.halves(row), from.width, to.halves.data() + slot * from.width);
}

}  // namespace

QuestionTable::QuestionTable(const QuestionIndex::Options& options)
    : options_(options), width_(PaddedDimension(static_cast<size_t>(options.dimension))) {}

size_t QuestionTable::BytesOf(const GroupView& view) const {
  return CapacityOf(view) * (width_ * sizeof(uint16_t) + sizeof(QuestionRow)) +
         (view.graph != nullptr ? view.graph->bytes() : 0) + kGroupBytes;
}

// Everything that the stats say of a group's rows, added or taken off.
void QuestionTable::Count(const QuestionGroup& group, int64_t sign) {
  stats_.bytes += sign * static_cast<int64_t>(BytesOf(*group.view));
  stats_.tombstones += sign * (int64_t{group.size} - group.live);
  stats_.graphs += sign * (group.view->graph != nullptr ? 1 : 0);
  stats_.graph_rows += sign * int64_t{group.view->graph_rows};
  stats_.tail_rows += sign * (int64_t{group.size} - group.view->graph_rows);
}

void QuestionTable::SetView(QuestionGroup& group, std::shared_ptr<const GroupView> view,
                            uint32_t size, uint32_t live) {
  Count(group, -1);
  group.view = std::move(view);
  group.size = size;
  group.live = live;
  Count(group, 1);
}

QuestionGroup& QuestionTable::GroupOf(const Hash128& key) {
  const auto [found, is_new] = groups_.Of(key).try_emplace(key);
  QuestionGroup& group = found->second;
  if (is_new) {
    group.key = key;
    group.serial = next_serial_++;
    group.view = std::make_shared<const GroupView>(GroupView{.width = width_});
    ++stats_.groups;
    Count(group, 1);
  }
  return group;
}

QuestionGroup* QuestionTable::FindGroup(const Hash128& key, uint64_t serial) {
  auto& map = groups_.Of(key);
  const auto found = map.find(key);
  return found != map.end() && found->second.serial == serial ? &found->second : nullptr;
}

QuestionTable::Found QuestionTable::Find(const Hash128& group) const {
  const auto& map = groups_.Of(group);
  const auto found = map.find(group);
  if (found == map.end()) return {};
  return {.view = found->second.view, .size = found->second.size};
}

QuestionTicket* QuestionTable::TicketOf(const QuestionGroup& group, const Hash128& id) const {
  const auto [from, to] = by_id_.Of(id).equal_range(id);
  const auto found =
      std::find_if(from, to, [&](const auto& pair) { return pair.second->group == &group; });
  return found == to ? nullptr : found->second;
}

QuestionTicket& QuestionTable::NewTicket(QuestionGroup& group, const Hash128& id) {
  if (free_tickets_.empty()) free_tickets_.push_back(&tickets_.emplace_back());
  QuestionTicket& ticket = *free_tickets_.back();
  free_tickets_.pop_back();
  ticket.group = &group;
  ticket.id = id;
  by_id_.Of(id).emplace(id, &ticket);
  ++stats_.entries;
  return ticket;
}

void QuestionTable::Insert(const QuestionIndex::Item& item, std::span<const uint16_t> halves) {
  if (halves.empty()) {
    ++stats_.refused;
    const Found found = Find(item.group);
    if (found.view == nullptr) return;
    if (QuestionTicket* had = TicketOf(GroupOf(item.group), item.id)) Remove(*had);
    return;
  }
  QuestionGroup& group = GroupOf(item.group);
  QuestionTicket* ticket = TicketOf(group, item.id);
  if (ticket != nullptr) {  // replaced: the row it had is dead, the ticket stays
    ticket->generation.fetch_add(1, std::memory_order_acq_rel);
    by_position_.erase(ticket->by_position);
    --group.live;
    ++stats_.tombstones;
  } else {
    ticket = &NewTicket(group, item.id);
  }
  ticket->expires_unix_ms = item.expires_unix_ms;
  ticket->by_position = by_position_.emplace_hint(by_position_.end(), item.position, ticket);
  Append(group,
         {.id = item.id,
          .expires_unix_ms = item.expires_unix_ms,
          .position = item.position,
          .ticket = ticket,
          .generation = ticket->generation.load(std::memory_order_relaxed)},
         halves);
  QueueIfNeeded(group);
  RemoveOldest();
}

void QuestionTable::RemoveOldest() {
  while (stats_.entries > options_.entries_max) {
    Remove(*by_position_.begin()->second);
    ++stats_.evictions;
  }
}

void QuestionTable::Append(QuestionGroup& group, const QuestionRow& row,
                           std::span<const uint16_t> halves) {
  if (group.size == CapacityOf(*group.view)) Grow(group);
  QuestionBlock& block = *group.view->blocks.back();
  const uint32_t slot = group.size % kRows;
  block.rows[slot] = row;
  std::copy_n(halves.data(), width_, block.halves.data() + slot * width_);
  ++group.size;
  ++group.live;
  ++stats_.tail_rows;
}

// Room for one more row. A group of one block is written anew: without what is dead, if nobody has its
// rows' numbers in hand; twice as large, if that is little. A larger group gets another block.
void QuestionTable::Grow(QuestionGroup& group) {
  const GroupView& old = *group.view;
  auto view = std::make_shared<GroupView>(old);
  const uint32_t capacity = CapacityOf(old);
  const bool may_drop = old.graph == nullptr && !group.building;
  const uint32_t kept = may_drop ? group.live : group.size;
  const bool in_place = old.blocks.size() <= 1 && (capacity < kRows || kept * 4 < kRows * 3);
  if (!in_place) {
    view->blocks.push_back(std::make_shared<QuestionBlock>(kRows, width_));
    SetView(group, std::move(view), group.size, group.live);
    return;
  }
  const bool enough = kept * 4 < capacity * 3;
  auto block = std::make_shared<QuestionBlock>(
      enough ? capacity : std::clamp<uint32_t>(capacity * 2, 1, kRows), width_);
  uint32_t size = 0;
  for (uint32_t row = 0; row < group.size; ++row)
    if (!may_drop || old.row(row).alive()) CopyRow(old, row, *block, size++);
  view->blocks.assign(1, block);
  SetView(group, std::move(view), size, group.live);
}

void QuestionTable::Remove(QuestionTicket& ticket) {
  QuestionGroup& group = *ticket.group;
  ticket.generation.fetch_add(1, std::memory_order_acq_rel);
  by_position_.erase(ticket.by_position);
  const auto [from, to] = by_id_.Of(ticket.id).equal_range(ticket.id);
  by_id_.Of(ticket.id).erase(
      std::find_if(from, to, [&](const auto& pair) { return pair.second == &ticket; }));
  ticket.group = nullptr;
  free_tickets_.push_back(&ticket);
  --stats_.entries;
  --group.live;
  ++stats_.tombstones;
  if (group.live > 0) {
    QueueIfNeeded(group);
    return;
  }
  Count(group, -1);
  --stats_.groups;
  if (group.view->blocks.size() > 1) Retire(group.view);
  groups_.Of(group.key).erase(Hash128(group.key));
}

bool QuestionTable::Erase(const Hash128& id) {
  auto& map = by_id_.Of(id);
  bool any = false;
  for (auto found = map.find(id); found != map.end(); found = map.find(id)) {
    Remove(*found->second);
    any = true;
  }
  return any;
}

int64_t QuestionTable::EraseBefore(int64_t position, int64_t max) {
  int64_t count = 0;
  while (count < max && !by_position_.empty() && by_position_.begin()->first < position) {
    Remove(*by_position_.begin()->second);
    ++count;
  }
  return count;
}

int64_t QuestionTable::RemoveExpired(int64_t now_unix_ms, size_t& cursor, size_t max) {
  int64_t count = 0;
  for (const size_t end = std::min(tickets_.size(), cursor + max); cursor < end; ++cursor) {
    QuestionTicket& ticket = tickets_[cursor];
    if (ticket.group == nullptr || now_unix_ms < ticket.expires_unix_ms) continue;
    Remove(ticket);
    ++count;
  }
  return count;
}

bool QuestionTable::MustCompact(const QuestionGroup& group) const {
  // So many that a block at least becomes free, whatever part of them lies in the last, unfinished one.
  const uint32_t dead = group.size - group.live;
  return dead >= 2 * kRows && dead >= group.size / 5;
}

bool QuestionTable::MustBuild(const QuestionGroup& group) const {
  if (group.view->graph == nullptr) return group.live >= options_.graph_rows_min;
  const uint32_t graph_rows = group.view->graph_rows;
  return group.size - graph_rows >=
         std::max<int64_t>(options_.tail_rows_min, graph_rows / options_.tail_share);
}

void QuestionTable::QueueIfNeeded(QuestionGroup& group) {
  if (group.waiting || group.building || !(MustCompact(group) || MustBuild(group))) return;
  group.waiting = true;
  queue_.emplace_back(group.key, group.serial);
}

void QuestionTable::Retire(std::shared_ptr<const void> thing) {
  // Held twice, it would never be held by retired_ alone.
  if (std::find(retired_.begin(), retired_.end(), thing) == retired_.end())
    retired_.push_back(std::move(thing));
}

std::unique_ptr<GraphJob> QuestionTable::NextJob() {
  if (queue_.empty() && retired_.empty()) return nullptr;
  auto job = std::make_unique<GraphJob>();
  while (!queue_.empty() && job->view == nullptr) {
    const auto [key, serial] = queue_.front();
    queue_.pop_front();
    QuestionGroup* group = FindGroup(key, serial);
    if (group == nullptr) continue;
    group->waiting = false;
    job->compact = MustCompact(*group);
    if (!job->compact && !MustBuild(*group)) continue;
    group->building = true;
    job->group = key;
    job->serial = serial;
    job->view = group->view;
    job->with_graph = group->live >= options_.graph_rows_min || !job->compact;
    job->end = job->compact ? group->size / kRows * kRows
                            : static_cast<uint32_t>(std::min<int64_t>(
                                  group->size, group->view->graph_rows + options_.build_rows_max));
  }
  const auto held = std::partition(retired_.begin(), retired_.end(),
                                   [](const auto& thing) { return thing.use_count() > 1; });
  std::move(held, retired_.end(), std::back_inserter(job->garbage));
  retired_.erase(held, retired_.end());
  return job->view != nullptr || !job->garbage.empty() ? std::move(job) : nullptr;
}

void QuestionTable::Install(GraphJob& job) {
  Retire(std::move(job.view));
  QuestionGroup* group = FindGroup(job.group, job.serial);
  if (group == nullptr) return;
  group->building = false;
  if (job.finished) {
    auto view = std::make_shared<GroupView>(*group->view);
    uint32_t size = group->size;
    view->graph = std::move(job.graph);
    view->graph_rows = view->graph != nullptr ? job.end : 0;
    if (job.compact) {
      GroupView::Blocks& blocks = job.blocks;
      const auto rows = static_cast<uint32_t>(blocks.size() * kRows);
      blocks.insert(blocks.end(), view->blocks.begin() + job.end / kRows, view->blocks.end());
      view->blocks = std::move(blocks);
      if (view->graph != nullptr) view->graph_rows = rows;
      size = size - job.end + rows;
      ++stats_.compactions;
    }
    if (view->graph != nullptr) ++stats_.builds;
    Retire(group->view);
    SetView(*group, std::move(view), size, group->live);
  }
  QueueIfNeeded(*group);
}

std::vector<Hash128> QuestionTable::GroupKeys() const {
  std::vector<Hash128> keys;
  keys.reserve(static_cast<size_t>(stats_.groups));
  for (const auto& map : groups_)
    for (const auto& [key, group] : map) keys.push_back(key);
  return keys;
}

void QuestionTable::Restore(const Hash128& key, GroupView view, uint32_t size) {
  QuestionGroup& group = GroupOf(key);
  CHECK(group.size == 0 && CapacityOf(view) >= size);
  uint32_t live = 0;
  for (uint32_t r = 0; r < size; ++r) {
    QuestionRow& row = view.blocks[r / kRows]->rows[r % kRows];
    if (row.expires_unix_ms == kDead) continue;
    QuestionTicket* ticket = TicketOf(group, row.id);
    if (ticket != nullptr) {
      ticket->generation.fetch_add(1, std::memory_order_relaxed);
      by_position_.erase(ticket->by_position);
      --live;
    } else {
      ticket = &NewTicket(group, row.id);
    }
    ticket->expires_unix_ms = row.expires_unix_ms;
    ticket->by_position = by_position_.emplace_hint(by_position_.end(), row.position, ticket);
    row.ticket = ticket;
    row.generation = ticket->generation.load(std::memory_order_relaxed);
    ++live;
  }
  SetView(group, std::make_shared<const GroupView>(std::move(view)), size, live);
  QueueIfNeeded(group);
}

Status QuestionTable::CheckIntegrity() const {
  const auto broken = [](const std::string& what) {
    return MakeError(ErrorCode::kInternal, "question index: " + what);
  };
  QuestionTable counted(options_);
  int64_t live_total = 0;
  for (const auto& map : groups_) {
    for (const auto& [key, group] : map) {
      uint32_t live = 0;
      for (uint32_t r = 0; r < group.size; ++r) {
        const QuestionRow& row = group.view->row(r);
        if (!row.alive()) continue;
        ++live;
        if (row.ticket->group != &group || row.ticket->id != row.id ||
            row.ticket->by_position->first != row.position ||
            row.ticket->expires_unix_ms != row.expires_unix_ms)
          return broken(fmt::format("row {} of {} and its ticket differ", r, key.Hex()));
      }
      if (live != group.live || live == 0)
        return broken(
            fmt::format("{} rows of {} live, the books say {}", live, key.Hex(), group.live));
      if (group.size > CapacityOf(*group.view) || group.view->graph_rows > group.size)
        return broken(fmt::format("{} has more rows than it holds", key.Hex()));
      live_total += live;
      ++counted.stats_.groups;
      counted.Count(group, 1);
    }
  }
  size_t ids = 0;
  for (const auto& map : by_id_) ids += map.size();
  if (live_total != stats_.entries || ids != by_position_.size() ||
      live_total != static_cast<int64_t>(ids))
    return broken(fmt::format("{} rows live, {} entries, {} ids, {} positions", live_total,
                              stats_.entries, ids, by_position_.size()));
  const QuestionIndex::Stats& found = counted.stats_;
  if (found.bytes != stats_.bytes || found.tombstones != stats_.tombstones ||
      found.groups != stats_.groups || found.graphs != stats_.graphs ||
      found.graph_rows != stats_.graph_rows || found.tail_rows != stats_.tail_rows)
    return broken("the counters are not what the groups add up to");
  return {};
}

void QuestionTable::InheritCounters(const QuestionTable& other) {
  stats_.builds = other.stats_.builds;
  stats_.compactions = other.stats_.compactions;
  stats_.evictions = other.stats_.evictions;
  stats_.refused = other.stats_.refused;
}

QuestionIndex::Stats QuestionTable::stats() const {
  QuestionIndex::Stats stats = stats_;
  stats.bytes += stats.entries * static_cast<int64_t>(kEntryBytes);
  stats.builds_waiting = static_cast<int64_t>(queue_.size());
  return stats;
}

}  // namespace nextgate::cache
