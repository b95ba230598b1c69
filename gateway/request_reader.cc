#include "gateway/request_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "gateway/upstream/request.h"

namespace nextgate::gateway {

using openai::ApiRequest;
using openai::Endpoint;

Status RequestReader::CheckModel(std::string_view model) const {
  if (model.empty() || std::ranges::find(model_names, model) != model_names.end()) return {};
  return MakeError(ErrorCode::kNotFound,
                   fmt::format("the model '{}' is not served here; there is: {}",
                               model.substr(0, 200), fmt::join(model_names, ", ")),
                   "model");
}

Result<ApiRequest> RequestReader::Read(
    Endpoint endpoint, std::string_view body,
    const std::function<std::string(const std::string&)>& header) const {
  if (upstream != nullptr) {
    RETURN_IF_ERROR(upstream->CheckNoLoop(header("Via")));
    ASSIGN_OR_RETURN(ApiRequest request, ReadForUpstream(endpoint, body, upstream->model()));
    request.forwarded_cache_control = header("Cache-Control");
    request.forwarded_via = header("Via");
    return request;
  }
  ASSIGN_OR_RETURN(ApiRequest request, endpoint == Endpoint::kChat
                                           ? openai::ParseChatRequest(body, limits)
                                           : openai::ParseCompletionRequest(body, limits));
  RETURN_IF_ERROR(CheckModel(request.model));
  return request;
}

}  // namespace nextgate::gateway
