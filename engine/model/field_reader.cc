#include "engine/model/field_reader.h"

#include <fmt/format.h>

namespace nextgate::engine {

using nlohmann::json;

std::string Shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

const json* FieldReader::Find(const char* name) const {
  const auto at = object_.find(name);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

int64_t FieldReader::Int(const char* name, int64_t low, int64_t high) {
  if (Find(name) == nullptr) {
    Fail(fmt::format("{}: missing, expected a whole number from {} to {}", name, low, high));
    return low;
  }
  return IntOr(name, low, low, high);
}

int64_t FieldReader::IntOr(const char* name, int64_t fallback, int64_t low, int64_t high) {
  const json* value = Find(name);
  if (value == nullptr) return fallback;
  if (value->is_number_integer() &&
      !(value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX)) {
    const auto number = value->get<int64_t>();
    if (number >= low && number <= high) return number;
  }
  Fail(fmt::format("{}: expected a whole number from {} to {}, got {}", name, low, high,
                   Shown(*value)));
  return low;
}

double FieldReader::NumberOr(const char* name, double fallback, double low, double high) {
  const json* value = Find(name);
  if (value == nullptr) return fallback;
  if (value->is_number() && value->get<double>() >= low && value->get<double>() <= high)
    return value->get<double>();
  Fail(fmt::format("{}: expected a number from {} to {}, got {}", name, low, high, Shown(*value)));
  return low;
}

bool FieldReader::BoolOr(const char* name, bool fallback) {
  const json* value = Find(name);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  Fail(fmt::format("{}: expected true or false, got {}", name, Shown(*value)));
  return fallback;
}

std::string FieldReader::TextOr(const char* name, std::string fallback) {
  const json* value = Find(name);
  if (value == nullptr) return fallback;
  if (value->is_string()) return value->get<std::string>();
  Fail(fmt::format("{}: expected a string, got {}", name, Shown(*value)));
  return fallback;
}

std::vector<int64_t> FieldReader::Ints(const char* name, int64_t low, int64_t high) {
  std::vector<int64_t> numbers;
  const json* value = Find(name);
  if (value == nullptr) return numbers;
  if (!value->is_array()) {
    Fail(fmt::format("{}: expected a list, got {}", name, Shown(*value)));
    return numbers;
  }
  for (const json& item : *value) {
    if (item.is_number_integer() && item.get<int64_t>() >= low && item.get<int64_t>() <= high) {
      numbers.push_back(item.get<int64_t>());
    } else {
      Fail(fmt::format("{}: expected whole numbers from {} to {}, got {}", name, low, high,
                       Shown(item)));
    }
  }
  return numbers;
}

}  // namespace nextgate::engine
