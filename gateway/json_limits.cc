#include "gateway/json_limits.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace nextgate::gateway {
namespace {

// Of all objects: what looking for each member among those before it may cost.
constexpr size_t kComparisonsMax = 2 * kJsonMembersMax * kJsonMembersMax;

// Takes nlohmann's events, by its names; false ends the walk.
struct Walk {
  using Json = nlohmann::json;
  const size_t depth_max;
  JsonFault fault = JsonFault::kNotJson;  // if the walk ends early
  std::vector<size_t> members;            // of what is open
  size_t comparisons = 0;
  size_t names = 0;

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
    ++names;
    comparisons += members.back();
    if (++members.back() <= kJsonMembersMax && comparisons <= kComparisonsMax) return true;
    fault = JsonFault::kTooWide;
    return false;
  }
  bool parse_error(size_t, const std::string&, const Json::exception&) { return false; }
};

}  // namespace

JsonFault LookOverJson(std::string_view text, size_t depth_max, size_t* names) {
  if (text.contains('\0')) return JsonFault::kNotJson;  // nlohmann takes it for the end
  Walk walk{.depth_max = depth_max};
  if (!nlohmann::json::sax_parse(text, &walk)) return walk.fault;
  if (names != nullptr) *names = walk.names;
  return JsonFault::kNone;
}

}  // namespace nextgate::gateway
