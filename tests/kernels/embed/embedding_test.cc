#include "kernels/embed/embedding.h"

#include <gtest/gtest.h>

#include "kernels/moe/combine.h"
#include "tests/support/test_weights.h"

namespace nextgate::kernels {
namespace {

using testing::MakeWeights;
using testing::Matrix;
using testing::Random;
using testing::TestExec;
using testing::TestWeights;

TEST(Embedding, CopiesTheRowsOfItsIdsWhateverTheTablesType) {
  Random random;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const int64_t rows = 37;
    const int64_t cols = 1 + random.Below(300);
    const TestWeights table = MakeWeights(random, dtype, rows, cols);
    std::vector<int32_t> ids = {0, static_cast<int32_t>(rows - 1), 5, 5};  // the ends; one twice
    while (ids.size() < 200) ids.push_back(static_cast<int32_t>(random.Below(rows)));
    for (const int threads : {1, 3}) {
      TestExec exec(threads);
      Matrix out({static_cast<int64_t>(ids.size()), cols});
      cpu::Embedding(out.view, ids, table.view, exec.exec);
      for (size_t t = 0; t < ids.size(); ++t)
        for (int64_t h = 0; h < cols; ++h)
          ASSERT_EQ(*out.view.at(static_cast<int64_t>(t), h),
                    table.values[static_cast<size_t>(ids[t] * cols + h)])
              << DTypeName(dtype) << " row " << t << " column " << h;
    }
  }
}

TEST(EmbeddingDeathTest, IdsOutsideTheTableAreOurBug) {
  Random random;
  TestExec exec(1);
  const TestWeights table = MakeWeights(random, DType::kBF16, 7, 3);
  Matrix out({1, 3});
  for (const int32_t id : {-1, 7, INT32_MAX})
    EXPECT_DEATH(cpu::Embedding(out.view, {&id, 1}, table.view, exec.exec), "of a vocabulary of 7");
}

TEST(AddRows, AddsRowByRowAndLeavesWhatIsBetweenRowsAlone) {
  Random random;
  for (const int threads : {1, 3}) {
    TestExec exec(threads);
    const int64_t tokens = 75, width = 1 + random.Below(70), stride = width + 5;
    Matrix residual = random.Tensor<2>({tokens, stride});
    const Matrix before = residual;  // its view still points to `residual`: values only
    const Matrix x = random.Tensor<2>({tokens, width});
    cpu::AddRows(View<float, 2>(residual.values.data(), {tokens, width}, {stride, 1}), x.view,
                 exec.exec);
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t h = 0; h < stride; ++h) {
        const float old = before.values[static_cast<size_t>(t * stride + h)];
        ASSERT_EQ(residual.values[static_cast<size_t>(t * stride + h)],
                  h < width ? old + *x.view.at(t, h) : old);
      }
  }
}

}  // namespace
}  // namespace nextgate::kernels
