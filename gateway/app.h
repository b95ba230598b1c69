// The whole server: model, engine, answer cache and the two HTTP ports, built from ServeOptions.
#pragma once

#include <string>
#include <vector>

#include "gateway/serve_options.h"

namespace nextgate::gateway {

// Serves until SIGTERM or SIGINT (gateway/signals.h), then: not ready → stop accepting → finish
// streams → deadline. Returns the exit code: 0 after an orderly stop, 1 if something could not start
// (the reason is logged).
//
// Threads: call from main, before any other thread is started (it blocks the two signals for all).
// `args`: the command line that `options` are of, for reloads (gateway/admin/reload.h).
int RunServe(const ServeOptions& options, const std::vector<std::string>& args);

}  // namespace nextgate::gateway
