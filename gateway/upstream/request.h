// A generating request on its way to an upstream. It is read for what the answer cache must know and
// otherwise left alone: whether a field is right is for the upstream to say, and what this server does
// not know is passed on too (and makes the request ineligible, `unknown_field`).
//
// The body goes on byte by byte but for: `model`, if the operator set another; `cache`, which is for
// this server; and `stream_options`, because every stream is asked for its usage, without which one
// entry could not serve streams and bodies.
//
// Threads: pure.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "gateway/openai/api_request.h"

namespace nextgate::gateway {

// `model`: what to ask the upstream for whatever the client says; "" for what the client says. A body
// that is no JSON is passed on as it is, to be refused by the upstream; refused here is only what this
// server cannot handle: JSON that is no object, or nested or wide beyond openai::ParseBody's limits.
Result<openai::ApiRequest> ReadForUpstream(openai::Endpoint endpoint, std::string_view body,
                                           const std::string& model);

}  // namespace nextgate::gateway
