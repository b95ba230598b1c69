// From the body of a generating request to an ApiRequest that names a model which is served here, as
// the generator behind it needs it: checked in every field for the engine; for an upstream only read,
// since it does its own checking. Serving and explaining read through the same door.
//
// Threads: immutable; may be called from any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gateway/openai/api_request.h"
#include "gateway/upstream/upstream.h"

namespace nextgate::gateway {

struct RequestReader {
  const openai::ParseLimits& limits;
  const std::vector<std::string>& model_names;  // the first is what an absent model means
  const Upstream* upstream = nullptr;           // null: an engine answers

  // `header` gives a header of the request, "" if absent. Errors name the field; kNotFound: a model that
  // is not served; kInvalidArgument also for a request that this server sent itself.
  Result<openai::ApiRequest> Read(
      openai::Endpoint endpoint, std::string_view body,
      const std::function<std::string(const std::string& name)>& header) const;

  // kNotFound unless `model` is served or "".
  Status CheckModel(std::string_view model) const;
};

}  // namespace nextgate::gateway
