#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "kernels/core/simd.h"
#include "kernels/delta_net/delta_chunked.h"
#include "kernels/delta_net/delta_net_prologue.h"
#include "kernels/delta_net/delta_recurrent.h"
#include "tests/support/poisoned_checkpoints.h"
#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::Matches;
using testing::Matrix;
using testing::Owned;
using testing::PoisonedCheckpoints;
using testing::Random;
using testing::TestExec;

// Heads and dims of one test; the 80B has 16, 32, 128, 128.
struct Dims {
  int64_t key_heads, value_heads, key_dim, value_dim, taps;
  int64_t channels() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
};
constexpr Dims kDims[] = {{2, 4, 16, 16, 4},
                          {1, 1, 7, 5, 3},
                          {3, 3, 12, 20, 2},
                          {16, 32, 128, 128, 4},
                          {2, 6, 32, 80, 4}};

struct Inputs {
  Inputs(const Dims& d, int64_t tokens)
      : q({tokens, d.key_heads, d.key_dim}),
        k({tokens, d.key_heads, d.key_dim}),
        v({tokens, d.value_heads, d.value_dim}),
        beta({tokens, d.value_heads}),
        g({tokens, d.value_heads}) {}
  DeltaNetInputs views() { return {q.view, k.view, v.view, beta.view, g.view}; }
  Owned<float, 3> q, k, v;
  Matrix beta, g;
};

void FillNormally(Random& random, Inputs& in) {
  for (auto* tensor : {&in.q, &in.k, &in.v})
    for (float& x : tensor->values) x = random.Normal(0.3f);
  for (float& x : in.beta.values) x = 1 / (1 + std::exp(-random.Normal()));
  for (float& x : in.g.values) x = -std::abs(random.Normal(0.2f));
}

// The definition in double: S ← e^g S;  S ← S + k (beta (v − Sᵀk))ᵀ;  o = Sᵀq.
std::vector<double> Recurrence(const Dims& d, Inputs& in, int64_t tokens) {
  std::vector<double> out;
  const int64_t group = d.value_heads / d.key_heads;
  std::vector<std::vector<double>> states(
      static_cast<size_t>(d.value_heads),
      std::vector<double>(static_cast<size_t>(d.key_dim * d.value_dim), 0));
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t m = 0; m < d.value_heads; ++m) {
      auto& state = states[static_cast<size_t>(m)];
      const float* k = in.k.view.at(t, m / group);
      for (double& s : state) s *= std::exp(static_cast<double>(*in.g.view.at(t, m)));
      for (int64_t j = 0; j < d.value_dim; ++j) {
        double memory = 0;
        for (int64_t i = 0; i < d.key_dim; ++i)
          memory += state[static_cast<size_t>(i * d.value_dim + j)] * k[i];
        const double delta = (in.v.view.at(t, m)[j] - memory) * *in.beta.view.at(t, m);
        double o = 0;
        for (int64_t i = 0; i < d.key_dim; ++i) {
          double& s = state[static_cast<size_t>(i * d.value_dim + j)];
          s += k[i] * delta;
          o += s * in.q.view.at(t, m / group)[i];
        }
        out.push_back(o);
      }
    }
  }
  return out;
}

TEST(DeltaRecurrent, EqualsTheDefinitionInDouble) {
  Random random;
  TestExec exec;
  for (const Dims& d : kDims) {
    const int64_t tokens = d.key_heads == 16 ? 9 : 70;
    Inputs in(d, tokens);
    FillNormally(random, in);
    Owned<float, 4> states({2, d.value_heads, d.key_dim, d.value_dim});
    Owned<float, 3> out({tokens, d.value_heads, d.value_dim});
    const SequenceSpan span{.token_begin = 0,
                            .token_count = static_cast<int32_t>(tokens),
                            .context_len = 0,
                            .state_slot = 1};
    cpu::DeltaRecurrent(out.view, states.view, in.views(), {&span, 1}, {}, exec.exec);
    EXPECT_TRUE(Matches(out.values, Recurrence(d, in, tokens), 2e-5))
        << d.key_dim << " " << d.value_dim;
    EXPECT_TRUE(std::isnan(states.values[0])) << "another slot was written";
  }
}

