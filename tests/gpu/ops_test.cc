// cuda:: bodies against cpu:: on a real card: fresh seeds, poisoned outputs. Run by tests/gpu.sh.
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>

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
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const auto& [tokens, rows, depth] :
         {std::array<int64_t, 3>{1, 12288, 2048}, {10, 512, 2048}, {257, 4096, 512}, {4, 64, 64}}) {
      Matrix x = random_.Tensor<2>({tokens, depth});
      std::vector<uint8_t> bytes;
      for (int64_t i = 0; i < rows * depth; ++i) {
        const auto bits = std::bit_cast<uint32_t>(random_.Normal(0.05f));
        const uint8_t* from =
            reinterpret_cast<const uint8_t*>(&bits) + (dtype == DType::kBF16 ? 2 : 0);
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
      // bf16: x is rounded to 8 bits of mantissa, so a product is off by up to 2^-9 of itself, at
      // random.
      const double tolerance = SumTolerance(depth) + (dtype == DType::kBF16 ? 0x1p-8 : 0);
      EXPECT_TRUE(Matches(out.Read<float>(), expected.values, tolerance))
          << DTypeName(dtype) << " " << tokens << " " << rows << " " << depth;
    }
  }
  cublasLtDestroy(handle);
}

}  // namespace
}  // namespace nextgate::kernels
