// Reads fields of one JSON object of a checkpoint's file, each with its type and range; the first
// error sticks and later reads return their defaults. Null counts as missing.
//
// Threads: one thread. The object outlives the reader.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status.h"

namespace nextgate::engine {

// A value as JSON, cut after 60 bytes.
std::string Shown(const nlohmann::json& value);

class FieldReader {
 public:
  // `file` opens the messages. REQUIRES: object.is_object().
  FieldReader(const nlohmann::json& object, std::string file)
      : object_(object), file_(std::move(file)) {}

  // Null if it is missing.
  const nlohmann::json* Find(const char* name) const;

  // Int: it may not be missing. Errors name the field, the range and what came.
  int64_t Int(const char* name, int64_t low, int64_t high);
  int64_t IntOr(const char* name, int64_t fallback, int64_t low, int64_t high);
  double NumberOr(const char* name, double fallback, double low, double high);
  bool BoolOr(const char* name, bool fallback);
  std::string TextOr(const char* name, std::string fallback);
  // Whole numbers of a list, each in [low, high].
  std::vector<int64_t> Ints(const char* name, int64_t low, int64_t high);

  void Fail(std::string message) {
    if (status_) status_ = DataLoss(file_ + ": " + std::move(message));
  }
  const Status& status() const { return status_; }

 private:
  const nlohmann::json& object_;
  std::string file_;
  Status status_;
};

}  // namespace nextgate::engine
