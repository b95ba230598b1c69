#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "base/check.h"
#include "kernels/core/launch.h"
#include "kernels/gemm/linear.h"

namespace nextgate::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr size_t kLibraryWorkspaceBytes = 32 << 20;  // what NVIDIA recommends for Hopper

void CheckCublas(cublasStatus_t status, const char* file, int line, const char* expression) {
  CHECK(status == CUBLAS_STATUS_SUCCESS, "%s:%d: %s: %s", file, line, expression,
        cublasLtGetStatusString(status));
}
#define CUBLAS_CHECK(expression) CheckCublas((expression), __FILE__, __LINE__, #expression)

// ---------------------------------------------------------------------------------------- CUDA
// kernels

// Rows of floats to a dense matrix of T, rounded to nearest even.
template <class T>
__global__ void ConvertKernel(T* out, const float* x, int64_t x_stride, int64_t depth,
                              int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) out[i] = static_cast<T>(x[i / depth * x_stride + i % depth]);
}

// ------------------------------------------------------------------------------------ kernel
// launchers

template <class T>
void Convert(void* out, View<const float, 2> x, cudaStream_t stream) {
  const int64_t count = x.size();
  Launch(ConvertKernel<T>,
         {.grid = dim3(static_cast<unsigned>((count + kThreads - 1) / kThreads)),
          .block = dim3(kThreads)},
         stream, static_cast<T*>(out), x.data, x.stride[0], x.shape[1], count);
}

cudaDataType_t TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return CUDA_R_32F;
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBF16:
      return CUDA_R_16BF;
    case DType::kF8E4M3:
      break;
  }
  CHECK(false, "cuda::Linear takes F32, F16 and BF16 weights, not F8_E4M3");
  return CUDA_R_32F;
}

// outᵀ = (Wᵀ)ᵀ · xᵀ in the library's column-major terms.
struct Problem {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t w, x, out;
  cublasLtMatmulPreferenceOpaque_t preference;
};

void Describe(Problem& p, cudaDataType_t type, int64_t tokens, int64_t rows, int64_t depth,
              int64_t x_stride, int64_t out_stride, size_t workspace_bytes) {
  const cublasOperation_t transposed = CUBLAS_OP_T;
  CUBLAS_CHECK(cublasLtMatmulDescInit(&p.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(&p.operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                              &transposed, sizeof(transposed)));
  CUBLAS_CHECK(cublasLtMatrixLayoutInit(&p.w, type, static_cast<uint64_t>(depth),
                                        static_cast<uint64_t>(rows), depth));
  CUBLAS_CHECK(cublasLtMatrixLayoutInit(&p.x, type, static_cast<uint64_t>(depth),
                                        static_cast<uint64_t>(tokens), x_stride));
  CUBLAS_CHECK(cublasLtMatrixLayoutInit(&p.out, CUDA_R_32F, static_cast<uint64_t>(rows),
                                        static_cast<uint64_t>(tokens), out_stride));
  CUBLAS_CHECK(cublasLtMatmulPreferenceInit(&p.preference));
  CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(&p.preference,
                                                    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                    &workspace_bytes, sizeof(workspace_bytes)));
}

}  // namespace

size_t LinearWorkspaceBytes(int64_t tokens_max, int64_t depth_max) {
  return kLibraryWorkspaceBytes + static_cast<size_t>(tokens_max * depth_max) * sizeof(uint16_t) +
         256;
}

void Linear(View<float, 2> out, View<const float, 2> x, const WeightView& w, Exec& exec) {
  CHECK(out.shape[0] == x.shape[0] && out.shape[1] == w.rows && x.shape[1] == w.cols);
  CHECK(LinearWorkspaceBytes(x.shape[0], x.shape[1]) <= exec.workspace.bytes);
  if (out.empty()) return;
  auto* const stream = static_cast<cudaStream_t>(exec.stream);
  auto* const library_workspace = exec.workspace.data;
  std::byte* const converted = exec.workspace.data + kLibraryWorkspaceBytes;
  const void* input = x.data;
  int64_t input_stride = x.stride[0];
  if (w.dtype !=
      DType::kF32) {  // the library multiplies equal types: activations are rounded to the weights'
    if (w.dtype == DType::kBF16) {
      Convert<__nv_bfloat16>(converted, x, stream);
    } else {
      Convert<__half>(converted, x, stream);
    }
    input = converted;
    input_stride = x.shape[1];
  }
  Problem p;
  Describe(p, TypeOf(w.dtype), x.shape[0], w.rows, w.cols, input_stride, out.stride[0],
           kLibraryWorkspaceBytes);
  auto* const handle = static_cast<cublasLtHandle_t>(exec.cublas_handle);
  cublasLtMatmulHeuristicResult_t choice;
  int found = 0;
  CUBLAS_CHECK(cublasLtMatmulAlgoGetHeuristic(handle, &p.operation, &p.w, &p.x, &p.out, &p.out,
                                              &p.preference, 1, &choice, &found));
  CHECK(found == 1, "cuBLASLt has no algorithm for [%ld, %ld] · [%ld, %ld]ᵀ",
        static_cast<long>(x.shape[0]), static_cast<long>(w.cols), static_cast<long>(w.rows),
        static_cast<long>(w.cols));
  const float one = 1;
  const float zero = 0;
  CUBLAS_CHECK(cublasLtMatmul(handle, &p.operation, &one, w.data, &p.w, input, &p.x, &zero,
                              out.data, &p.out, out.data, &p.out, &choice.algo, library_workspace,
                              kLibraryWorkspaceBytes, stream));
}

}  // namespace nextgate::kernels::cuda
