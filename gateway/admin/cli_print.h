// The tables of `nextgate admin`. What clients chose (namespaces, questions, answers) is printed without
// control characters, so that nothing of it can steer a terminal.
//
// Threads: pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace nextgate::gateway::admin {

std::string StatsTable(const nlohmann::ordered_json& stats);
std::string EntriesTable(const nlohmann::ordered_json& listing);
std::string EntryText(const nlohmann::ordered_json& entry);
std::string ExplainText(const nlohmann::ordered_json& explained);
std::string ThresholdsTable(const nlohmann::ordered_json& thresholds);
std::string ComparatorText(const nlohmann::ordered_json& counted);
std::string FeedbackText(const nlohmann::ordered_json& taken);
std::string PrefixStatsTable(const nlohmann::ordered_json& stats);
std::string PrefixExplainText(const nlohmann::ordered_json& explained);
std::string PrefixResetText(const nlohmann::ordered_json& reset);
std::string RequestsTable(const nlohmann::ordered_json& requests);
std::string ConfigText(const nlohmann::ordered_json& config);
std::string ReloadedText(const nlohmann::ordered_json& reloaded);
std::string InvalidatedText(const nlohmann::ordered_json& invalidated);
std::string InvalidationsTable(const nlohmann::ordered_json& invalidations);
std::string KeysTable(const nlohmann::ordered_json& keys);

// Columns as wide as their widest cell; the first row is the heading.
std::string Table(const std::vector<std::vector<std::string>>& rows);
// `text` with control characters (all but line breaks, and C1's too) as '?'.
std::string Printable(std::string_view text);

}  // namespace nextgate::gateway::admin
