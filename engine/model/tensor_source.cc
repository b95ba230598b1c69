#include "engine/model/tensor_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "base/hash.h"
#include "kernels/core/convert.h"

namespace nextgate::engine {
namespace {

using kernels::DType;

constexpr int64_t kBlock = 128;
constexpr std::string_view kScaleSuffix = "_scale_inv";  // X.weight → X.weight_scale_inv

int64_t Blocks(int64_t size) { return (size + kBlock - 1) / kBlock; }

Result<DType> TypeOf(const RawTensor& tensor, const std::string& name) {
  if (tensor.dtype == "F32") return DType::kF32;
  if (tensor.dtype == "F16") return DType::kF16;
  if (tensor.dtype == "BF16") return DType::kBF16;
  if (tensor.dtype == "F8_E4M3") return DType::kF8E4M3;
  return DataLoss(
      fmt::format("tensor {}: expected F32, F16, BF16 or F8_E4M3, got {}", name, tensor.dtype));
}

class CheckpointSource final : public TensorSource {
 public:
  explicit CheckpointSource(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  bool Has(const std::string& name) const override { return checkpoint_.Find(name) != nullptr; }
  bool HasPrefix(const std::string& prefix) const override {
    const auto at = checkpoint_.tensors().lower_bound(prefix);
    return at != checkpoint_.tensors().end() && at->first.starts_with(prefix);
  }
  int64_t bytes() const override { return checkpoint_.bytes(); }

  Result<SourceTensor> Get(const std::string& name, std::span<const int64_t> shape,
                           TensorRole role) override {
    const RawTensor* raw = checkpoint_.Find(name);
    if (raw == nullptr)
      return DataLoss(
          fmt::format("tensor {} is missing, expected shape {}", name, ShapeText(shape)));
    if (!std::ranges::equal(raw->shape, shape))
      return DataLoss(fmt::format("tensor {}: expected shape {}, got {}", name, ShapeText(shape),
                                  ShapeText(raw->shape)));
    const bool first_time = used_.insert(name).second;
    SourceTensor tensor{.shape = raw->shape};
    ASSIGN_OR_RETURN(tensor.dtype, TypeOf(*raw, name));
    tensor.data = Aligned(raw->data, tensor.dtype, aligned_);
    const std::string scale_name = name + std::string(kScaleSuffix);
    const bool has_scale = Has(scale_name);
    if (tensor.dtype != DType::kF8E4M3) {
      if (has_scale)
        return DataLoss(fmt::format("tensor {}: has {} and so must be F8_E4M3, got {}", name,
                                    scale_name, raw->dtype));
      return tensor;
    }
    if (!has_scale || role != TensorRole::kMatrix)
      return DataLoss(fmt::format("tensor {}: F8_E4M3 {}", name,
                                  has_scale ? "is not allowed here" : "needs " + scale_name));
    RETURN_IF_ERROR(ReadScales(tensor, scale_name));
    const auto is_nan = [](std::byte b) { return (b & std::byte{0x7f}) == std::byte{0x7f}; };
    if (first_time && std::ranges::any_of(raw->data, is_nan))
      return DataLoss(fmt::format("tensor {}: holds NaN", name));
    return tensor;
  }

  Status CheckAllUsed(const IsLeftOut& is_left_out) const override {
    std::vector<std::string> extra;
    for (const auto& [name, tensor] : checkpoint_.tensors())
      if (!used_.contains(name) && !is_left_out(name)) extra.push_back(name);
    if (extra.empty()) return {};
    const RawTensor& first = *checkpoint_.Find(extra[0]);
    return DataLoss(
        fmt::format("tensor {} ({} {}) is not part of this model; {} such tensors: does "
                    "config.json belong to these weights?",
                    extra[0], first.dtype, ShapeText(first.shape), extra.size()));
  }

 private:
  // The data where it is, or copied where a file's odd header length left it misaligned.
  static const std::byte* Aligned(std::span<const std::byte> data, DType dtype,
                                  std::vector<std::byte>& copy) {
    if (std::bit_cast<uintptr_t>(data.data()) % kernels::DTypeBytes(dtype) == 0) return data.data();
    copy.assign(data.begin(), data.end());
    return copy.data();
  }
  Status ReadScales(SourceTensor& tensor, const std::string& name) {
    const RawTensor& raw = *checkpoint_.Find(name);
    std::vector<int64_t> expected = tensor.shape;
    expected.back() = Blocks(expected.back());
    expected[expected.size() - 2] = Blocks(expected[expected.size() - 2]);
    if (raw.shape != expected)
      return DataLoss(fmt::format("tensor {}: expected shape {}, got {}", name, ShapeText(expected),
                                  ShapeText(raw.shape)));
    ASSIGN_OR_RETURN(const DType dtype, TypeOf(raw, name));
    if (dtype == DType::kF8E4M3)
      return DataLoss(fmt::format("tensor {}: expected F32, F16 or BF16, got F8_E4M3", name));
    tensor.scales.resize(raw.data.size() / kernels::DTypeBytes(dtype));
    std::vector<std::byte> aligned;
    kernels::ConvertToFloat(tensor.scales.data(), Aligned(raw.data, dtype, aligned), dtype, 0,
                            static_cast<int64_t>(tensor.scales.size()));
    for (const float scale : tensor.scales)
      if (!std::isfinite(scale))
        return DataLoss(fmt::format("tensor {}: holds a scale that is not finite", name));
    used_.insert(name);
    return {};
  }

  const Checkpoint& checkpoint_;
  std::set<std::string> used_;
  std::vector<std::byte> aligned_;
};

// Every tensor's values depend on the seed and its name only.
class DummySource final : public TensorSource {
 public:
  DummySource(uint64_t seed, int64_t bytes_max, int64_t bytes)
      : seed_(seed), bytes_max_(bytes_max), bytes_(bytes) {}

