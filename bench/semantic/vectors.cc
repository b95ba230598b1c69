#include "bench/semantic/vectors.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <span>
#include <utility>

#include "base/check.h"
#include "engine/encoder/sentence_encoder.h"

namespace nextgate::semantic_bench {

// The file: 32 digits of the encoder's fingerprint, the dimension as u64, then of each text its hash (16
// bytes) and its vector.
void Vectors::Read(const std::string& file, const std::string& fingerprint) {
  std::ifstream in(file, std::ios::binary);
  std::string found(fingerprint.size(), '\0');
  uint64_t dimension = 0;
  in.read(found.data(), static_cast<std::streamsize>(found.size()));
  in.read(reinterpret_cast<char*>(&dimension), sizeof dimension);
  if (!in || found != fingerprint || dimension != dimension_) return;
  Hash128 hash;
  std::vector<float> values(dimension);
  while (in.read(reinterpret_cast<char*>(&hash), sizeof hash) &&
         in.read(reinterpret_cast<char*>(values.data()),
                 static_cast<std::streamsize>(dimension * sizeof(float))))
    vectors_.emplace(hash, values);
}

Status Vectors::Write(const std::string& file, const std::string& fingerprint) const {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  const uint64_t dimension = dimension_;
  out.write(fingerprint.data(), static_cast<std::streamsize>(fingerprint.size()));
  out.write(reinterpret_cast<const char*>(&dimension), sizeof dimension);
  for (const auto& [hash, values] : vectors_) {
    out.write(reinterpret_cast<const char*>(&hash), sizeof hash);
    out.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(dimension * sizeof(float)));
  }
  if (!out.flush()) return MakeError(ErrorCode::kInternal, file + ": cannot be written");
  return {};
}

Result<Vectors> Vectors::Of(const std::vector<std::string>& texts,
                            const std::string& encoder_directory, const std::string& file) {
  constexpr size_t kBatch = 64;
  ASSIGN_OR_RETURN(const auto encoder, engine::SentenceEncoder::Open(encoder_directory, 0));
  Vectors all;
  all.dimension_ = static_cast<size_t>(encoder->dimension());
  if (!file.empty()) all.Read(file, encoder->fingerprint());
  std::vector<std::string> missing;
  for (const std::string& text : texts)
    if (all.vectors_.try_emplace(HashBytes(text)).second) missing.push_back(text);
  for (size_t i = 0; i < missing.size(); i += kBatch) {
    const auto batch = std::span(missing).subspan(i, std::min(kBatch, missing.size() - i));
    ASSIGN_OR_RETURN(auto embeddings, encoder->Encode(batch));
    for (size_t k = 0; k < batch.size(); ++k)
      all.vectors_[HashBytes(batch[k])] = std::move(embeddings[k].values);
  }
  if (!file.empty() && !missing.empty()) RETURN_IF_ERROR(all.Write(file, encoder->fingerprint()));
  return all;
}

const float* Vectors::Find(std::string_view text) const {
  const auto found = vectors_.find(HashBytes(text));
  CHECK(found != vectors_.end());
  return found->second.data();
}

float Vectors::Cosine(std::string_view a, std::string_view b) const {
  const float *x = Find(a), *y = Find(b);
  float sum = 0;
  for (size_t d = 0; d < dimension_; ++d) sum += x[d] * y[d];
  return sum;
}

}  // namespace nextgate::semantic_bench
