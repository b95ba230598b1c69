// The parts behind the admin API, for the targets that call its handlers; nobody listens on a port.
//
// Threads: one at a time.
#pragma once

#include <nlohmann/json.hpp>

#include "tests/gateway/admin/admin_context_fixture.h"

namespace nextgate::testing {

class AdminWorld final : public gateway::admin::AdminContextTest {
 public:
  const gateway::admin::AdminContext& context() const { return context_; }
  cache::MemoryStore& store() { return store_; }
  cache::Invalidations& invalidations() { return invalidations_; }
  engine::FakeEngine& engine() { return engine_; }
  gateway::ServeOptions& options() { return options_; }

 private:
  void TestBody() override {}
};

AdminWorld& TheWorld();

// It says something, as JSON, and is not ours.
void CheckError(const Error& error);

// The reply's body, an object, or a stream's text; null if the request was refused.
nlohmann::json Call(gateway::admin::AdminFunction function, gateway::ServerRequest http);

}  // namespace nextgate::testing
