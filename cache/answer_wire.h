// The parts of an answer as bytes, the same in stored entries and in live streams.
//
// What is read is not trusted: after unpacking, the reader's failed() says whether it was well formed.
//
// Threads: pure.
#pragma once

#include <cstdint>
#include <vector>

#include "cache/answer.h"
#include "cache/wire.h"

namespace nextgate::cache {

void PackDelta(WireWriter& out, const AnswerDelta& delta);
// The delta's views point into the reader's bytes and into `*token_ids`. Its choice is never below 0.
AnswerDelta UnpackDelta(WireReader& in, std::vector<int32_t>* token_ids);

void PackChoice(WireWriter& out, const AnswerChoice& choice);
AnswerChoice UnpackChoice(WireReader& in);

void PackUsage(WireWriter& out, const AnswerUsage& usage);
AnswerUsage UnpackUsage(WireReader& in);

}  // namespace nextgate::cache
