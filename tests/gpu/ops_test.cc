// cuda:: bodies against cpu:: on a real card: fresh seeds, poisoned outputs. Run by tests/gpu.sh.
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <type_traits>

#include "kernels/core/launch.h"
#include "kernels/gemm/linear.h"
#include "kernels/moe/topk_router.h"
#include "kernels/norm/rms_norm.h"
#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::Matches;
using testing::Matrix;
using testing::Owned;
using testing::Random;
using testing::SumTolerance;
using testing::TestExec;

// Device memory with a copy of host values; poison (0xFF bytes: NaN, or id −1) where there are
// none.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(size_t bytes) : bytes_(bytes) {
    CUDA_CHECK(cudaMalloc(&data_, bytes));
    CUDA_CHECK(cudaMemset(data_, 0xff, bytes));
  }
  DeviceBuffer(const void* host, size_t bytes) : DeviceBuffer(bytes) {
    CUDA_CHECK(cudaMemcpy(data_, host, bytes, cudaMemcpyHostToDevice));
  }
  ~DeviceBuffer() { cudaFree(data_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  template <class T, size_t Rank>
  View<T, static_cast<int>(Rank)> view(std::array<int64_t, Rank> shape) const {
    return {static_cast<T*>(data_), shape};
  }
  template <class T>
  std::vector<T> Read() const {
    CUDA_CHECK(cudaDeviceSynchronize());
    std::vector<T> host(bytes_ / sizeof(T));
    CUDA_CHECK(cudaMemcpy(host.data(), data_, bytes_, cudaMemcpyDeviceToHost));
    return host;
  }
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

DeviceBuffer ToDevice(const std::vector<float>& values) {
  return {values.data(), values.size() * sizeof(float)};
}
DeviceBuffer Empty(int64_t count) {
  return DeviceBuffer(static_cast<size_t>(count) * sizeof(float));
}

class GpuOps : public ::testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0)
      GTEST_SKIP() << "no CUDA device";
  }
  Random random_;
  TestExec host_;
};

TEST_F(GpuOps, RmsNormEqualsTheCpu) {
  for (const auto& [tokens, hidden] :
       {std::pair<int64_t, int64_t>{1, 2048}, {37, 2048}, {3, 17}, {8192, 256}, {5, 4097}}) {
    const Matrix x = random_.Tensor<2>({tokens, hidden}, 3);
    const auto weight = random_.Tensor<1>({hidden}, 0.3f);
    Matrix expected({tokens, hidden});
    cpu::RmsNorm(expected.view, x.view, weight.view, 1e-6f, host_.exec);
    const DeviceBuffer dx = ToDevice(x.values);
    const DeviceBuffer dw = ToDevice(weight.values);
    const DeviceBuffer out = Empty(tokens * hidden);
    Exec exec;
    cuda::RmsNorm(out.view<float>(x.view.shape), dx.view<const float>(x.view.shape),
                  dw.view<const float>(weight.view.shape), 1e-6f, exec);
    EXPECT_TRUE(Matches(out.Read<float>(), expected.values, 1e-6)) << tokens << " " << hidden;
  }
}

