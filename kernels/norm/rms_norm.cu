#include "base/check.h"
#include "kernels/core/launch.h"
#include "kernels/core/reduce.cuh"
#include "kernels/norm/rms_norm.h"

namespace nextgate::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// ---------------------------------------------------------------------------------------- CUDA
// kernels

// One block per row. kAdd: residual += x first, and the sum is normed.
template <bool kAdd>
__global__ void RmsNormKernel(float* out, int64_t out_stride, float* residual,
                              int64_t residual_stride, const float* x, int64_t x_stride,
                              const float* weight, float eps, int hidden) {
  __shared__ float scratch[kThreads / kWarp];
  const int64_t t = blockIdx.x;
  const float* row = x + t * x_stride;
  float squares = 0;
  for (int h = static_cast<int>(threadIdx.x); h < hidden; h += kThreads) {
    float value = row[h];
    if constexpr (kAdd) {
      value += residual[t * residual_stride + h];
      residual[t * residual_stride + h] = value;
    }
    squares += value * value;
  }
  squares = BlockReduce(squares, 0.0f, scratch, SumOp());
  const float scale = rsqrtf(squares / static_cast<float>(hidden) + eps);
  // Each thread reads back what it wrote itself, so no barrier is needed for the residual.
  const float* normed = kAdd ? residual + t * residual_stride : row;
  for (int h = static_cast<int>(threadIdx.x); h < hidden; h += kThreads)
    out[t * out_stride + h] = normed[h] * scale * (1.0f + weight[h]);
}

// ------------------------------------------------------------------------------------ kernel
// launchers

cudaStream_t StreamOf(const Exec& exec) { return static_cast<cudaStream_t>(exec.stream); }

}  // namespace

void RmsNorm(View<float, 2> out, View<const float, 2> x, View<const float, 1> weight, float eps,
             Exec& exec) {
  CHECK(out.shape == x.shape && weight.shape[0] == x.shape[1]);
  if (x.empty()) return;
  Launch(RmsNormKernel<false>,
         {.grid = dim3(static_cast<unsigned>(x.shape[0])), .block = dim3(kThreads)}, StreamOf(exec),
         out.data, out.stride[0], nullptr, 0, x.data, x.stride[0], weight.data, eps, x.shape[1]);
}

void AddRmsNorm(View<float, 2> out, View<float, 2> residual, View<const float, 2> x,
                View<const float, 1> weight, float eps, Exec& exec) {
  CHECK(out.shape == x.shape && residual.shape == x.shape && weight.shape[0] == x.shape[1]);
  if (x.empty()) return;
  Launch(RmsNormKernel<true>,
         {.grid = dim3(static_cast<unsigned>(x.shape[0])), .block = dim3(kThreads)}, StreamOf(exec),
         out.data, out.stride[0], residual.data, residual.stride[0], x.data, x.stride[0],
         weight.data, eps, x.shape[1]);
}

}  // namespace nextgate::kernels::cuda
