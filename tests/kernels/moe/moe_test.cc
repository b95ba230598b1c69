#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "kernels/moe/combine.h"
#include "kernels/moe/expert_mlp.h"
#include "kernels/moe/topk_router.h"
#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::Matches;
using testing::Matrix;
using testing::Owned;
using testing::Random;
using testing::TestExec;

TEST(TopKRouter, PicksTheLikeliestAndTheirSoftmax) {
  Random random;
  TestExec exec;
  for (const auto& [experts, top] :
       {std::pair<int64_t, int64_t>{512, 10}, {5, 3}, {7, 7}, {1, 1}}) {
    const int64_t tokens = 20;
    const Matrix logits = random.Tensor<2>({tokens, experts}, 2);
    for (const bool renormalise : {true, false}) {
      Owned<int32_t, 2> ids({tokens, top}, -1);
      Matrix weights({tokens, top});
      cpu::TopKRouter(ids.view, weights.view, logits.view, renormalise, exec.exec);
      std::vector<double> expected;
      std::vector<int32_t> expected_ids;
      for (int64_t t = 0; t < tokens; ++t) {
        std::vector<int32_t> order(static_cast<size_t>(experts));
        std::iota(order.begin(), order.end(), 0);
        std::ranges::stable_sort(order, std::greater<>(),
                                 [&](int32_t e) { return logits.view.at(t)[e]; });
        double all = 0;
        double chosen = 0;
        for (int64_t i = 0; i < experts; ++i)
          (i < top ? chosen : all) +=
              std::exp(static_cast<double>(logits.view.at(t)[order[static_cast<size_t>(i)]]));
        all += chosen;
        for (int64_t i = 0; i < top; ++i) {
          expected_ids.push_back(order[static_cast<size_t>(i)]);
          expected.push_back(
              std::exp(static_cast<double>(logits.view.at(t)[order[static_cast<size_t>(i)]])) /
              (renormalise ? chosen : all));
        }
      }
      EXPECT_EQ(ids.values, expected_ids);
      EXPECT_TRUE(Matches(weights.values, expected, 1e-6));
    }
  }
}

TEST(TopKRouter, TiesGoToTheLowerExpert) {
  TestExec exec;
  Matrix logits({1, 6}, 1.0f);
  logits.values[4] = 2;
  Owned<int32_t, 2> ids({1, 3}, -1);
  Matrix weights({1, 3});
  cpu::TopKRouter(ids.view, weights.view, logits.view, true, exec.exec);
  EXPECT_EQ(ids.values, (std::vector<int32_t>{4, 0, 1}));
}

// Experts with float weights.
struct Experts {
  Experts(Random& random, int64_t count, int64_t hidden, int64_t width) {
    for (int64_t e = 0; e < count; ++e) {
      gate_up.push_back(random.Tensor<2>({2 * width, hidden}, 0.2f));
      down.push_back(random.Tensor<2>({hidden, width}, 0.2f));
    }
    for (int64_t e = 0; e < count; ++e)
      weights.push_back(
          {{gate_up[static_cast<size_t>(e)].values.data(), DType::kF32, 2 * width, hidden, nullptr},
           {down[static_cast<size_t>(e)].values.data(), DType::kF32, hidden, width, nullptr}});
  }
  std::vector<double> Apply(size_t e, const float* x) const {
    const int64_t hidden = weights[e].down.rows;
    const int64_t width = weights[e].down.cols;
    std::vector<double> h;
    for (int64_t f = 0; f < width; ++f) {
      double gate = 0;
      double up = 0;
      for (int64_t i = 0; i < hidden; ++i) {
        gate += static_cast<double>(gate_up[e].view.at(f)[i]) * x[i];
        up += static_cast<double>(gate_up[e].view.at(width + f)[i]) * x[i];
      }
      h.push_back(gate / (1 + std::exp(-gate)) * up);
    }
    std::vector<double> out;
    for (int64_t i = 0; i < hidden; ++i) {
      double sum = 0;
      for (int64_t f = 0; f < width; ++f)
        sum += static_cast<double>(down[e].view.at(i)[f]) * h[static_cast<size_t>(f)];
      out.push_back(sum);
    }
    return out;
  }
  std::vector<Matrix> gate_up, down;
  std::vector<MlpWeights> weights;
};