// Rows that are parts of wider ones, in and out: what lies between them is neither read nor written.
TEST_F(GpuOps, StridedRowsGiveTheSameAndNothingElseIsWritten) {
  const int64_t tokens = 19, width = 96, wide = 160, top = 4;
  const auto strided = [&](auto* data, int64_t cols) {
    return View<std::remove_pointer_t<decltype(data)>, 2>(data, {tokens, cols}, {wide, 1});
  };
  // The columns [0, cols) of rows of `wide`; the rest must still be poison.
  const auto part = [&](const auto& values, int64_t cols) {
    std::vector<std::decay_t<decltype(values[0])>> out;
    for (int64_t i = 0; i < tokens * wide; ++i) {
      const auto value = values[static_cast<size_t>(i)];
      if (i % wide < cols)
        out.push_back(value);
      else
        EXPECT_EQ(std::bit_cast<uint32_t>(value), 0xffffffffu) << i;
    }
    return out;
  };
  Matrix x = random_.Tensor<2>({tokens, wide});
  const auto weight = random_.Tensor<1>({width}, 0.3f);
  const DeviceBuffer dx = ToDevice(x.values);
  const DeviceBuffer dweight = ToDevice(weight.values);
  const auto* x_on_device = static_cast<const float*>(dx.data());
  const View<const float, 2> x_part = strided(static_cast<const float*>(x.values.data()), width);
  Matrix expected({tokens, width});
  Exec exec;

  const DeviceBuffer normed = Empty(tokens * wide);
  cuda::RmsNorm(strided(static_cast<float*>(normed.data()), width), strided(x_on_device, width),
                dweight.view<const float>(weight.view.shape), 1e-6f, exec);
  cpu::RmsNorm(expected.view, x_part, weight.view, 1e-6f, host_.exec);
  EXPECT_TRUE(Matches(part(normed.Read<float>(), width), expected.values, 1e-6));

  Matrix residual({tokens, wide});
  for (float& value : residual.values) value = std::bit_cast<float>(0xffffffffu);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < width; ++h) *residual.view.at(t, h) = random_.Normal();
  const DeviceBuffer dresidual = ToDevice(residual.values);
  const DeviceBuffer added = Empty(tokens * wide);
  cuda::AddRmsNorm(strided(static_cast<float*>(added.data()), width),
                   strided(static_cast<float*>(dresidual.data()), width),
                   strided(x_on_device, width), dweight.view<const float>(weight.view.shape), 1e-6f,
                   exec);
  cpu::AddRmsNorm(expected.view, strided(residual.values.data(), width), x_part, weight.view, 1e-6f,
                  host_.exec);
  EXPECT_TRUE(Matches(part(added.Read<float>(), width), expected.values, 1e-6));
  EXPECT_EQ(part(dresidual.Read<float>(), width), part(residual.values, width));

  const DeviceBuffer ids = Empty(tokens * wide);
  const DeviceBuffer shares = Empty(tokens * wide);
  cuda::TopKRouter(strided(static_cast<int32_t*>(ids.data()), top),
                   strided(static_cast<float*>(shares.data()), top), strided(x_on_device, width),
                   true, exec);
  Owned<int32_t, 2> expected_ids({tokens, top}, -1);
  Matrix expected_shares({tokens, top});
  cpu::TopKRouter(expected_ids.view, expected_shares.view, x_part, true, host_.exec);
  EXPECT_EQ(part(ids.Read<int32_t>(), top), expected_ids.values);
  EXPECT_TRUE(Matches(part(shares.Read<float>(), top), expected_shares.values, 2e-6));

  cublasLtHandle_t handle;
  ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
  const Matrix w = random_.Tensor<2>({128, width}, 0.05f);
  const DeviceBuffer dw = ToDevice(w.values);
  const DeviceBuffer workspace(cuda::LinearWorkspaceBytes(tokens, width));
  exec.workspace = {static_cast<std::byte*>(workspace.data()),
                    cuda::LinearWorkspaceBytes(tokens, width)};
  exec.cublas_handle = handle;
  const DeviceBuffer product = Empty(tokens * wide);
  cuda::Linear(strided(static_cast<float*>(product.data()), 128), strided(x_on_device, width),
               {dw.data(), DType::kF32, 128, width, nullptr}, exec);
  Matrix expected_product({tokens, 128});
  cpu::Linear(expected_product.view, x_part, {w.values.data(), DType::kF32, 128, width, nullptr},
              host_.exec);
  EXPECT_TRUE(
      Matches(part(product.Read<float>(), 128), expected_product.values, SumTolerance(width)));
  cublasLtDestroy(handle);
}

TEST_F(GpuOps, AddRmsNormKeepsTheSameSum) {
  const int64_t tokens = 33;
  const int64_t hidden = 2048;
  const Matrix x = random_.Tensor<2>({tokens, hidden});
  Matrix residual = random_.Tensor<2>({tokens, hidden});
  const auto weight = random_.Tensor<1>({hidden}, 0.3f);
  const DeviceBuffer dx = ToDevice(x.values);
  const DeviceBuffer dr = ToDevice(residual.values);
  const DeviceBuffer dw = ToDevice(weight.values);
  const DeviceBuffer out = Empty(tokens * hidden);
  Exec exec;
  cuda::AddRmsNorm(out.view<float>(x.view.shape), dr.view<float>(x.view.shape),
                   dx.view<const float>(x.view.shape), dw.view<const float>(weight.view.shape),
                   1e-6f, exec);
  Matrix expected({tokens, hidden});
  cpu::AddRmsNorm(expected.view, residual.view, x.view, weight.view, 1e-6f, host_.exec);
  EXPECT_EQ(dr.Read<float>(), residual.values);
  EXPECT_TRUE(Matches(out.Read<float>(), expected.values, 1e-6));
}

