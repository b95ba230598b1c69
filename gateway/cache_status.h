// The Cache-Status header (RFC 9211): what became of a request at this answer cache, in a form that
// tools which know nothing of us can read. It stands beside X-Cache and says the same.
//
//   nextgate; hit; ttl=3599                        a stored answer, good for so many seconds more
//   nextgate; fwd=miss; stored                     generated, and to be kept
//   nextgate; fwd=miss                             the same as a stream: not known yet
//   nextgate; fwd=miss; collapsed                  generated for somebody else at the same time
//   nextgate; fwd=bypass; detail=sampled           not looked up, and why (reason.h)
//   nextgate; detail=only_if_cached                not stored, and not to be generated
//
// Threads: pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/generator.h"

namespace nextgate::gateway {

std::string CacheStatusHit(int64_t ttl_s);  // negative counts as 0
std::string CacheStatusCollapsed();
std::string CacheStatusMiss();
std::string CacheStatusBypass(std::string_view reason_code);
std::string CacheStatusUnanswered();

// Adds "; stored" to the reply's own Cache-Status: its body is complete and will be kept.
void MarkStored(ReplyHeaders& headers);

}  // namespace nextgate::gateway
