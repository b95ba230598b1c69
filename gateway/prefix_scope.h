// Whose computed prompts a request may resume, and whose tokenisations it may learn: those of equal
// scope only.
//
// Threads: pure.
#pragma once

#include <string>
#include <string_view>

#include "cache/key.h"

namespace nextgate::gateway {

// Of who asks, as its key has it (tenant, team and user; the namespace, which a client chooses for
// stored answers, does not count), and of the request's `cache_salt`. "" if there is nothing in any of
// them; else each with its length in front, so that different parts never make the same scope.
std::string PrefixScope(const cache::Scope& who, std::string_view salt);

}  // namespace nextgate::gateway