TEST_F(GpuOps, TopKRouterPicksTheSameExperts) {
  for (const auto& [experts, top] :
       {std::pair<int64_t, int64_t>{512, 10}, {32, 4}, {7, 7}, {1024, 32}, {1, 1}}) {
    for (const bool renormalise : {true, false}) {
      const int64_t tokens = 300;
      Matrix logits = random_.Tensor<2>({tokens, experts}, 2);
      for (float& x : logits.values)
        if (random_.Below(4) == 0) x = std::round(x);  // ties
      Owned<int32_t, 2> expected_ids({tokens, top}, -1);
      Matrix expected({tokens, top});
      cpu::TopKRouter(expected_ids.view, expected.view, logits.view, renormalise, host_.exec);
      const DeviceBuffer dl = ToDevice(logits.values);
      const DeviceBuffer ids = Empty(tokens * top);
      const DeviceBuffer weights = Empty(tokens * top);
      Exec exec;
      cuda::TopKRouter(ids.view<int32_t>(expected_ids.view.shape),
                       weights.view<float>(expected.view.shape),
                       dl.view<const float>(logits.view.shape), renormalise, exec);
      EXPECT_EQ(ids.Read<int32_t>(), expected_ids.values) << experts << " " << top;
      EXPECT_TRUE(Matches(weights.Read<float>(), expected.values, 2e-6)) << experts << " " << top;
    }
  }
}

TEST_F(GpuOps, LinearEqualsTheCpuForEveryWeightType) {
  cublasLtHandle_t handle;
  ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const auto& [tokens, rows, depth] :
         {std::array<int64_t, 3>{1, 12288, 2048}, {10, 512, 2048}, {257, 4096, 512}, {4, 64, 64}}) {
      Matrix x = random_.Tensor<2>({tokens, depth});
      std::vector<uint8_t> bytes;
      for (int64_t i = 0; i < rows * depth; ++i) {
        auto bits = std::bit_cast<uint32_t>(random_.Normal(0.05f));
        if (dtype == DType::kBF16) bits >>= 16;
        if (dtype == DType::kF16)  // sign, 2^-8 to 2^-5, any mantissa: about as large as the others
          bits = (bits >> 31 << 15) | static_cast<uint32_t>((7 + random_.Below(4)) << 10) |
                 static_cast<uint32_t>(random_.Below(1024));
        const auto* from = reinterpret_cast<const uint8_t*>(&bits);
        bytes.insert(bytes.end(), from, from + DTypeBytes(dtype));
      }
      const DeviceBuffer dx = ToDevice(x.values);
      const DeviceBuffer dw(bytes.data(), bytes.size());
      const DeviceBuffer out = Empty(tokens * rows);
      const DeviceBuffer workspace(cuda::LinearWorkspaceBytes(tokens, depth));
      Exec exec{.workspace = {static_cast<std::byte*>(workspace.data()),
                              cuda::LinearWorkspaceBytes(tokens, depth)},
                .cublas_handle = handle};
      cuda::Linear(out.view<float>(std::array<int64_t, 2>{tokens, rows}),
                   dx.view<const float>(x.view.shape), {dw.data(), dtype, rows, depth, nullptr},
                   exec);
      Matrix expected({tokens, rows});
      cpu::Linear(expected.view, x.view, {bytes.data(), dtype, rows, depth, nullptr}, host_.exec);
      // x is rounded to the weights' type, 8 bits of mantissa in bf16 and 11 in fp16: so a product is off
      // by up to 2^-9 or 2^-12 of itself, at random.
      const double tolerance = SumTolerance(depth) + (dtype == DType::kBF16  ? 0x1p-8
                                                      : dtype == DType::kF16 ? 0x1p-11
                                                                             : 0);
      EXPECT_TRUE(Matches(out.Read<float>(), expected.values, tolerance))
          << DTypeName(dtype) << " " << tokens << " " << rows << " " << depth;
    }
  }
  cublasLtDestroy(handle);
}

}  // namespace
}  // namespace nextgate::kernels
