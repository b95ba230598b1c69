// What a checkpoint is, in 32 hex digits: two directories have the same fingerprint iff everything
// that decides their answers is equal. Of config.json, generation_config.json, tokenizer files and
// chat template, the bytes; of weights, the bytes up to 1 GB in all, beyond that names, sizes,
// headers and 64 samples of 64 KiB a file (reading 80 GB twice would cost more than starting).
#pragma once

#include <string>

#include "base/status.h"

namespace nextgate::engine {

Result<std::string> Fingerprint(const std::string& dir, const std::string& hf_overrides,
                                bool dummy_weights);

}  // namespace nextgate::engine
