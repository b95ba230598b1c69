#include "kernels/moe/expert_mlp.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/core/math.h"
#include "kernels/core/simd.h"

namespace nextgate::kernels::cpu {
namespace {

constexpr int64_t kTile = 32;  // rows of x, and of a weight, in one call of the product
constexpr int64_t kMinMultiplies = 1 << 14;  // a range of outputs worth waking a thread for

// One row of x times one expert: where it reads and where it writes.
struct Pair {
  int32_t token;
  int32_t choice;
};

// Pairs sorted by expert: those of expert e are pairs[begin[e]] … pairs[begin[e + 1] − 1], in row
// order.
struct Grouping {
  Pair* pairs;     // [T · K]
  int32_t* begin;  // [E + 1]
  float* hidden;   // [T · K, 2F]: gate and up, then their product in the first F
};

Grouping Carve(const Workspace& workspace, int64_t pairs, int64_t experts) {
  auto* at = workspace.data;
  Grouping grouping;
  grouping.pairs = reinterpret_cast<Pair*>(at);
  at += pairs * static_cast<int64_t>(sizeof(Pair));
  grouping.begin = reinterpret_cast<int32_t*>(at);
  at += (experts + 2) / 2 * 2 * static_cast<int64_t>(sizeof(int32_t));
  grouping.hidden = reinterpret_cast<float*>(at);
  return grouping;
}

void Group(const Grouping& to, View<const int32_t, 2> ids, int64_t experts) {
  std::fill_n(to.begin, experts + 1, 0);
  for (int64_t t = 0; t < ids.shape[0]; ++t) {
    for (int64_t i = 0; i < ids.shape[1]; ++i) {
      const int32_t e = *ids.at(t, i);
      CHECK(e >= 0 && e < experts, "expert %d of %ld", e, static_cast<long>(experts));
      ++to.begin[e + 1];
    }
  }
  for (int64_t e = 0; e < experts; ++e) to.begin[e + 1] += to.begin[e];
  // Placing moves begin[e] to the end of its group, which is where begin[e + 1] started: shift back
  // after.
  for (int64_t t = 0; t < ids.shape[0]; ++t)
    for (int64_t i = 0; i < ids.shape[1]; ++i)
      to.pairs[to.begin[*ids.at(t, i)]++] = {static_cast<int32_t>(t), static_cast<int32_t>(i)};
  for (int64_t e = experts; e > 0; --e) to.begin[e] = to.begin[e - 1];
  to.begin[0] = 0;
}

// One tile: out[i] = w · rows[i] for output rows [begin, end) of w.
void Product(float* const* out, const float* const* rows, int64_t count, const WeightView& w,
             int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row += kTile)
    simd::Best().product({.out = out,
                          .x = rows,
                          .tokens = count,
                          .w = w,
                          .row_begin = row,
                          .row_end = std::min(end, row + kTile)});
}

// Where share `part` of `parts` of [0, size) begins, cut at multiples of 8.
int64_t Cut(int64_t size, int64_t part, int64_t parts) {
  return part == parts ? size : size * part / parts / 8 * 8;
}

using Rows = std::array<const float*, kTile>;
using OutRows = std::array<float*, kTile>;

// hidden[i][f] = silu(gate) · up for f in [begin, end): the same share of gate's rows and of up's,
// so that the product is the calling thread's own.
void GateUp(const OutRows& hidden, const Rows& x, int64_t count, const WeightView& gate_up,
            int64_t begin, int64_t end) {
  const int64_t width = gate_up.rows / 2;
  Product(hidden.data(), x.data(), count, gate_up, begin, end);
  Product(hidden.data(), x.data(), count, gate_up, width + begin, width + end);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t f = begin; f < end; ++f) hidden[i][f] = Silu(hidden[i][f]) * hidden[i][width + f];
}

}  // namespace

size_t ExpertMlpWorkspaceBytes(int64_t tokens_max, int64_t top, int64_t width, int64_t experts) {
  const int64_t pairs = tokens_max * top;
  return static_cast<size_t>(pairs) * sizeof(Pair) +
         static_cast<size_t>(experts + 2) * sizeof(int32_t) +
         static_cast<size_t>(pairs * 2 * width) * sizeof(float);
}

