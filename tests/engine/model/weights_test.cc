// The forms a checkpoint may have, and that they mean the same: bits of the logits, or rows of the
// loaded matrices, against what the test computes from the stored bytes itself.
#include "engine/model/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "engine/model/fingerprint.h"
#include "engine/model/load_progress.h"
#include "engine/model/qwen3_next.h"
#include "engine/model/tensor_source.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/model_runner.h"

namespace nextgate::engine {
namespace {

using nextgate::testing::CheckpointFiles;
using nextgate::testing::ModelRunner;
using nextgate::testing::PartsOf;
using nextgate::testing::StoredTensor;
using nextgate::testing::TempDir;
using nextgate::testing::WriteText;
using nextgate::testing::Zeros;
using nlohmann::json;

constexpr int kTokens = 24;

Result<std::unique_ptr<Qwen3Next>> Load(const TempDir& dir, const std::string& overrides = "",
                                        bool dummy = false, int tokens = kTokens) {
  return Qwen3Next::Load({.dir = dir.path(),
                          .dummy_weights = dummy,
                          .hf_overrides = overrides,
                          .step_tokens_max = tokens,
                          .logit_rows_max = tokens,
                          .positions_max = 512,
                          .num_threads = 1});
}

std::vector<std::vector<float>> LogitsOf(const TempDir& dir, const std::string& overrides = "",
                                         bool dummy = false) {
  const auto model = Load(dir, overrides, dummy);
  EXPECT_TRUE(model) << model.error().message;
  if (!model) return {};
  std::vector<int32_t> tokens;
  for (int i = 0; i < kTokens; ++i)
    tokens.push_back(static_cast<int32_t>((i * 37 + 5) % (*model)->config().vocab_size));
  return ModelRunner(**model, 1, 64).Step({{0, tokens}});
}

std::vector<std::vector<float>> LogitsOf(const CheckpointFiles& files) {
  const TempDir dir;
  files.Write(dir);
  return LogitsOf(dir);
}

float E4M3(uint8_t code) {
  const int exponent = code >> 3 & 15;
  const int mantissa = code & 7;
  const double value =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return static_cast<float>(code & 0x80 ? -value : value);
}

StoredTensor RandomFp8(std::mt19937& random, int64_t rows, int64_t cols) {
  StoredTensor tensor = Zeros("F8_E4M3", {rows, cols});
  for (char& code : tensor.data) {
    do code = static_cast<char>(random());
    while ((code & 0x7f) == 0x7f);
  }
  return tensor;
}

StoredTensor RandomScales(std::mt19937& random, int64_t rows, int64_t cols) {
  StoredTensor tensor = Zeros("F32", {(rows + 127) / 128, (cols + 127) / 128});
  for (size_t at = 0; at < tensor.data.size(); at += 4) {
    const float scale = 0.5f + static_cast<float>(random() % 1000) / 1000;
    std::memcpy(tensor.data.data() + at, &scale, 4);
  }
  return tensor;
}

// The per-expert tensors of every layer as transformers 5 keeps them: gate_up_proj [E, 2F, H] with
// gate's rows first, down_proj [E, H, F].
void FuseExperts(CheckpointFiles& files) {
  const auto experts = files.config["num_experts"].get<int64_t>();
  const auto width = files.config["moe_intermediate_size"].get<int64_t>();
  const auto hidden = files.config["hidden_size"].get<int64_t>();
  for (int64_t layer = 0; layer < files.config["num_hidden_layers"].get<int64_t>(); ++layer) {
    const std::string p = "model.layers." + std::to_string(layer) + ".mlp.experts.";
    StoredTensor gate_up{"", {experts, 2 * width, hidden}, ""};
    StoredTensor down{"", {experts, hidden, width}, ""};
    const auto blocks = [](int64_t size) { return (size + 127) / 128; };  // of FP8 scales
    StoredTensor gate_up_scale{"", {experts, 2 * blocks(width), blocks(hidden)}, ""};
    StoredTensor down_scale{"", {experts, blocks(hidden), blocks(width)}, ""};
    for (int64_t e = 0; e < experts; ++e) {
      const auto take = [&](const char* name, StoredTensor& into) {
        const auto node = files.tensors.extract(p + std::to_string(e) + name);
        into.dtype = node.mapped().dtype;
        into.data += node.mapped().data;
      };
      take(".gate_proj.weight", gate_up);
      take(".up_proj.weight", gate_up);
      take(".down_proj.weight", down);
      if (!files.tensors.contains(p + std::to_string(e) + ".down_proj.weight_scale_inv")) continue;
      take(".gate_proj.weight_scale_inv", gate_up_scale);
      take(".up_proj.weight_scale_inv", gate_up_scale);
      take(".down_proj.weight_scale_inv", down_scale);
    }
    if (!down_scale.data.empty()) {
      files.tensors[p + "gate_up_proj_scale_inv"] = gate_up_scale;
      files.tensors[p + "down_proj_scale_inv"] = down_scale;
    }
    files.tensors[p + "gate_up_proj"] = gate_up;
    files.tensors[p + "down_proj"] = down;
  }
}

TEST(Weights, FusedAndPerExpertTensorsGiveTheSameBits) {
  CheckpointFiles files = CheckpointFiles::Golden("bf16_base");
  const auto apart = LogitsOf(files);
  FuseExperts(files);
  EXPECT_EQ(LogitsOf(files), apart);
}

// Scales of fused experts are stacked too: [E, ⌈2F/128⌉, ⌈H/128⌉] and [E, ⌈H/128⌉, ⌈F/128⌉].
TEST(Weights, FusedFp8ExpertsKeepTheirScales) {
  // 128 rows of gate fill a block, so gate and up may be one tensor.
  CheckpointFiles files = CheckpointFiles::Golden("fp8_blocks");
  const auto hidden = files.config["hidden_size"].get<int64_t>();
  constexpr int64_t kWidth = 128;
  files.config["moe_intermediate_size"] = kWidth;
  std::mt19937 random(11);
  for (auto& [name, tensor] : files.tensors) {
    if (name.find(".mlp.experts.") == std::string::npos) continue;
    const bool down = name.find(".down_proj.") != std::string::npos;
    const int64_t rows = down ? hidden : kWidth, cols = down ? kWidth : hidden;
    tensor = name.ends_with("_scale_inv") ? RandomScales(random, rows, cols)
                                          : RandomFp8(random, rows, cols);
  }
  const auto apart = LogitsOf(files);
  FuseExperts(files);
  bool stacked = false;
  for (const auto& [name, tensor] : files.tensors)
    stacked |= name.ends_with("gate_up_proj_scale_inv") && tensor.shape[0] > 1;
  ASSERT_TRUE(stacked);
  EXPECT_EQ(LogitsOf(files), apart);
}

TEST(Weights, ShardsAndOddHeaderLengthsChangeNothing) {
  for (const char* golden : {"bf16_base", "fp8_blocks"}) {
    const CheckpointFiles files = CheckpointFiles::Golden(golden);
    const auto whole = LogitsOf(files);
    const TempDir sharded;
    files.WriteSharded(sharded, 5);
    EXPECT_EQ(LogitsOf(sharded), whole);
    for (const size_t spaces : {1, 2, 3}) {  // data that is not aligned for its type
      const TempDir odd;
      files.Write(odd);
      const auto parts = PartsOf(files.tensors);
      WriteText(odd / "model.safetensors",
                parts.File(parts.header.dump() + std::string(spaces, ' ')));
      EXPECT_EQ(LogitsOf(odd), whole) << spaces;
    }
  }
}

TEST(Weights, ATiedHeadIsTheEmbedding) {
  CheckpointFiles files = CheckpointFiles::Golden("f16_tied_dense");
  const auto tied = LogitsOf(files);
  files.tensors["lm_head.weight"] = Zeros("F16", {131, 64});  // passed over: the file says tied
  EXPECT_EQ(LogitsOf(files), tied);
  files.tensors["lm_head.weight"] = files.tensors["model.embed_tokens.weight"];
  files.config["tie_word_embeddings"] = false;
  EXPECT_EQ(LogitsOf(files), tied);
}

// --- multi-token prediction ---------------------------------------------------------------------

// mtp.* tensors in the shapes of model.md: the attention layer is a copy of the model's own.
void AddMtp(CheckpointFiles& files) {
  const auto hidden = files.config["hidden_size"].get<int64_t>();
  for (const auto& [name, tensor] : std::map(files.tensors))
    if (name.starts_with("model.layers.3."))
      files.tensors["mtp.layers.0." + name.substr(std::strlen("model.layers.3."))] = tensor;
  files.tensors["mtp.fc.weight"] = Zeros("BF16", {hidden, 2 * hidden});
  for (const char* name : {"pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"})
    files.tensors[std::string("mtp.") + name + ".weight"] = Zeros("BF16", {hidden});
}

TEST(Weights, MtpTensorsAreLoadedCheckedAndLeaveTheModelAlone) {
  CheckpointFiles files = CheckpointFiles::Golden("bf16_base");
  const auto without = LogitsOf(files);
  AddMtp(files);
  EXPECT_EQ(LogitsOf(files), without);
  const TempDir dir;
  files.Write(dir);
  const auto config = ReadModelConfig(dir.path(), "");
  const auto weights = Weights::Load(dir.path(), *config, false);
  ASSERT_TRUE(weights) << weights.error().message;
  ASSERT_TRUE((*weights)->mtp);
  EXPECT_EQ((*weights)->mtp->fc.cols, 128);
  ASSERT_EQ((*weights)->mtp->layers.size(), 1U);
  EXPECT_TRUE((*weights)->mtp->layers[0].attention && (*weights)->mtp->layers[0].moe);

  files.tensors.erase("mtp.layers.0.mlp.shared_expert_gate.weight");
  const TempDir broken;
  files.Write(broken);
  const auto model = Load(broken);
  ASSERT_FALSE(model);
  EXPECT_NE(model.error().message.find("mtp.layers.0.mlp.shared_expert_gate.weight is missing"),
            std::string::npos)
      << model.error().message;
  EXPECT_EQ(LogitsOf(broken, R"({"num_nextn_predict_layers": 0})"), without);
}

TEST(Weights, AnOverriddenLayerCountLeavesLaterLayersOut) {
  CheckpointFiles files = CheckpointFiles::Golden("bf16_base");
  const TempDir whole;
  files.Write(whole);
  const auto cut = LogitsOf(whole, R"({"num_hidden_layers": 2})");
  std::erase_if(files.tensors, [](const auto& item) {
    return item.first.starts_with("model.layers.2.") || item.first.starts_with("model.layers.3.");
  });
  files.config["num_hidden_layers"] = 2;
  EXPECT_EQ(LogitsOf(files), cut);
  // A tensor too many within the layers that are kept is still an error.
  files.tensors["model.layers.1.surplus"] = Zeros("BF16", {2});
  const TempDir surplus;
  files.Write(surplus);
  EXPECT_FALSE(Load(surplus, R"({"num_hidden_layers": 2})"));
  EXPECT_FALSE(Load(whole, R"({"layer_types": null, "full_attention_interval": 2})"));
}

// --- FP8: rows and their scales move together ---------------------------------------------------

// Head sizes of 128 keep FP8 blocks whole; 96 does not, so the matrix becomes float.
TEST(Weights, DeInterleavedFp8RowsKeepTheirScales) {
  std::mt19937 random(7);
  for (const int64_t dim : {128, 96}) {
    constexpr int64_t kHidden = 160, kGroups = 3, kValueHeads = 6;
    const int64_t widths[] = {dim, dim, 2 * dim, 2 * dim};  // q, k, v, z of one group
    const int64_t rows = kGroups * 6 * dim;
    CheckpointFiles files = CheckpointFiles::Golden("fp8_blocks");
    files.config["linear_num_key_heads"] = kGroups;
    files.config["linear_num_value_heads"] = kValueHeads;
    files.config["linear_key_head_dim"] = dim;
    files.config["linear_value_head_dim"] = dim;
    const std::string p = "model.layers.0.linear_attn.";
    const StoredTensor codes = RandomFp8(random, rows, kHidden);
    const StoredTensor scales = RandomScales(random, rows, kHidden);
    files.tensors[p + "in_proj_qkvz.weight"] = codes;
    files.tensors[p + "in_proj_qkvz.weight_scale_inv"] = scales;
    files.tensors[p + "in_proj_ba.weight"] = Zeros("BF16", {2 * kValueHeads, kHidden});
    files.tensors[p + "conv1d.weight"] = Zeros("BF16", {kGroups * 4 * dim, 1, 4});
    files.tensors[p + "out_proj.weight"] = RandomFp8(random, kHidden, kValueHeads * dim);
    files.tensors[p + "out_proj.weight_scale_inv"] =
        RandomScales(random, kHidden, kValueHeads * dim);
    files.tensors[p + "norm.weight"] = Zeros("BF16", {dim});
    for (const char* name : {"A_log", "dt_bias"})
      files.tensors[p + name] = Zeros("F32", {kValueHeads});
    const TempDir dir;
    files.Write(dir);
    const auto config = ReadModelConfig(dir.path(), "");
    ASSERT_TRUE(config) << config.error().message;
    const auto weights = Weights::Load(dir.path(), *config, false);
    ASSERT_TRUE(weights) << weights.error().message;
    const WeightView& view = (*weights)->layers[0].delta_net->qkvz;
    ASSERT_EQ(view.rows, rows);
    ASSERT_EQ(view.dtype, dim == 128 ? kernels::DType::kF8E4M3 : kernels::DType::kF32);

    int64_t row = 0;
    for (int64_t kind = 0, offset = 0; kind < 4; offset += widths[kind], ++kind)
      for (int64_t group = 0; group < kGroups; ++group)
        for (int64_t i = 0; i < widths[kind]; ++i, ++row)
          for (int64_t col = 0; col < kHidden; ++col) {
            const int64_t from = group * 6 * dim + offset + i;
            float scale = 0;
            std::memcpy(&scale, scales.data.data() + 4 * (from / 128 * 2 + col / 128), 4);
            const auto code =
                static_cast<uint8_t>(codes.data[static_cast<size_t>(from * kHidden + col)]);
            const int64_t at = row * kHidden + col;
            const float actual = view.dtype == kernels::DType::kF32
                                     ? static_cast<const float*>(view.data)[at]
                                     : E4M3(static_cast<const uint8_t*>(view.data)[at]) *
                                           view.scales[row / 128 * 2 + col / 128];
            ASSERT_EQ(actual, E4M3(code) * scale) << "row " << row << ", column " << col;
          }
  }
}

// --- dummy weights ------------------------------------------------------------------------------

CheckpointFiles DummyShape() {
  CheckpointFiles files = CheckpointFiles::Golden("bf16_base");
  files.config.update({{"hidden_size", 128},
                       {"num_hidden_layers", 12},
                       {"layer_types", nullptr},
                       {"num_experts", 64},
                       {"num_experts_per_tok", 6}});
  files.tensors.clear();
  return files;
}

std::vector<float> DummyValues(const std::string& name, std::vector<int64_t> shape,
                               TensorRole role) {
  const auto source = MakeDummySource(0, 1 << 30);
  const auto tensor = source->Get(name, shape, role);
  std::vector<float> values(static_cast<size_t>(tensor->rows() * tensor->cols()));
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, tensor->data + 2 * i, 2);
    values[i] = std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
  return values;
}

// --- progress -------------------------------------------------------------------------------------

TEST(LoadProgress, SaysHowMuchHowFastAndHowLong) {
  constexpr int64_t kGb = 1'000'000'000;
  EXPECT_EQ(FormatLoading(40 * kGb, 160 * kGb, 20),
            "40.00 of 160.00 GB, 2.00 GB/s, 60 s remaining");
  EXPECT_EQ(FormatLoading(160 * kGb, 160 * kGb, 80), "160.00 of 160.00 GB, 2.00 GB/s");
  EXPECT_EQ(FormatLoading(0, 160 * kGb, 0), "0.00 of 160.00 GB, 0.00 GB/s");
  EXPECT_EQ(FormatLoading(2 * kGb, kGb, 1), "2.00 of 2.00 GB, 2.00 GB/s");  // never more than all
  EXPECT_EQ(FormatLoaded(160 * kGb, 80), "160.00 GB in 80.0 s, 2.00 GB/s");
  EXPECT_EQ(FormatLoaded(23'400'000, 0.01), "23.4 MB in 0.0 s, 2.34 GB/s");
}

TEST(LoadProgress, TheConfigurationTellsHowManyParametersThereAre) {
  for (const char* golden : {"bf16_base", "f16_tied_dense", "fp8_blocks"}) {
    CheckpointFiles files = CheckpointFiles::Golden(golden);
    for (const int mtp_layers : {0, 2}) {
      files.config["num_nextn_predict_layers"] = mtp_layers;
      const TempDir dir;
      files.Write(dir);
      const auto config = ReadModelConfig(dir.path(), "");
      ASSERT_TRUE(config) << config.error().message;
      const auto weights = Weights::Load(dir.path(), *config, /*dummy=*/true);
      ASSERT_TRUE(weights) << weights.error().message;
      EXPECT_EQ(ParameterCount(*config, mtp_layers > 0), (*weights)->parameters()) << golden;
    }
  }
}

TEST(DummyWeights, AreTheSameEveryTime) {
  const TempDir dir;
  DummyShape().Write(dir);
  const auto first = LogitsOf(dir, "", true);
  EXPECT_EQ(LogitsOf(dir, "", true), first);
  for (const float logit : first.back()) ASSERT_TRUE(std::isfinite(logit));
}

TEST(DummyWeights, KeepActivationsNearOneAndSpreadTheRouter) {
  constexpr int kRows = 256, kHidden = 128, kExperts = 64, kTop = 6;
  const TempDir dir;
  DummyShape().Write(dir);
  const auto model = Load(dir, "", true, kRows);
  ASSERT_TRUE(model) << model.error().message;
  std::map<std::string, std::vector<float>> taps;
  (*model)->SetTap([&](const std::string& name, kernels::View<const float, 2> rows) {
    for (int64_t t = 0; t < rows.shape[0]; ++t)
      taps[name].insert(taps[name].end(), rows.at(t), rows.at(t) + rows.shape[1]);
  });
  std::vector<int32_t> tokens;
  for (int i = 0; i < kRows; ++i) tokens.push_back(i * 71 % 199);
  const auto logits = ModelRunner(**model, 1, 512).Step({{0, tokens}});

  for (const auto& [name, values] : taps) {
    double squares = 0;
    for (const float x : values) squares += static_cast<double>(x) * x;
    const double rms = std::sqrt(squares / static_cast<double>(values.size()));
    EXPECT_GT(rms, 0.02) << name;
    EXPECT_LT(rms, 10) << name;
  }
  // The router of the first and the last layer on what those layers see.
  for (const int layer : {0, 11}) {
    const std::string p = "layers." + std::to_string(layer);
    const auto& before = taps[layer == 0 ? "embed" : "layers." + std::to_string(layer - 1)];
    const auto& mixer = taps[p + ".mixer"];
    const auto gain = DummyValues("model." + p + ".post_attention_layernorm.weight", {kHidden},
                                  TensorRole::kZeroCentredNorm);
    const auto router =
        DummyValues("model." + p + ".mlp.gate.weight", {kExperts, kHidden}, TensorRole::kRouter);
    std::vector<int> used(kExperts);
    for (size_t t = 0; t < kRows; ++t) {
      std::vector<double> x(kHidden);
      double squares = 0;
      for (size_t h = 0; h < kHidden; ++h) {
        x[h] = before[t * kHidden + h] + mixer[t * kHidden + h];
        squares += x[h] * x[h];
      }
      std::vector<std::pair<double, size_t>> scored;
      for (size_t e = 0; e < kExperts; ++e) {
        double logit = 0;
        for (size_t h = 0; h < kHidden; ++h)
          logit += router[e * kHidden + h] * x[h] * (1 + gain[h]) / std::sqrt(squares / kHidden);
        scored.emplace_back(-logit, e);
      }
      std::ranges::sort(scored);
      for (size_t i = 0; i < kTop; ++i) ++used[scored[i].second];
    }
    const double fair = static_cast<double>(kRows) * kTop / kExperts;
    EXPECT_GE(std::ranges::count_if(used, [](int n) { return n > 0; }), kExperts * 3 / 4) << p;
    EXPECT_LE(*std::ranges::max_element(used), 6 * fair) << p;
  }
}

// --- fingerprint --------------------------------------------------------------------------------

TEST(Fingerprint, FollowsContentAndNothingElse) {
  const CheckpointFiles files = CheckpointFiles::Golden("bf16_base");
  const auto write = [&](const TempDir& dir) {
    files.WriteSharded(dir, 2);
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"})
      WriteText(dir / name, "{\"a\": 1}");
    WriteText(dir / "chat_template.jinja", "{{ x }}");
  };
  const TempDir one;
  const TempDir two;
  write(one);
  write(two);
  const auto of = [](const TempDir& dir) { return Fingerprint(dir.path(), "", false).value(); };
  const std::string same = of(one);
  EXPECT_EQ(same.size(), 32U);
  EXPECT_EQ(of(two), same);
  WriteText(two / "README.md", "read me");
  EXPECT_EQ(of(two), same);
  EXPECT_NE(Fingerprint(two.path(), R"({"rope_theta": 3})", false).value(), same);
  EXPECT_NE(Fingerprint(two.path(), "", true).value(), same);
  for (const char* name :
       {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
        "chat_template.jinja", "model.safetensors.index.json", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors"}) {
    const std::string text = nextgate::testing::ReadText(two / name);
    std::string changed = text;
    changed.back() = static_cast<char>(changed.back() ^ 1);
    WriteText(two / name, changed);
    EXPECT_NE(of(two), same) << name;
    WriteText(two / name, text);
    EXPECT_EQ(of(two), same) << name;
  }
  EXPECT_FALSE(Fingerprint(one.path() + "/absent", "", false));
}

}  // namespace
}  // namespace nextgate::engine
