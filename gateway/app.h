// The whole server: model, engine, answer cache and the two HTTP ports, built from ServeOptions.
#pragma once

#include "gateway/serve_options.h"

namespace nextgate::gateway {

// Serves until SIGTERM or SIGINT (gateway/signals.h), then: not ready → stop accepting → finish
// streams → deadline. Returns the exit code: 0 after an orderly stop, 1 if something could not start
// (the reason is logged).
//
// Threads: call from main, before any other thread is started (it blocks the two signals for all).
int RunServe(const ServeOptions& options);

}  // namespace nextgate::gateway