TEST(DeltaRecurrent, ChunksContinueToTheBit) {
  Random random;
  const Dims d = kDims[4];
  const int64_t tokens = 50;
  Inputs in(d, tokens);
  FillNormally(random, in);
  TestExec exec(3);
  const auto run = [&](const std::vector<int32_t>& counts) {
    Owned<float, 4> states({1, d.value_heads, d.key_dim, d.value_dim});
    Owned<float, 3> out({tokens, d.value_heads, d.value_dim});
    int32_t done = 0;
    for (const int32_t count : counts) {
      const SequenceSpan span{
          .token_begin = done, .token_count = count, .context_len = done, .state_slot = 0};
      cpu::DeltaRecurrent(out.view, states.view, in.views(), {&span, 1}, {}, exec.exec);
      done += count;
    }
    return std::pair(out.values, states.values);
  };
  EXPECT_EQ(run({50}), run({1, 1, 20, 3, 25}));
}

TEST(DeltaRecurrent, EverySimdBodyHasTheSameBits) {
  Random random;
  for (const int64_t value_dim : {5, 16, 80, 128}) {
    const int64_t key_dim = 24;
    const auto start = random.Tensor<1>({key_dim * value_dim});
    const auto q = random.Tensor<1>({key_dim});
    const auto k = random.Tensor<1>({key_dim});
    const auto v = random.Tensor<1>({value_dim});
    const auto run = [&](const simd::Ops& ops) {
      std::vector<float> state = start.values;
      std::vector<float> out(static_cast<size_t>(value_dim));
      ops.delta_step({.state = state.data(),
                      .key_dim = key_dim,
                      .value_dim = value_dim,
                      .q = q.values.data(),
                      .k = k.values.data(),
                      .v = v.values.data(),
                      .decay = 0.9f,
                      .beta = 0.4f,
                      .out = out.data()});
      state.insert(state.end(), out.begin(), out.end());
      return state;
    };
    EXPECT_EQ(run(simd::Best()), run(simd::PlainOps())) << value_dim;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      EXPECT_EQ(run(simd::Avx2Ops()), run(simd::PlainOps())) << value_dim;
    }
#endif
  }
}

// The chunked form against the definition in double, two sequences, one of them resumed off the
// grid of 64, with the states at two chunk ends against the recurrence stopped there.
TEST(DeltaChunked, EqualsTheRecurrenceAndEmitsItsStatesAtChunkEnds) {
  Random random;
  for (const Dims& d : kDims) {
    const int64_t tokens = d.key_heads == 16 ? 130 : 200;
    Inputs in(d, tokens);
    FillNormally(random, in);
    TestExec exec(2);
    Owned<float, 4> states({1, d.value_heads, d.key_dim, d.value_dim});
    Owned<float, 3> out({tokens, d.value_heads, d.value_dim});
    const CheckpointLayout layout{
        .layers = 1, .heads = d.value_heads, .key_dim = d.key_dim, .value_dim = d.value_dim};
    const PoisonedCheckpoints kept(layout, 2);
    const SequenceSpan first{
        .token_begin = 0, .token_count = 100, .context_len = 0, .state_slot = 0};
    const SequenceSpan rest{.token_begin = 100,
                            .token_count = static_cast<int32_t>(tokens - 100),
                            .context_len = 100,
                            .state_slot = 0};
    const StateEmit at_64{.sequence = 0, .position = 64, .checkpoint = 0};
    const StateEmit at_128{.sequence = 0, .position = 128, .checkpoint = 1};
    cpu::DeltaChunked(out.view, states.view, in.views(), {&first, 1}, {{&at_64, 1}, kept.view()},
                      exec.exec);
    cpu::DeltaChunked(out.view, states.view, in.views(), {&rest, 1}, {{&at_128, 1}, kept.view()},
                      exec.exec);
    EXPECT_TRUE(Matches(out.values, Recurrence(d, in, tokens), 1e-4))
        << d.key_dim << " " << d.value_dim;

    for (const int32_t count : {64, 128}) {
      Owned<float, 4> stopped({1, d.value_heads, d.key_dim, d.value_dim});
      Owned<float, 3> ignored({tokens, d.value_heads, d.value_dim});
      const SequenceSpan span{
          .token_begin = 0, .token_count = count, .context_len = 0, .state_slot = 0};
      cpu::DeltaRecurrent(ignored.view, stopped.view, in.views(), {&span, 1}, {}, exec.exec);
      std::vector<float> emitted(stopped.values.size());
      for (int64_t m = 0; m < d.value_heads; ++m)
        std::memcpy(emitted.data() + m * d.key_dim * d.value_dim,
                    kept.view().at(count / 128) + m * layout.HeadBytes(),
                    static_cast<size_t>(d.key_dim * d.value_dim) * 4);
      EXPECT_TRUE(Matches(emitted, stopped.values, 1e-4)) << count;
    }
  }
}