void ExpertMlp(View<float, 3> out, View<const float, 2> x, View<const int32_t, 2> ids,
               std::span<const MlpWeights> experts, Exec& exec) {
  const int64_t tokens = x.shape[0];
  const int64_t hidden = x.shape[1];
  const auto num_experts = static_cast<int64_t>(experts.size());
  CHECK(num_experts > 0 && out.shape[0] == tokens && out.shape[1] == ids.shape[1] &&
        out.shape[2] == hidden);
  const int64_t width = experts[0].down.cols;
  CHECK(ExpertMlpWorkspaceBytes(tokens, ids.shape[1], width, num_experts) <= exec.workspace.bytes);
  const Grouping group = Carve(exec.workspace, tokens * ids.shape[1], num_experts);
  Group(group, ids, num_experts);

  // Every thread takes its share of the rows of every chosen expert's weights: even, whatever the
  // routing.
  const int64_t parts = std::clamp<int64_t>(tokens * ids.shape[1] * width * hidden / kMinMultiplies,
                                            1, exec.pool->threads());
  const auto each_tile =
      [&](auto&& function) {  // function(expert's weights, first pair, number of pairs)
        for (int64_t e = 0; e < num_experts; ++e)
          for (int32_t p = group.begin[e]; p < group.begin[e + 1]; p += kTile)
            function(experts[static_cast<size_t>(e)], p,
                     std::min<int64_t>(kTile, group.begin[e + 1] - p));
      };
  const auto hidden_row = [&](int64_t pair) { return group.hidden + pair * 2 * width; };
  exec.pool->ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    each_tile([&](const MlpWeights& weights, int64_t first, int64_t count) {
      Rows rows;
      OutRows to;
      for (int64_t i = 0; i < count; ++i) {
        rows[i] = x.at(group.pairs[first + i].token);
        to[i] = hidden_row(first + i);
      }
      GateUp(to, rows, count, weights.gate_up, Cut(width, begin, parts), Cut(width, end, parts));
    });
  });
  exec.pool->ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    each_tile([&](const MlpWeights& weights, int64_t first, int64_t count) {
      Rows rows;
      OutRows to;
      for (int64_t i = 0; i < count; ++i) {
        rows[i] = hidden_row(first + i);
        to[i] = out.at(group.pairs[first + i].token, group.pairs[first + i].choice);
      }
      Product(to.data(), rows.data(), count, weights.down, Cut(hidden, begin, parts),
              Cut(hidden, end, parts));
    });
  });
}

void DenseMlp(View<float, 2> out, View<const float, 2> x, const MlpWeights& weights, Exec& exec) {
  const int64_t tokens = x.shape[0];
  const int64_t width = weights.down.cols;
  CHECK(out.shape[0] == tokens && out.shape[1] == weights.down.rows &&
        weights.gate_up.rows == 2 * width);
  CHECK(ExpertMlpWorkspaceBytes(tokens, 1, width, 0) <= exec.workspace.bytes);
  const View<float, 2> hidden(reinterpret_cast<float*>(exec.workspace.data), {tokens, 2 * width});
  const int64_t parts =
      std::clamp<int64_t>(tokens * width * x.shape[1] / kMinMultiplies, 1, exec.pool->threads());
  exec.pool->ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < tokens; t += kTile) {
      const int64_t count = std::min(kTile, tokens - t);
      Rows rows;
      OutRows to;
      for (int64_t i = 0; i < count; ++i) {
        rows[i] = x.at(t + i);
        to[i] = hidden.at(t + i);
      }
      GateUp(to, rows, count, weights.gate_up, Cut(width, begin, parts), Cut(width, end, parts));
    }
  });
  exec.pool->ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < tokens; t += kTile) {
      const int64_t count = std::min(kTile, tokens - t);
      Rows rows;
      OutRows to;
      for (int64_t i = 0; i < count; ++i) {
        rows[i] = hidden.at(t + i);
        to[i] = out.at(t + i);
      }
      Product(to.data(), rows.data(), count, weights.down, Cut(out.shape[1], begin, parts),
              Cut(out.shape[1], end, parts));
    }
  });
}

}  // namespace nextgate::kernels::cpu
