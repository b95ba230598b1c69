#include "gateway/json_limits.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace nextgate::gateway {
namespace {

// Of all objects: what looking for each member among those before it may cost.
constexpr size_t kComparisonsMax = 2 * kJsonMembersMax * kJsonMembersMax;

// nlohmann's events; false ends the walk.
struct Walk {
  using Json = nlohmann::json;
  const size_t depth_max;
  JsonFault fault = JsonFault::kNotJson;  // if the walk ends early
  std::vector<size_t> members;            // of what is open
  size_t comparisons = 0;

  bool Open() {
    members.push_back(0);
    if (members.size() <= depth_max) return true;
    fault = JsonFault::kTooDeep;
    return false;
  }
  bool Close() {
    members.pop_back();
    return true;
  }

  // NOLINTBEGIN(readability-identifier-naming): the names are nlohmann's
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(Json::number_integer_t) { return true; }
  bool number_unsigned(Json::number_unsigned_t) { return true; }
  bool number_float(Json::number_float_t, const std::string&) { return true; }
  bool string(const std::string&) { return true; }
  bool binary(const Json::binary_t&) { return true; }
  bool start_object(size_t) { return Open(); }
  bool start_array(size_t) { return Open(); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }
  bool key(const std::string&) {
    comparisons += members.back();
    if (++members.back() <= kJsonMembersMax && comparisons <= kComparisonsMax) return true;
    fault = JsonFault::kTooWide;
    return false;
  }
  bool parse_error(size_t, const std::string&, const Json::exception&) { return false; }
  // NOLINTEND(readability-identifier-naming)
};

}  // namespace

JsonFault LookOverJson(std::string_view text, size_t depth_max) {
  if (text.contains('\0')) return JsonFault::kNotJson;  // nlohmann takes it for the end
  Walk walk{.depth_max = depth_max};
  return nlohmann::json::sax_parse(text, &walk) ? JsonFault::kNone : walk.fault;
}

}  // namespace nextgate::gateway
