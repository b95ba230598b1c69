// Reads the fields of a request object: types and ranges are checked, the first error sticks and
// names its field. Which fields were read is remembered, so that the rest can be named.
//
// Threads: one request, one thread. Internal to gateway/openai (it includes json.hpp).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"

namespace nextgate::gateway::openai {

using Json = nlohmann::ordered_json;

// A value as it stands in an error: its type and, for numbers and booleans, itself. Never text.
std::string Described(const Json& value);

class FieldReader {
 public:
  explicit FieldReader(const Json& object) : object_(object) {}

  // The value, or nullptr if absent or null. Counts as read.
  const Json* Find(const char* name);

  bool Bool(const char* name, bool fallback);
  // A number in [low, high]; `open_low`: above low.
  std::optional<double> Number(const char* name, double low, double high, bool open_low = false);
  // A whole number in [low, high]; 2.0 is one.
  std::optional<int64_t> Whole(const char* name, int64_t low, int64_t high);
  std::optional<std::string> Text(const char* name);
  // A string or a list of at most `most` non-empty strings.
  std::vector<std::string> Texts(const char* name, size_t most);
  std::vector<int32_t> TokenIds(const char* name, int32_t vocab_size);
  std::vector<std::pair<int32_t, float>> LogitBias(const char* name, int32_t vocab_size);

  void Fail(std::string message, std::string field, ErrorCode code = ErrorCode::kInvalidArgument);
  const Status& status() const { return status_; }
  // Fields that nobody asked for.
  std::vector<std::string> Unread() const;

 private:
  const Json& object_;
  std::set<std::string> read_;
  Status status_;
};

// A whole number in `value`, 2.0 included; nothing if it is none or leaves 64 bits.
std::optional<int64_t> AsWhole(const Json& value);

}  // namespace nextgate::gateway::openai
