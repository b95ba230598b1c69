// Element types of weights. Activations, KV and states on the CPU backend are always float.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nextgate::kernels {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF8E4M3,  // OCP E4M3 (finite, no infinity), always with 128×128 block scales
};

constexpr size_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
      return 2;
    case DType::kF8E4M3:
      return 1;
  }
  return 0;
}

constexpr const char* DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kF8E4M3:
      return "F8_E4M3";
  }
  return "?";
}

// A weight matrix [rows, cols], row-major and dense, of any weight type. For kF8E4M3 the value of
// element (r, c) is fp8(r, c) · scales[r / 128][c / 128]; otherwise scales is null. Borrowed.
struct WeightView {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const float* scales = nullptr;  // [ceil(rows / 128), ceil(cols / 128)]
};

}  // namespace nextgate::kernels