struct PrologueCase {
  PrologueCase(Random& random, const Dims& d, int64_t tokens)
      : qkvz(random.Tensor<2>({tokens, d.channels() + d.value_heads * d.value_dim})),
        ba(random.Tensor<2>({tokens, 2 * d.value_heads}, 2)),
        conv(random.Tensor<2>({d.channels(), d.taps})),
        a_log(random.Tensor<1>({d.value_heads})),
        dt_bias(random.Tensor<1>({d.value_heads}, 10)) {}
  DeltaNetPrologueWeights weights() const { return {conv.view, a_log.view, dt_bias.view}; }
  Matrix qkvz, ba, conv;
  Owned<float, 1> a_log, dt_bias;
};

TEST(DeltaNetPrologue, EqualsTheFormulaInDouble) {
  Random random;
  TestExec exec;
  for (const Dims& d : kDims) {
    const int64_t tokens = 11;
    const PrologueCase c(random, d, tokens);
    Inputs out(d, tokens);
    Owned<float, 3> conv_state({1, d.channels(), d.taps - 1});
    const SequenceSpan span{
        .token_begin = 0, .token_count = tokens, .context_len = 0, .state_slot = 0};
    cpu::DeltaNetPrologue(out.views(), conv_state.view, c.qkvz.view, c.ba.view, {&span, 1},
                          c.weights(), {}, exec.exec);

    const int64_t keys = d.key_heads * d.key_dim;
    std::vector<double> q, k, v, beta, g;
    for (int64_t t = 0; t < tokens; ++t) {
      std::vector<double> u;
      for (int64_t ch = 0; ch < d.channels(); ++ch) {
        double sum = 0;
        for (int64_t j = 0; j < d.taps; ++j)
          if (t - (d.taps - 1) + j >= 0)
            sum += static_cast<double>(*c.conv.view.at(ch, j)) *
                   *c.qkvz.view.at(t - (d.taps - 1) + j, ch);
        u.push_back(sum / (1 + std::exp(-sum)));
      }
      const auto normalise = [&](int64_t begin, double factor, std::vector<double>& to) {
        for (int64_t n = 0; n < d.key_heads; ++n) {
          double squares = 1e-6;
          for (int64_t i = 0; i < d.key_dim; ++i)
            squares += std::pow(u[static_cast<size_t>(begin + n * d.key_dim + i)], 2);
          for (int64_t i = 0; i < d.key_dim; ++i)
            to.push_back(u[static_cast<size_t>(begin + n * d.key_dim + i)] / std::sqrt(squares) *
                         factor);
        }
      };
      normalise(0, 1 / std::sqrt(static_cast<double>(d.key_dim)), q);
      normalise(keys, 1, k);
      v.insert(v.end(), u.begin() + 2 * keys, u.end());
      for (int64_t m = 0; m < d.value_heads; ++m) {
        beta.push_back(1 / (1 + std::exp(-static_cast<double>(*c.ba.view.at(t, m)))));
        const double x =
            *c.ba.view.at(t, d.value_heads + m) + c.dt_bias.values[static_cast<size_t>(m)];
        g.push_back(-std::exp(c.a_log.values[static_cast<size_t>(m)]) *
                    (x > 20 ? x : std::log1p(std::exp(x))));
      }
    }
    EXPECT_TRUE(Matches(out.q.values, q, 1e-5));
    EXPECT_TRUE(Matches(out.k.values, k, 1e-5));
    EXPECT_TRUE(Matches(out.v.values, v, 1e-5));
    EXPECT_TRUE(Matches(out.beta.values, beta, 1e-6));
    EXPECT_TRUE(Matches(out.g.values, g, 1e-5));
    for (int64_t ch = 0; ch < d.channels(); ++ch)
      for (int64_t j = 0; j < d.taps - 1; ++j)
        EXPECT_EQ(*conv_state.view.at(0, ch, j), *c.qkvz.view.at(tokens - d.taps + 1 + j, ch));
  }
}