TEST(ExpertMlp, EqualsEachExpertInDoubleAndItsBitsDependOnTheRowOnly) {
  Random random;
  const int64_t hidden = 70;
  const int64_t width = 52;
  const int64_t top = 3;
  const Experts experts(random, 9, hidden, width);
  for (const int64_t tokens : {1, 2, 7, 150}) {
    const Matrix x = random.Tensor<2>({tokens, hidden});
    Owned<int32_t, 2> ids({tokens, top}, 0);
    std::vector<double> expected;
    for (int64_t t = 0; t < tokens; ++t) {
      std::set<int64_t> chosen;  // one expert (8) is never chosen, one (0) often
      while (chosen.size() < static_cast<size_t>(top))
        chosen.insert(std::min(random.Below(8), random.Below(8)));
      std::copy(chosen.begin(), chosen.end(), ids.view.at(t));
      for (const int64_t e : chosen) {
        const auto row = experts.Apply(static_cast<size_t>(e), x.view.at(t));
        expected.insert(expected.end(), row.begin(), row.end());
      }
    }
    std::vector<float> first;
    for (const int threads : {1, 2, 3}) {
      TestExec exec(threads);
      Owned<float, 3> out({tokens, top, hidden});
      cpu::ExpertMlp(out.view, x.view, ids.view, experts.weights, exec.exec);
      EXPECT_TRUE(Matches(out.values, expected, 1e-5))
          << tokens << " tokens, " << threads << " threads";
      if (first.empty()) first = out.values;
      EXPECT_EQ(out.values, first) << threads << " threads";
    }
    TestExec exec(2);
    Owned<float, 3> alone({tokens, top, hidden});
    for (int64_t t = 0; t < tokens; ++t)
      cpu::ExpertMlp(alone.view.Rows(t, 1), View<const float, 2>(x.view).Rows(t, 1),
                     View<const int32_t, 2>(ids.view).Rows(t, 1), experts.weights, exec.exec);
    EXPECT_EQ(alone.values, first);
  }
}

TEST(DenseMlp, EqualsTheFormulaInDouble) {
  Random random;
  TestExec exec(3);
  const Experts one(random, 1, 40, 90);
  for (const int64_t tokens : {1, 5, 70}) {
    const Matrix x = random.Tensor<2>({tokens, 40});
    Matrix out({tokens, 40});
    cpu::DenseMlp(out.view, x.view, one.weights[0], exec.exec);
    std::vector<double> expected;
    for (int64_t t = 0; t < tokens; ++t) {
      const auto row = one.Apply(0, x.view.at(t));
      expected.insert(expected.end(), row.begin(), row.end());
    }
    EXPECT_TRUE(Matches(out.values, expected, 1e-5)) << tokens;
  }
}

TEST(CombineExperts, AddsTheWeightedSumWithAndWithoutASharedExpert) {
  Random random;
  TestExec exec;
  const auto out = random.Tensor<3>({4, 3, 33});
  const Matrix weights = random.Tensor<2>({4, 3});
  const Matrix shared = random.Tensor<2>({4, 33});
  const Matrix gate = random.Tensor<2>({4, 1});
  const Matrix start = random.Tensor<2>({4, 33});
  for (const bool with_shared : {true, false}) {
    Matrix residual = start;
    residual.view = {residual.values.data(), {4, 33}};
    cpu::CombineExperts(residual.view, out.view, weights.view,
                        with_shared ? View<const float, 2>(shared.view) : View<const float, 2>(),
                        with_shared ? View<const float, 2>(gate.view) : View<const float, 2>(),
                        exec.exec);
    std::vector<double> expected;
    for (int64_t t = 0; t < 4; ++t) {
      for (int64_t h = 0; h < 33; ++h) {
        double sum = start.values[static_cast<size_t>(t * 33 + h)];
        for (int64_t i = 0; i < 3; ++i)
          sum += static_cast<double>(*weights.view.at(t, i)) * out.view.at(t, i)[h];
        if (with_shared)
          sum += shared.view.at(t)[h] / (1 + std::exp(-static_cast<double>(*gate.view.at(t))));
        expected.push_back(sum);
      }
    }
    EXPECT_TRUE(Matches(residual.values, expected, 1e-6)) << with_shared;
  }
}

}  // namespace
}  // namespace nextgate::kernels
