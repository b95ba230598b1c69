// A stored answer as one line of JSON and back, exactly: what export writes and import reads.
//
// Threads: pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cache/answer_store.h"

namespace nextgate::gateway::admin {

// {"id", "material", "created_unix_ms", "expires_unix_ms", "hits", "origin": {model, route, tenant, team,
// user, namespace}, "usage", "extras", "choices", "deltas"}, without a line break. Members that are
// empty are left out below "deltas". kDataLoss if a text is not UTF-8.
Result<std::string> EntryLine(const cache::StoredAnswer& entry);

// kInvalidArgument says what is wrong, not what is in it. The id, if there is one, must be the
// material's.
Result<cache::StoredAnswer> ParseEntryLine(const nlohmann::ordered_json& line);

}  // namespace nextgate::gateway::admin
