// Scalar functions of the model, fp32. One definition each, so that every op agrees to the bit.
#pragma once

#include <cmath>

namespace nextgate::kernels {

inline float Sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }
inline float Silu(float x) { return x * Sigmoid(x); }
// log(1 + eˣ); linear above 20, as torch has it.
inline float Softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

}  // namespace nextgate::kernels
