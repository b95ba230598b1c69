#include "gateway/openai/field_reader.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace nextgate::gateway::openai {

std::string Described(const Json& value) {
  if (value.is_number() || value.is_boolean()) return value.dump();
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (value.is_object()) return "an object";
  if (value.is_string())
    return fmt::format("a string of {} bytes", value.get_ref<const std::string&>().size());
  return value.type_name();
}

std::optional<int64_t> AsWhole(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > INT64_MAX) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  if (number != std::trunc(number) || std::abs(number) > 9e15) return std::nullopt;
  return static_cast<int64_t>(number);
}

const Json* FieldReader::Find(const char* name) {
  read_.insert(name);
  const auto at = object_.find(name);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

void FieldReader::Fail(std::string message, std::string field, ErrorCode code) {
  if (status_) status_ = MakeError(code, std::move(message), std::move(field));
}

std::vector<std::string> FieldReader::Unread() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items())
    if (!read_.contains(name)) names.push_back(name);
  return names;
}

bool FieldReader::Bool(const char* name, bool fallback) {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  Fail(fmt::format("{}: expected true or false, got {}", name, Described(*value)), name);
  return fallback;
}

std::optional<double> FieldReader::Number(const char* name, double low, double high,
                                          bool open_low) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) {
    const auto number = value->get<double>();
    if (number <= high && (open_low ? number > low : number >= low)) return number;
  }
  Fail(fmt::format("{}: expected a number {} {} and at most {}, got {}", name,
                   open_low ? "above" : "of at least", low, high, Described(*value)),
       name);
  return std::nullopt;
}

std::optional<int64_t> FieldReader::Whole(const char* name, int64_t low, int64_t high) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const auto number = AsWhole(*value);
  if (number && *number >= low && *number <= high) return number;
  Fail(fmt::format("{}: expected a whole number from {} to {}, got {}", name, low, high,
                   Described(*value)),
       name);
  return std::nullopt;
}

std::optional<std::string> FieldReader::Text(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  Fail(fmt::format("{}: expected a string, got {}", name, Described(*value)), name);
  return std::nullopt;
}

std::vector<std::string> FieldReader::Texts(const char* name, size_t most) {
  std::vector<std::string> texts;
  const Json* value = Find(name);
  if (value == nullptr) return texts;
  const Json list = value->is_array() ? *value : Json::array({*value});
  if (list.size() > most) {
    Fail(fmt::format("{}: expected at most {} strings, got {}", name, most, list.size()), name);
    return texts;
  }
  for (const Json& item : list) {
    if (item.is_string() && !item.get_ref<const std::string&>().empty()) {
      texts.push_back(item.get<std::string>());
    } else {
      Fail(fmt::format("{}: expected strings that are not empty, got {}", name, Described(item)),
           name);
    }
  }
  return texts;
}

std::vector<int32_t> FieldReader::TokenIds(const char* name, int32_t vocab_size) {
  std::vector<int32_t> ids;
  const Json* value = Find(name);
  if (value == nullptr) return ids;
  if (!value->is_array())
    Fail(fmt::format("{}: expected a list of token ids, got {}", name, Described(*value)), name);
  for (const Json& item : *value) {
    const auto id = AsWhole(item);
    if (!id || *id < 0 || *id >= vocab_size) {
      Fail(fmt::format("{}: expected token ids from 0 to {}, got {}", name, vocab_size - 1,
                       Described(item)),
           name);
      return ids;
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

std::vector<std::pair<int32_t, float>> FieldReader::LogitBias(const char* name,
                                                              int32_t vocab_size) {
  std::vector<std::pair<int32_t, float>> biases;
  const Json* value = Find(name);
  if (value == nullptr) return biases;
  if (!value->is_object()) {
    Fail(fmt::format("{}: expected an object from token ids to numbers, got {}", name,
                     Described(*value)),
         name);
    return biases;
  }
  for (const auto& [key, bias] : value->items()) {
    int32_t id = 0;
    const std::errc error = std::from_chars(key.data(), key.data() + key.size(), id).ec;
    // "05" would be a second name of 5: two biases for one token.
    if (error != std::errc() || id < 0 || id >= vocab_size || key != std::to_string(id)) {
      Fail(fmt::format("{}: expected token ids from 0 to {} in plain decimals as keys", name,
                       vocab_size - 1),
           name);
      return biases;
    }
    if (!bias.is_number() || !(std::abs(bias.get<double>()) <= 100)) {
      Fail(fmt::format("{}: expected numbers from -100 to 100, got {}", name, Described(bias)),
           name);
      return biases;
    }
    biases.emplace_back(id, static_cast<float>(bias.get<double>()));
  }
  return biases;
}

}  // namespace nextgate::gateway::openai