TEST(DeltaNetPrologue, ChunksShorterThanTheKernelContinueToTheBit) {
  Random random;
  const Dims d = kDims[0];
  const int64_t tokens = 12;
  const PrologueCase c(random, d, tokens);
  TestExec exec(3);
  const auto run = [&](const std::vector<int32_t>& counts) {
    Inputs out(d, tokens);
    Owned<float, 3> conv_state({1, d.channels(), d.taps - 1});
    int32_t done = 0;
    for (const int32_t count : counts) {
      const SequenceSpan span{
          .token_begin = 0, .token_count = count, .context_len = done, .state_slot = 0};
      Inputs part(d, count);
      cpu::DeltaNetPrologue(part.views(), conv_state.view,
                            View<const float, 2>(c.qkvz.view).Rows(done, count),
                            View<const float, 2>(c.ba.view).Rows(done, count), {&span, 1},
                            c.weights(), {}, exec.exec);
      std::copy(part.v.values.begin(), part.v.values.end(), out.v.view.at(done));
      std::copy(part.q.values.begin(), part.q.values.end(), out.q.view.at(done));
      done += count;
    }
    out.q.values.insert(out.q.values.end(), out.v.values.begin(), out.v.values.end());
    out.q.values.insert(out.q.values.end(), conv_state.values.begin(), conv_state.values.end());
    return out.q.values;
  };
  EXPECT_EQ(run({12}), run({1, 1, 2, 1, 7}));
}

// --- states kept on the way ---------------------------------------------------------------------

// Outputs and states after a step, which starts from the same states each time.
struct AfterStep {
  std::vector<float> out;
  std::vector<float> states;  // [slots, …]
};
using RunStep = std::function<AfterStep(Sequences, const LayerEmits&, Exec&)>;
enum class Part { kRecurrent, kConv };

void Store(const LayerEmits& to, int32_t checkpoint, Part part, const float* state) {
  const CheckpointLayout& l = to.checkpoints.layout;
  if (part == Part::kRecurrent) {
    for (int64_t m = 0; m < l.heads; ++m)
      cpu::StoreHead(to, checkpoint, m, state + m * l.key_dim * l.value_dim);
  } else {
    for (int64_t c = 0; c < l.channels; ++c)
      cpu::StoreChannel(to, checkpoint, c, state + c * l.taps_kept);
  }
}

