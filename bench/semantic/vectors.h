// Vectors of texts, computed once: what a file has from an earlier run is not computed again.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/status.h"

namespace nextgate::semantic_bench {

class Vectors {
 public:
  // `file`: as this wrote it, of the same encoder (else everything is computed); "": no file.
  // kNotFound and others as engine::SentenceEncoder has them.
  static Result<Vectors> Of(const std::vector<std::string>& texts,
                            const std::string& encoder_directory, const std::string& file);

  // REQUIRES: `text` was among those asked for. [dimension], of length 1.
  const float* Find(std::string_view text) const;
  float Cosine(std::string_view a, std::string_view b) const;
  size_t dimension() const { return dimension_; }

 private:
  void Read(const std::string& file, const std::string& fingerprint);
  Status Write(const std::string& file, const std::string& fingerprint) const;

  size_t dimension_ = 0;
  std::unordered_map<Hash128, std::vector<float>> vectors_;
};

}  // namespace nextgate::semantic_bench
