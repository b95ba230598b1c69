// Where the weights come from: a checkpoint, or a seeded random generator (`--load-format dummy`).
// One tensor at a time, checked against the shape that the configuration implies.
//
// Threads: one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/model/safetensors.h"
#include "kernels/core/dtype.h"

namespace nextgate::engine {

// A tensor as stored, aligned for its type; valid until the next Get.
struct SourceTensor {
  const std::byte* data = nullptr;
  kernels::DType dtype = kernels::DType::kF32;
  std::vector<int64_t> shape;
  // kF8E4M3: one scale per 128 × 128 block of each matrix (the last two dims).
  std::vector<float> scales;

  int64_t matrix_rows() const { return shape.size() < 2 ? 1 : shape[shape.size() - 2]; }
  int64_t cols() const { return shape.back(); }
  int64_t rows() const;  // all dims but the last, multiplied
  // The scale of element (row, column), row counted over all matrices. REQUIRES: kF8E4M3.
  float Scale(int64_t row, int64_t column) const;
};

// What a tensor is for: decides the dummy's distribution.
enum class TensorRole {
  kMatrix,
  kRouter,
  kEmbedding,
  kZeroCentredNorm,
  kPlainNorm,
  kConv,
  kALog,
  kDtBias
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual bool Has(const std::string& name) const = 0;
  // Error: missing, or another shape or type than expected; names the tensor, what was expected,
  // what came.
  virtual Result<SourceTensor> Get(const std::string& name, std::span<const int64_t> shape,
                                   TensorRole role) = 0;
  // Any tensor whose name begins so?
  virtual bool HasPrefix(const std::string& prefix) const = 0;
  // Error if a tensor is left that nobody asked for and that `is_left_out` does not know.
  using IsLeftOut = std::function<bool(std::string_view name)>;
  virtual Status CheckAllUsed(const IsLeftOut& is_left_out) const = 0;
  virtual int64_t bytes() const = 0;  // of all tensors
};

std::unique_ptr<TensorSource> MakeCheckpointSource(const Checkpoint& checkpoint);
// Refuses a tensor of more than `bytes_max`: sizes come from a configuration that no file confirms.
// `bytes`: of all tensors, which the caller knows.
std::unique_ptr<TensorSource> MakeDummySource(uint64_t seed, int64_t bytes_max, int64_t bytes = 0);

}  // namespace nextgate::engine
