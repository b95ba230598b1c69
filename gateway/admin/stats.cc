#include "gateway/admin/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>

#include "gateway/admin/entries.h"
#include "gateway/admin/semantic.h"

namespace nextgate::gateway::admin {
namespace {

using cache::SeriesLabels;
using cache::StatsBySeries;
using cache::StatsSnapshot;

Json Counts(const StatsSnapshot& counts) { return Json::parse(cache::CountsJson(counts)); }

// Requests per class: each tier, misses, bypasses.
Json ByTier(const StatsSnapshot& total) {
  Json groups = Json::array();
  const auto add = [&](std::string_view name, int64_t requests) {
    const int64_t all = total.Requests();
    groups.push_back(
        {{"group", name},
         {"requests", requests},
         {"share",
          all == 0 ? Json() : Json(static_cast<double>(requests) / static_cast<double>(all))}});
  };
  for (size_t i = 0; i < cache::kNumTiers; ++i) {
    const auto tier = static_cast<cache::Tier>(i);
    if (cache::TierIsBuilt(tier) || total.hits[i] > 0) add(cache::TierName(tier), total.hits[i]);
  }
  add("miss", total.misses);
  add("bypass", total.BypassesTotal());
  return groups;
}

Json Grouped(const StatsBySeries& series, std::string SeriesLabels::*label) {
  std::map<std::string, StatsSnapshot> groups;
  for (const auto& [labels, counts] : series) groups[labels.*label].Add(counts);
  std::vector<std::pair<std::string, StatsSnapshot>> sorted(groups.begin(), groups.end());
  std::ranges::stable_sort(sorted, std::greater<>(),
                           [](const auto& group) { return group.second.Requests(); });
  Json out = Json::array();
  for (const auto& [name, counts] : sorted) {
    if (counts.Requests() == 0) continue;
    Json group = {{"group", name}};
    group.update(Counts(counts));
    out.push_back(std::move(group));
  }
  return out;
}

// "2026-11-23T09:30:00Z".
std::string Utc(int64_t unix_s) {
  const std::chrono::sys_seconds when{std::chrono::seconds(unix_s)};
  const auto day = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(when - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count());
}

Json ByTime(const cache::StatsSteps& steps) {
  Json groups = Json::array();
  for (const auto& [begins_s, counts] : steps) {
    Json group = {{"group", Utc(begins_s)}, {"begins_unix_s", begins_s}};
    group.update(Counts(counts));
    groups.push_back(std::move(group));
  }
  return groups;
}

Json Groups(const std::string& group_by, const StatsBySeries& series, const StatsSnapshot& total) {
  if (group_by == "tier") return ByTier(total);
  if (group_by == "model") return Grouped(series, &SeriesLabels::model);
  if (group_by == "route") return Grouped(series, &SeriesLabels::route);
  return Grouped(series, &SeriesLabels::name_space);
}

// The instances, and what they hold together in the place of what this one does.
void AddInstances(const AdminContext& c, const std::vector<cache::InstanceFigures>& instances,
                  Json& out) {
  Json list = Json::array();
  int64_t entries = 0, bytes = 0, evictions = 0, live = 0;
  for (const cache::InstanceFigures& instance : instances) {
    entries += instance.entries;
    bytes += instance.bytes;
    evictions += instance.evictions;
    live += instance.live_requests;
    list.push_back({{"id", instance.id},
                    {"name", instance.name},
                    {"this", instance.id == c.keeper.instance_id()},
                    {"entries", instance.entries},
                    {"bytes", instance.bytes},
                    {"evictions", instance.evictions},
                    {"live_requests", instance.live_requests},
                    {"seen_unix_ms", instance.seen_unix_ms}});
  }
  out["entries"] = entries;
  out["bytes"] = bytes;
  out["evictions"] = evictions;
  out["live_requests"] = live;
  out["instances"] = std::move(list);
}

// Of all instances, or of this one, which never fails. `last_day`: with its steps, whatever the window.
Result<cache::ClusterFigures> ReadFigures(const AdminContext& c, bool cluster,
                                          cache::StatsWindow window, bool last_day) {
  const auto read = [&](cache::StatsWindow of) -> Result<cache::ClusterFigures> {
    if (cluster) return c.keeper.Cluster(of);
    cache::ClusterFigures figures;
    figures.counts = c.keeper.Instance(of, &figures.steps);
    return figures;
  };
  auto figures = read(window);
  if (!figures || !last_day) return figures;
  ASSIGN_OR_RETURN(auto day, read(cache::StatsWindow::k24h));
  figures->steps = std::move(day.steps);
  return figures;
}

}  // namespace

Status ShowStats(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {"window", "group_by", "scope"});
  const std::string window_name =
      query.Choice("window", {"1m", "5m", "1h", "24h", "total"}, "total");
  const std::string group_by =
      query.Choice("group_by", {"model", "route", "tier", "scope", "time"}, "");
  ASSIGN_OR_RETURN(bool cluster, WantsCluster(c, query));
  const bool cluster_asked_for = query.Text("scope").has_value();
  const cache::StatsWindow window = *cache::FindStatsWindow(window_name);
  const bool last_day = group_by == "time" && window == cache::StatsWindow::kTotal;

  auto read = ReadFigures(c, cluster, window, last_day);
  const bool alone = !read && !cluster_asked_for;  // a Redis that hangs is not known to be away yet
  if (alone) {
    cluster = false;
    read = ReadFigures(c, cluster, window, last_day);
  }
  ASSIGN_OR_RETURN(const cache::ClusterFigures figures, std::move(read));
  StatsSnapshot total;
  for (const auto& [labels, counts] : figures.counts) total.Add(counts);
  Json out = {{"scope", cluster ? "cluster" : "instance"}, {"window", window_name}};
  if (alone) out["note"] = "Redis does not answer: these are the figures of this instance only";
  out.update(Counts(total));
  out.update(Json::parse(cache::ProcessStatsJson(c.exact.store().stats(), c.writer.stats(),
                                                 c.exact.collisions(),
                                                 SharedStatsOf(c.exact, c.single_flight))));
  out["semantic"].update(SemanticStatsJson(c));
  out["live_requests"] = c.live.size();
  if (cluster) AddInstances(c, figures.instances, out);
  if (group_by == "time") {
    out["groups"] = ByTime(figures.steps);
  } else if (!group_by.empty()) {
    out["groups"] = Groups(group_by, figures.counts, total);
  }
  AnswerJson(reply, out);
  return {};
}

}  // namespace nextgate::gateway::admin