// Every set of states that the step can be asked for, in every format: each is what the sequence's
// state would be if the step had ended there, in its place and nothing beside; and neither outputs
// nor final states know of it.
void ExpectEverySetOfStatesIsKept(const RunStep& run, Sequences spans, CheckpointLayout layout,
                                  Part part) {
  TestExec execs[] = {TestExec(1), TestExec(2), TestExec(3)};
  const AfterStep plain = run(spans, {}, execs[0].exec);
  const size_t slot_floats =
      part == Part::kRecurrent
          ? static_cast<size_t>(layout.heads * layout.key_dim * layout.value_dim)
          : static_cast<size_t>(layout.channels * layout.taps_kept);
  std::vector<StateEmit> all;
  std::vector<std::vector<float>> states;  // of each
  for (size_t s = 0; s < spans.size(); ++s)
    for (int32_t p = spans[s].context_len + 1; p <= spans[s].context_len + spans[s].token_count;
         ++p) {
      if (p % kBlockTokens != 0) continue;
      std::vector<SequenceSpan> stopped(spans.begin(), spans.end());
      stopped[s].token_count = p - spans[s].context_len;
      const AfterStep after = run(stopped, {}, execs[0].exec);
      const auto* state = after.states.data() + stopped[s].state_slot * slot_floats;
      states.emplace_back(state, state + slot_floats);
      const auto order = static_cast<int32_t>(all.size());
      all.push_back({static_cast<int32_t>(s), p, 10 - order});
    }
  ASSERT_TRUE(!all.empty() && all.size() < 10);
  layout.layers = 3;
  for (size_t set = 0; set < size_t{1} << all.size(); ++set) {
    layout.format = static_cast<StateFormat>(set % 3);
    const int64_t layer = static_cast<int64_t>(set / 3 % 3);
    const PoisonedCheckpoints kept(layout, 11);
    const PoisonedCheckpoints expected(layout, 11);
    std::vector<StateEmit> emits;
    for (size_t i = 0; i < all.size(); ++i) {
      if ((set >> i & 1) == 0) continue;
      emits.push_back(all[i]);
      Store({{}, expected.view(), layer}, all[i].checkpoint, part, states[i].data());
    }
    const AfterStep after = run(spans, {emits, kept.view(), layer}, execs[set % 3].exec);
    EXPECT_EQ(after.out, plain.out);
    EXPECT_EQ(after.states, plain.states);
    for (int64_t slot = 0; slot < 11; ++slot)
      ASSERT_TRUE(std::ranges::equal(kept.slot(slot), expected.slot(slot)))
          << "set " << set << ", slot " << slot;
    ASSERT_TRUE(kept.MarginsUntouched());
  }
}

// Prefill that goes on off the grid, beside one from the start; and decode, some at a border.
const std::vector<SequenceSpan> kSteps[] = {
    {{.token_begin = 0, .token_count = 300, .context_len = 40, .state_slot = 2},
     {.token_begin = 300, .token_count = 130, .context_len = 0, .state_slot = 0}},
    {{.token_begin = 0, .token_count = 1, .context_len = 63, .state_slot = 1},
     {.token_begin = 1, .token_count = 1, .context_len = 100, .state_slot = 0},
     {.token_begin = 2, .token_count = 1, .context_len = 127, .state_slot = 2}}};
constexpr int64_t kStepTokens = 430;
constexpr Dims kEmitDims = {1, 2, 6, 5, 4};  // so that heads and conv states end off the grid
const CheckpointLayout kEmitLayout = {
    .heads = 2, .key_dim = 6, .value_dim = 5, .channels = 22, .taps_kept = 3};

TEST(DeltaRecurrent, KeepsEverySetOfStatesOnTheWay) {
  Random random;
  Inputs in(kEmitDims, kStepTokens);
  FillNormally(random, in);
  const auto start = random.Tensor<4>({3, 2, 6, 5});
  for (const auto& spans : kSteps)
    ExpectEverySetOfStatesIsKept(
        [&](Sequences step, const LayerEmits& emits, Exec& exec) {
          std::vector<float> states = start.values;
          Owned<float, 3> out({kStepTokens, 2, 5}, 0);
          cpu::DeltaRecurrent(out.view, {states.data(), {3, 2, 6, 5}}, in.views(), step, emits,
                              exec);
          return AfterStep{out.values, states};
        },
        spans, kEmitLayout, Part::kRecurrent);
}