  bool Has(const std::string& name) const override {
    return name.find(".experts.gate_up_proj") == std::string::npos;
  }
  bool HasPrefix(const std::string&) const override { return true; }
  int64_t bytes() const override { return bytes_; }
  Status CheckAllUsed(const IsLeftOut&) const override { return {}; }

  Result<SourceTensor> Get(const std::string& name, std::span<const int64_t> shape,
                           TensorRole role) override {
    SourceTensor tensor{.dtype = DType::kBF16, .shape = {shape.begin(), shape.end()}};
    const int64_t count = tensor.rows() * tensor.cols();
    if (count > bytes_max_ / 2)
      return MakeError(ErrorCode::kResourceExhausted,
                       fmt::format("tensor {} {} takes {} bytes, this machine has {}", name,
                                   ShapeText(shape), count * 2, bytes_max_));
    values_.resize(static_cast<size_t>(count));
    std::mt19937_64 random(seed_ ^ HashBytes(name).low);
    std::normal_distribution<float> normal;
    for (uint16_t& value : values_)
      value = static_cast<uint16_t>(
          std::bit_cast<uint32_t>(Draw(role, tensor.cols(), normal, random)) >> 16);
    tensor.data = reinterpret_cast<const std::byte*>(values_.data());
    return tensor;
  }

 private:
  // Activations stay near 1 whatever the depth; the router's logits have a spread of about 1, so
  // experts are used evenly over tokens and unevenly within one.
  static float Draw(TensorRole role, int64_t cols, std::normal_distribution<float>& normal,
                    std::mt19937_64& random) {
    const float x = normal(random);
    switch (role) {
      case TensorRole::kMatrix:
      case TensorRole::kRouter:
        return x / std::sqrt(static_cast<float>(cols));
      case TensorRole::kEmbedding:
        return x;
      case TensorRole::kZeroCentredNorm:
        return 0.02f * x;
      case TensorRole::kPlainNorm:
        return 1.0f + 0.02f * x;
      case TensorRole::kConv:
        return 0.5f * x;
      case TensorRole::kALog:
        return 0.5f * x;
      case TensorRole::kDtBias:
        return -3.0f + x;
    }
    return 0;
  }

  uint64_t seed_;
  int64_t bytes_max_;
  int64_t bytes_;
  std::vector<uint16_t> values_;
};

}  // namespace

int64_t SourceTensor::rows() const {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

float SourceTensor::Scale(int64_t row, int64_t column) const {
  const int64_t matrix = row / matrix_rows();
  const int64_t block_row = matrix * Blocks(matrix_rows()) + row % matrix_rows() / kBlock;
  return scales[static_cast<size_t>(block_row * Blocks(cols()) + column / kBlock)];
}

std::unique_ptr<TensorSource> MakeCheckpointSource(const Checkpoint& checkpoint) {
  return std::make_unique<CheckpointSource>(checkpoint);
}
std::unique_ptr<TensorSource> MakeDummySource(uint64_t seed, int64_t bytes_max, int64_t bytes) {
  return std::make_unique<DummySource>(seed, bytes_max, bytes);
}

}  // namespace nextgate::engine
