#include "bench/semantic/question_sets.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/file.h"

namespace nextgate::semantic_bench {
namespace {

constexpr int64_t kBytesMax = int64_t{64} << 20;

// RFC 4180: fields between commas, in double quotes if they hold a comma, a quote or a line break.
std::vector<std::vector<std::string>> ParseCsv(std::string_view bytes) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string field;
  bool quoted = false;
  const auto end_field = [&] { row.push_back(std::exchange(field, {})); };
  const auto end_row = [&] {
    end_field();
    if (row.size() > 1 || !row.front().empty()) rows.push_back(row);
    row.clear();
  };
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (quoted) {
      if (c != '"') {
        field.push_back(c);
      } else if (i + 1 < bytes.size() && bytes[i + 1] == '"') {
        field.push_back(bytes[++i]);
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      end_field();
    } else if (c == '\n') {
      end_row();
    } else if (c != '\r') {
      field.push_back(c);
    }
  }
  if (!field.empty() || !row.empty()) end_row();
  return rows;
}

// Adds what was not there yet, without line breaks and spaces at its ends.
class Unique {
 public:
  explicit Unique(QuestionSet* set) : set_(set) {}

  void Add(std::string text, std::string intent, bool out_of_scope) {
    for (char& c : text)
      if (c == '\n' || c == '\t' || c == '\r') c = ' ';
    const size_t from = text.find_first_not_of(' ');
    if (from == std::string::npos) return;
    text = text.substr(from, text.find_last_not_of(' ') + 1 - from);
    if (!seen_.insert(text).second) return;
    set_->questions.push_back(
        {.text = std::move(text), .intent = std::move(intent), .out_of_scope = out_of_scope});
  }

 private:
  QuestionSet* set_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

Result<QuestionSet> ReadBanking77(const std::string& directory) {
  QuestionSet set{.name = "banking77", .questions = {}};
  Unique unique(&set);
  for (const char* name : {"/banking77_train.csv", "/banking77_test.csv"}) {
    ASSIGN_OR_RETURN(const std::string bytes, ReadFile(directory + name, kBytesMax));
    const auto rows = ParseCsv(bytes);
    if (rows.empty() || rows.front() != std::vector<std::string>{"text", "category"})
      return DataLoss(fmt::format("{}{}: its first line must be text,category", directory, name));
    for (size_t i = 1; i < rows.size(); ++i) {
      if (rows[i].size() != 2)
        return DataLoss(
            fmt::format("{}{}: row {} has {} fields, not 2", directory, name, i, rows[i].size()));
      unique.Add(rows[i][0], rows[i][1], false);
    }
  }
  return set;
}

Result<QuestionSet> ReadClinc150(const std::string& directory) {
  QuestionSet set{.name = "clinc150", .questions = {}};
  Unique unique(&set);
  const std::string path = directory + "/clinc150_small.json";
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kBytesMax));
  const auto parts = nlohmann::json::parse(bytes, nullptr, false);
  if (!parts.is_object()) return DataLoss(path + ": not a JSON object");
  for (const char* name : {"train", "val", "test", "oos_train", "oos_val", "oos_test"}) {
    const auto part = parts.find(name);
    if (part == parts.end() || !part->is_array()) return DataLoss(path + ": no list " + name);
    for (const auto& item : *part) {
      if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string())
        return DataLoss(path + ": an item that is not [text, intent]");
      unique.Add(item[0], item[1], item[1] == "oos");
    }
  }
  return set;
}

Result<std::vector<std::vector<std::string>>> ReadTsv(const std::string& path, size_t columns) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kBytesMax));
  std::vector<std::vector<std::string>> rows;
  std::string_view left = bytes;
  while (!left.empty()) {
    std::string_view line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(left.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    std::vector<std::string> row;
    for (size_t from = 0; from <= line.size();) {
      const size_t tab = std::min(line.find('\t', from), line.size());
      row.emplace_back(line.substr(from, tab - from));
      from = tab + 1;
    }
    if (row.size() < columns)
      return DataLoss(fmt::format("{}: line {} has {} columns, at least {} expected", path,
                                  rows.size() + 1, row.size(), columns));
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<std::vector<LabelledPair>> ReadAntonyms(const std::string& directory) {
  const std::string path = directory + "/antonyms_half.tsv";
  ASSIGN_OR_RETURN(auto rows, ReadTsv(path, 3));
  if (rows.empty() || rows.front() != std::vector<std::string>{"premise", "hypothesis", "label"})
    return DataLoss(path + ": its first line must be premise, hypothesis, label");
  std::vector<LabelledPair> pairs;
  for (size_t i = 1; i < rows.size(); ++i)
    pairs.push_back({.asked = rows[i][0], .stored = rows[i][1], .same = rows[i][2] == "0"});
  return pairs;
}

}  // namespace nextgate::semantic_bench
