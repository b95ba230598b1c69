#include <cfloat>

#include "base/check.h"
#include "kernels/core/launch.h"
#include "kernels/core/reduce.cuh"
#include "kernels/moe/topk_router.h"

namespace nextgate::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kPerThread = 8;  // experts a thread keeps in registers
constexpr int kExpertsMax = kThreads * kPerThread;
constexpr int kTopMax = 32;

// ---------------------------------------------------------------------------------------- CUDA
// kernels

// A larger logit first; ties: the lower expert.
__device__ bool Before(float a, int a_id, float b, int b_id) {
  return a > b || (a == b && a_id < b_id);
}

// One block per row. K rounds, each takes the best of what is left; then the weights.
__global__ void TopKRouterKernel(int32_t* ids, int64_t ids_stride, float* weights,
                                 int64_t weights_stride, const float* logits, int64_t logits_stride,
                                 int experts, int top, bool renormalise) {
  __shared__ float scratch[kThreads / kWarp];
  __shared__ float best_logit[kThreads / kWarp];
  __shared__ int best_id[kThreads / kWarp];
  __shared__ float chosen_logit[kTopMax];
  __shared__ int chosen_id[kTopMax];
  const int64_t t = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);

  // Experts thread, thread + 128, … of this row.
  float mine[kPerThread];
  float highest = -FLT_MAX;
  for (int i = 0; i < kPerThread; ++i) {
    const int e = thread + i * kThreads;
    mine[i] = e < experts ? logits[t * logits_stride + e] : -INFINITY;
    highest = fmaxf(highest, mine[i]);
  }
  highest = BlockReduce(highest, -FLT_MAX, scratch, MaxOp());
  float sum = 0;
  for (int i = 0; i < kPerThread; ++i)
    if (thread + i * kThreads < experts) sum += expf(mine[i] - highest);
  sum = BlockReduce(sum, 0.0f, scratch, SumOp());

  for (int round = 0; round < top; ++round) {
    float logit = -INFINITY;
    int id = kExpertsMax;
    for (int i = 0; i < kPerThread; ++i)
      if (Before(mine[i], thread + i * kThreads, logit, id)) {
        logit = mine[i];
        id = thread + i * kThreads;
      }
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      const float other = __shfl_xor_sync(0xffffffffu, logit, offset);
      const int other_id = __shfl_xor_sync(0xffffffffu, id, offset);
      if (Before(other, other_id, logit, id)) {
        logit = other;
        id = other_id;
      }
    }
    if (thread % kWarp == 0) {
      best_logit[thread / kWarp] = logit;
      best_id[thread / kWarp] = id;
    }
    __syncthreads();
    for (int warp = 0; warp < kThreads / kWarp; ++warp)
      if (Before(best_logit[warp], best_id[warp], logit, id)) {
        logit = best_logit[warp];
        id = best_id[warp];
      }
    if (thread == 0) {
      chosen_logit[round] = logit;
      chosen_id[round] = id;
    }
    for (int i = 0; i < kPerThread; ++i)
      if (thread + i * kThreads == id) mine[i] = -INFINITY;
    __syncthreads();  // before best_* is written again
  }

  if (thread == 0) {
    float kept = 0;
    for (int i = 0; i < top; ++i) kept += expf(chosen_logit[i] - highest) / sum;
    for (int i = 0; i < top; ++i) {
      ids[t * ids_stride + i] = chosen_id[i];
      weights[t * weights_stride + i] =
          expf(chosen_logit[i] - highest) / sum / (renormalise ? kept : 1.0f);
    }
  }
}

}  // namespace

// ------------------------------------------------------------------------------------ kernel
// launchers

void TopKRouter(View<int32_t, 2> ids, View<float, 2> weights, View<const float, 2> logits,
                bool renormalise, Exec& exec) {
  const int64_t top = ids.shape[1];
  CHECK(weights.shape == ids.shape && ids.shape[0] == logits.shape[0] && top >= 1 &&
        top <= logits.shape[1]);
  CHECK(logits.shape[1] <= kExpertsMax && top <= kTopMax, "at most %d experts and top %d",
        kExpertsMax, kTopMax);
  if (logits.empty()) return;
  Launch(TopKRouterKernel,
         {.grid = dim3(static_cast<unsigned>(ids.shape[0])), .block = dim3(kThreads)},
         static_cast<cudaStream_t>(exec.stream), ids.data, ids.stride[0], weights.data,
         weights.stride[0], logits.data, logits.stride[0], logits.shape[1], top, renormalise);
}

}  // namespace nextgate::kernels::cuda
