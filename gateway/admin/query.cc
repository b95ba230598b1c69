#include "gateway/admin/query.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "engine/tokenizer/tokenizer.h"

namespace nextgate::gateway::admin {
namespace {

constexpr size_t kCharactersMax = 256;

size_t Characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

QueryReader::QueryReader(const ServerRequest& http, std::initializer_list<std::string_view> known)
    : http_(http) {
  std::set<std::string_view> seen;
  for (const auto& [name, value] : http.query) {
    if (std::ranges::find(known, name) == known.end())
      Fail(known.size() == 0
               ? std::string("there are no query parameters here")
               : fmt::format("unknown query parameter; there are: {}", fmt::join(known, ", ")),
           name.substr(0, 64));
    if (!seen.insert(name).second) Fail(fmt::format("{}: given twice", name), name);
  }
}

void QueryReader::Fail(std::string message, std::string_view name) {
  if (status_) status_ = InvalidArgument(std::move(message), std::string(name));
}

std::optional<std::string> QueryReader::Text(std::string_view name) {
  for (const auto& [given, value] : http_.query) {
    if (given != name) continue;
    if (value.empty() || engine::FindInvalidUtf8(value) || Characters(value) > kCharactersMax) {
      Fail(fmt::format("{}: expected 1 to {} characters of UTF-8", name, kCharactersMax), name);
      return std::nullopt;
    }
    return value;
  }
  return std::nullopt;
}

std::string QueryReader::Choice(std::string_view name,
                                std::initializer_list<std::string_view> allowed,
                                std::string_view fallback) {
  const auto value = Text(name);
  if (!value) return std::string(fallback);
  if (std::ranges::find(allowed, *value) == allowed.end())
    Fail(fmt::format("{}: expected one of {}", name, fmt::join(allowed, ", ")), name);
  return *value;
}

std::optional<int64_t> QueryReader::Whole(std::string_view name, int64_t low, int64_t high) {
  const auto value = Text(name);
  if (!value) return std::nullopt;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size() || number < low ||
      number > high) {
    Fail(fmt::format("{}: expected a whole number from {} to {}", name, low, high), name);
    return std::nullopt;
  }
  return number;
}

}  // namespace nextgate::gateway::admin
