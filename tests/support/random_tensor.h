// Random inputs and poisoned outputs for kernel tests. Seeds are fresh and printed.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::testing {

// An owned tensor and its view.
template <class T, int Rank>
struct Owned {
  std::vector<T> values;
  kernels::View<T, Rank> view;

  explicit Owned(std::array<int64_t, Rank> shape, T fill = std::numeric_limits<T>::quiet_NaN()) {
    int64_t size = 1;
    for (const int64_t extent : shape) size *= extent;
    values.assign(static_cast<size_t>(size), fill);
    view = {values.data(), shape};
  }
};

using Matrix = Owned<float, 2>;

class Random {
 public:
  Random()
      : seed_(std::random_device()()),
        engine_(seed_),
        trace_(__FILE__, __LINE__, "seed " + std::to_string(seed_)) {}

  float Normal(float scale = 1) { return scale * normal_(engine_); }
  int64_t Below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }

  template <int Rank>
  Owned<float, Rank> Tensor(std::array<int64_t, Rank> shape, float scale = 1) {
    Owned<float, Rank> tensor(shape, 0.0f);
    for (float& x : tensor.values) x = Normal(scale);
    return tensor;
  }

 private:
  uint32_t seed_;
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
  ::testing::ScopedTrace trace_;
};

// Threads and scratch for one test.
struct TestExec {
  explicit TestExec(int threads = 2, size_t workspace_bytes = 1 << 22)
      : pool(threads), scratch(workspace_bytes) {
    exec.pool = &pool;
    exec.workspace = {scratch.data(), scratch.size()};
  }
  kernels::ThreadPool pool;
  std::vector<std::byte> scratch;
  kernels::Exec exec;
};

// ‖actual − expected‖ ≤ tolerance · ‖expected‖ and the same non-finite elements (there should be
// none); tells the worst.
template <class Expected>
::testing::AssertionResult Matches(const std::vector<float>& actual,
                                   const std::vector<Expected>& expected, double tolerance) {
  if (actual.size() != expected.size())
    return ::testing::AssertionFailure()
           << actual.size() << " against " << expected.size() << " elements";
  double difference = 0;
  double norm = 0;
  size_t worst = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(actual[i]))
      return ::testing::AssertionFailure()
             << "element " << i << " is " << actual[i] << ", expected " << expected[i];
    const double delta = std::abs(actual[i] - static_cast<double>(expected[i]));
    if (delta > std::abs(actual[worst] - static_cast<double>(expected[worst]))) worst = i;
    difference += delta * delta;
    norm += static_cast<double>(expected[i]) * expected[i];
  }
  if (std::sqrt(difference) <= tolerance * std::sqrt(norm)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "relative difference " << std::sqrt(difference / norm)
                                       << " above " << tolerance << "; worst element " << worst
                                       << ": " << actual[worst] << ", expected " << expected[worst];
}

// Rounding of a sum of `terms` products in fp32: √terms steps of half an ulp, times a margin of 4.
inline double SumTolerance(int64_t terms) {
  return 4 * std::sqrt(static_cast<double>(terms)) * 0x1p-24;
}

}  // namespace nextgate::testing
