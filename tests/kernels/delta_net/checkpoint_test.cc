// What checkpoints hold, byte for byte, against the formats' definitions; then the same through the
// ops that keep states on the way.
#include "kernels/delta_net/checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/support/bf16_formula.h"
#include "tests/support/poisoned_checkpoints.h"
#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::NearestBf16;
using testing::Owned;
using testing::PoisonedCheckpoints;
using testing::Random;
using testing::TestExec;

constexpr StateFormat kFormats[] = {StateFormat::kFp32, StateFormat::kBf16, StateFormat::kInt8};

template <class T>
T Read(const std::byte* from, int64_t index) {
  T value;
  std::memcpy(&value, from + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

double ReadBf16(const std::byte* from, int64_t index) {
  const uint32_t bits = static_cast<uint32_t>(Read<uint16_t>(from, index)) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

bool Same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

int64_t Up(int64_t bytes, int64_t to) { return (bytes + to - 1) / to * to; }

CheckpointLayout RandomLayout(Random& random, StateFormat format) {
  return {.format = format,
          .layers = 1 + random.Below(3),
          .heads = 1 + random.Below(5),
          .key_dim = 1 + random.Below(20),
          .value_dim = 1 + random.Below(40),
          .channels = 1 + random.Below(50),
          .taps_kept = random.Below(5)};
}

// States of `slots` slots, poisoned.
struct States {
  States(const CheckpointLayout& l, int64_t slots)
      : recurrent({slots, l.layers, l.heads, l.key_dim, l.value_dim}),
        conv({slots, l.layers, l.channels, l.taps_kept}) {}
  Owned<float, 5> recurrent;
  Owned<float, 4> conv;
};

// Rows of every kind, some in each state: large, tiny, subnormal, zero, ties, not finite.
void FillWildly(Random& random, States& states, const CheckpointLayout& l) {
  for (float& x : states.conv.values)
    x = random.Below(20) == 0 ? INFINITY : random.Normal(std::pow(10.0f, random.Normal()));
  const int64_t rows = states.recurrent.view.size() / l.value_dim;
  for (int64_t r = 0; r < rows; ++r) {
    float* row = states.recurrent.values.data() + r * l.value_dim;
    const int64_t kind = random.Below(10);
    for (int64_t d = 0; d < l.value_dim; ++d) {
      row[d] = random.Normal(std::pow(10.0f, random.Normal(3)));
      if (kind == 0) row[d] = random.Below(2) == 0 ? 0.0f : -0.0f;
      if (kind == 1) row[d] = 0x1p-149f * static_cast<float>(random.Below(400) - 200);
      if (kind == 2) row[d] = 0.5f * static_cast<float>(random.Below(253) - 126);
    }
    float& one = row[random.Below(l.value_dim)];
    if (kind == 2) one = 127;  // so that the scale is 1 and halves are ties
    if (kind == 3) one = NAN;
    if (kind == 4) one = random.Below(2) == 0 ? INFINITY : -INFINITY;
    if (kind == 5) one = std::numeric_limits<float>::max();
  }
}

void Store(const States& states, int64_t slot, const Checkpoints& to, int32_t checkpoint) {
  for (int64_t layer = 0; layer < to.layout.layers; ++layer) {
    const LayerEmits emits{.checkpoints = to, .layer = layer};
    for (int64_t head = to.layout.heads - 1; head >= 0; --head)
      cpu::StoreHead(emits, checkpoint, head, states.recurrent.view.at(slot, layer, head));
    for (int64_t c = to.layout.channels - 1; c >= 0; --c)
      cpu::StoreChannel(emits, checkpoint, c, states.conv.view.at(slot, layer, c));
  }
}

// What one row of int8 holds: scale, then its elements.
struct Int8Row {
  float scale;
  std::vector<double> q;
};
Int8Row QuantisedRow(const float* row, int64_t count) {
  double largest = 0;
  bool finite = true;
  for (int64_t d = 0; d < count; ++d) {
    largest = std::max(largest, std::abs(static_cast<double>(row[d])));
    finite = finite && std::isfinite(row[d]);
  }
  Int8Row out{finite ? static_cast<float>(largest / 127) : NAN, {}};
  for (int64_t d = 0; d < count; ++d) {
    const bool counts = finite && out.scale > 0;
    const auto ratio = static_cast<float>(static_cast<double>(row[d]) / out.scale);
    out.q.push_back(counts ? std::clamp(std::nearbyint(ratio), -127.0f, 127.0f) : 0);
  }
  return out;
}

// What is stored of one state, and what resuming from it gives.
void ExpectHolds(const std::byte* bytes, const CheckpointLayout& l, const States& states,
                 int64_t slot, States* resumed) {
  const std::byte* at = bytes;
  const auto pad_to = [&](int64_t multiple) {
    const std::byte* const end = bytes + Up(at - bytes, multiple);
    EXPECT_TRUE(std::all_of(at, end, [](std::byte b) { return b == std::byte{0}; }));
    at = end;
  };
  const auto expect_elements = [&](const float* x, float* after, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const bool whole = l.format == StateFormat::kFp32;
      const double stored = whole ? Read<float>(at, i) : ReadBf16(at, i);
      EXPECT_TRUE(Same(stored, whole ? x[i] : NearestBf16(x[i]))) << stored << " for " << x[i];
      after[i] = static_cast<float>(stored);
    }
    at += count * (l.format == StateFormat::kFp32 ? 4 : 2);
  };
  for (int64_t layer = 0; layer < l.layers; ++layer) {
    for (int64_t head = 0; head < l.heads; ++head) {
      const float* state = states.recurrent.view.at(slot, layer, head);
      float* after = resumed->recurrent.view.at(slot, layer, head);
      if (l.format == StateFormat::kInt8) {
        const std::byte* const scales = at;
        at += l.key_dim * 4;
        for (int64_t r = 0; r < l.key_dim; ++r) {
          const Int8Row row = QuantisedRow(state + r * l.value_dim, l.value_dim);
          EXPECT_TRUE(Same(Read<float>(scales, r), row.scale)) << Read<float>(scales, r);
          for (int64_t d = 0; d < l.value_dim; ++d, ++at) {
            const double q = row.q[static_cast<size_t>(d)];
            EXPECT_EQ(Read<int8_t>(at, 0), q) << state[r * l.value_dim + d];
            after[r * l.value_dim + d] = static_cast<float>(row.scale * q);
          }
        }
      } else {
        expect_elements(state, after, l.key_dim * l.value_dim);
      }
      pad_to(16);
    }
    expect_elements(states.conv.view.at(slot, layer), resumed->conv.view.at(slot, layer),
                    l.channels * l.taps_kept);
    pad_to(16);
  }
  pad_to(64);
  EXPECT_EQ(at - bytes, l.Bytes());
}

TEST(Checkpoint, SizesOfQwen3Next80B) {
  const auto bytes = [](StateFormat format) {
    return CheckpointLayout{format, 36, 32, 128, 128, 8192, 3}.Bytes();
  };
  EXPECT_EQ(bytes(StateFormat::kFp32), 36 * (32 * 128 * 128 * 4 + 8192 * 3 * 4));
  EXPECT_EQ(bytes(StateFormat::kBf16), 36 * (32 * 128 * 128 * 2 + 8192 * 3 * 2));
  EXPECT_EQ(bytes(StateFormat::kInt8), 36 * (32 * (128 * 4 + 128 * 128) + 8192 * 3 * 2));
}

TEST(Checkpoint, HoldsWhatItsFormatSaysAndNothingBeside) {
  Random random;
  TestExec exec(3);
  for (int round = 0; round < 300; ++round) {
    const CheckpointLayout l = RandomLayout(random, kFormats[round % 3]);
    SCOPED_TRACE(StateFormatName(l.format));
    States states(l, 1);
    FillWildly(random, states, l);
    const PoisonedCheckpoints kept(l, 3);
    Store(states, 0, kept.view(), 1);
    States expected(l, 1);
    ExpectHolds(kept.slot(1).data(), l, states, 0, &expected);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "round " << round;
    EXPECT_TRUE(kept.Untouched(0) && kept.Untouched(2) && kept.MarginsUntouched());

    // Resumed in the middle of three slots, the others left alone.
    States resumed(l, 3);
    const StateLoad load{.state_slot = 1, .checkpoint = 1};
    cpu::LoadStates(resumed.recurrent.view, resumed.conv.view, {&load, 1}, kept.view(), exec.exec);
    const auto compare = [&](const auto& all, const std::vector<float>& one) {
      for (size_t i = 0; i < all.values.size(); ++i) {
        const bool inside = i >= one.size() && i < 2 * one.size();
        ASSERT_TRUE(Same(all.values[i], inside ? one[i - one.size()] : NAN)) << i;
      }
    };
    compare(resumed.recurrent, expected.recurrent.values);
    compare(resumed.conv, expected.conv.values);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "round " << round;
  }
}

TEST(Checkpoint, OfOneStateIsTheSameBytesEachTime) {
  Random random;
  for (const StateFormat format : kFormats) {
    const CheckpointLayout l = RandomLayout(random, format);
    States states(l, 1);
    FillWildly(random, states, l);
    const PoisonedCheckpoints kept(l, 2);
    std::ranges::fill(kept.slot(1), std::byte{7});
    Store(states, 0, kept.view(), 0);
    Store(states, 0, kept.view(), 1);
    EXPECT_TRUE(std::ranges::equal(kept.slot(0), kept.slot(1)));
  }
}

TEST(LoadStates, SeveralFromAnySlotsOnAnyThreads) {
  Random random;
  for (const StateFormat format : kFormats) {
    CheckpointLayout l = RandomLayout(random, format);
    l.taps_kept = 3;
    States states(l, 2);
    for (auto* values : {&states.recurrent.values, &states.conv.values})
      for (float& x : *values) x = random.Normal();
    const PoisonedCheckpoints kept(l, 4);
    Store(states, 0, kept.view(), 3);
    Store(states, 1, kept.view(), 0);
    const StateLoad loads[] = {{4, 0}, {0, 3}, {2, 0}};
    std::vector<States> results;
    for (const int threads : {1, 2, 4}) {
      TestExec exec(threads);
      States& resumed = results.emplace_back(l, 5);
      for (float& x : resumed.recurrent.values) x = 5;
      for (float& x : resumed.conv.values) x = 5;
      cpu::LoadStates(resumed.recurrent.view, resumed.conv.view, loads, kept.view(), exec.exec);
      EXPECT_EQ(resumed.recurrent.values, results.front().recurrent.values) << threads;
      EXPECT_EQ(resumed.conv.values, results.front().conv.values) << threads;
    }
    States& resumed = results.front();
    const int64_t row = resumed.recurrent.view.stride[0];
    const auto slot = [&](int64_t s) {
      const float* begin = resumed.recurrent.view.at(s);
      return std::vector<float>(begin, begin + row);
    };
    EXPECT_EQ(slot(4), slot(2));
    EXPECT_NE(slot(4), slot(0));
    EXPECT_EQ(slot(1), std::vector<float>(static_cast<size_t>(row), 5));
    EXPECT_EQ(slot(3), std::vector<float>(static_cast<size_t>(row), 5));
  }
}

}  // namespace
}  // namespace nextgate::kernels
