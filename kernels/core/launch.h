// The one way to launch a CUDA kernel, and the one way to check a CUDA call. A CUDA error is
// sticky, so it aborts the process, with file, line and the driver's words. C++20: included by .cu
// files.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

namespace nextgate::kernels {

inline void CheckCuda(cudaError_t error, const char* file, int line, const char* expression) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s:%d: %s: %s\n", file, line, expression, cudaGetErrorString(error));
  std::abort();
}
#define CUDA_CHECK(expression) \
  ::nextgate::kernels::CheckCuda((expression), __FILE__, __LINE__, #expression)

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t smem_bytes = 0;
};

// Launches on `stream`; arguments are converted to the kernel's parameter types and checked by the
// compiler.
template <class... Params, class... Args>
void Launch(void (*kernel)(Params...), const LaunchShape& shape, cudaStream_t stream,
            Args&&... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.smem_bytes;
  config.stream = stream;
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
}

}  // namespace nextgate::kernels