TEST(DeltaChunked, KeepsEverySetOfStatesOnTheWay) {
  Random random;
  Inputs in(kEmitDims, kStepTokens);
  FillNormally(random, in);
  const auto start = random.Tensor<4>({3, 2, 6, 5});
  for (const auto& spans : kSteps)
    ExpectEverySetOfStatesIsKept(
        [&](Sequences step, const LayerEmits& emits, Exec& exec) {
          std::vector<float> states = start.values;
          Owned<float, 3> out({kStepTokens, 2, 5}, 0);
          cpu::DeltaChunked(out.view, {states.data(), {3, 2, 6, 5}}, in.views(), step, emits, exec);
          return AfterStep{out.values, states};
        },
        spans, kEmitLayout, Part::kRecurrent);
}

TEST(DeltaNetPrologue, KeepsEverySetOfStatesOnTheWay) {
  Random random;
  const PrologueCase c(random, kEmitDims, kStepTokens);
  const auto start = random.Tensor<3>({3, 22, 3});
  for (const auto& spans : kSteps) {
    ExpectEverySetOfStatesIsKept(
        [&](Sequences step, const LayerEmits& emits, Exec& exec) {
          std::vector<float> states = start.values;
          int64_t tokens = 0;
          for (const SequenceSpan& s : step) tokens = s.token_begin + s.token_count;
          Inputs out(kEmitDims, tokens);
          cpu::DeltaNetPrologue(out.views(), {states.data(), {3, 22, 3}},
                                View<const float, 2>(c.qkvz.view).Rows(0, tokens),
                                View<const float, 2>(c.ba.view).Rows(0, tokens), step, c.weights(),
                                emits, exec);
          return AfterStep{out.v.values, states};
        },
        spans, kEmitLayout, Part::kConv);
  }
}

// The convolution's state needs no op to be known: it is the last inputs.
TEST(DeltaNetPrologue, KeepsTheLastInputsBeforeThePosition) {
  Random random;
  TestExec exec(2);
  const PrologueCase c(random, kEmitDims, 100);
  CheckpointLayout layout = kEmitLayout;
  layout.layers = 1;
  const PoisonedCheckpoints kept(layout, 1);
  Owned<float, 3> conv_state({1, 22, 3});
  Inputs out(kEmitDims, 100);
  const SequenceSpan span{.token_count = 100};
  const StateEmit emit{.position = 64};
  cpu::DeltaNetPrologue(out.views(), conv_state.view, c.qkvz.view, c.ba.view, {&span, 1},
                        c.weights(), {{&emit, 1}, kept.view()}, exec.exec);
  const auto* conv = reinterpret_cast<const float*>(kept.slot(0).data() + 2 * layout.HeadBytes());
  for (int64_t ch = 0; ch < 22; ++ch)
    for (int64_t j = 0; j < 3; ++j) EXPECT_EQ(conv[ch * 3 + j], *c.qkvz.view.at(61 + j, ch));
}

TEST(CheckEmitsDeathTest, RefusesWhatTheStepDoesNotReach) {
  CheckpointLayout layout = kEmitLayout;
  layout.layers = 1;
  const PoisonedCheckpoints kept(layout, 4);
  const std::vector<StateEmit> good = {{0, 64, 0}, {0, 320, 1}, {1, 64, 2}, {1, 128, 3}};
  cpu::CheckEmits({good, kept.view()}, kSteps[0]);
  cpu::CheckEmits({}, kSteps[0]);
  const std::vector<std::vector<StateEmit>> bad = {{{0, 100, 0}},
                                                   {{0, 0, 0}},
                                                   {{0, 384, 0}},
                                                   {{1, 192, 0}},
                                                   {{2, 64, 0}},
                                                   {{-1, 64, 0}},
                                                   {{0, 64, 4}},
                                                   {{0, 64, -1}},
                                                   {{1, 64, 0}, {0, 64, 1}},
                                                   {{0, 128, 0}, {0, 64, 1}},
                                                   {{0, 64, 0}, {0, 64, 1}}};
  for (const auto& emits : bad)
    EXPECT_DEATH(cpu::CheckEmits({emits, kept.view()}, kSteps[0]), "checkpoint_cpu.cc");
}

}  // namespace
}  // namespace nextgate::kernels
