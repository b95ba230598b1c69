#include "engine/model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "engine/memory/memory_plan.h"
#include "engine/model/load_progress.h"
#include "kernels/core/convert.h"

namespace nextgate::engine {

using kernels::DType;
using kernels::DTypeBytes;
using Role = TensorRole;

namespace {

constexpr int64_t kScaleBlock = 128;

int64_t Blocks(int64_t size) { return (size + kScaleBlock - 1) / kScaleBlock; }

// Rows [begin, begin + count) of one checkpoint tensor (all dims but the last count as rows).
struct RowRun {
  int64_t begin;
  int64_t count;
};

// One checkpoint tensor's part of a merged matrix, in the order of the merged rows.
struct Part {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<RowRun> runs;  // empty: all rows
  Role role = Role::kMatrix;
};

// The i of "model.layers.i.…"; -1 of other names.
int64_t LayerOf(std::string_view name) {
  constexpr std::string_view kPrefix = "model.layers.";
  int64_t layer = -1;
  if (name.starts_with(kPrefix))
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  return layer;
}

// FP8 keeps its scales where whole 128-row blocks move together.
bool BlocksMoveWhole(const std::vector<RowRun>& runs, int64_t matrix_rows, int64_t to) {
  for (size_t i = 0; i < runs.size(); ++i) {
    const bool last = i + 1 == runs.size();
    if (to % kScaleBlock != 0 || runs[i].begin % matrix_rows % kScaleBlock != 0) return false;
    if (!last && runs[i].count % kScaleBlock != 0) return false;
    if (runs[i].begin % matrix_rows + runs[i].count > matrix_rows) return false;
    to += runs[i].count;
  }
  return true;
}

}  // namespace

// Carries the tensor table: each method below reads one block of the network.
class WeightLoader {
 public:
  WeightLoader(TensorSource& source, const ModelConfig& config, int64_t bytes_max, Weights& weights)
      : source_(source),
        c_(config),
        w_(weights),
        bytes_max_(bytes_max),
        progress_(source.bytes()) {}

  Status LoadAll();

 private:
  // --- the tensor table -------------------------------------------------------------------------
  Result<LayerWeights> Layer(const std::string& prefix, LayerType type, bool sparse);
  Result<AttentionWeights> Attention(const std::string& p);
  Result<DeltaNetWeights> DeltaNet(const std::string& p);
  Result<MoeWeights> Moe(const std::string& p);
  Result<MlpWeights> Mlp(const std::string& p, int64_t width);
  Result<std::vector<MlpWeights>> Experts(const std::string& p);
  Result<MtpWeights> Mtp();

  // --- how a tensor gets into memory ------------------------------------------------------------
  Result<WeightView> Matrix(std::vector<Part> parts);
  Result<WeightView> Matrix(const std::string& name, int64_t rows, int64_t cols,
                            Role role = Role::kMatrix) {
    std::vector<Part> parts;
    parts.push_back({name, {rows, cols}, {}, role});
    return Matrix(std::move(parts));
  }
  Result<Vector> Floats(const std::string& name, std::vector<int64_t> shape, Role role);
  Result<Vector> Norm(const std::string& name) {
    return Floats(name, {c_.hidden_size}, Role::kZeroCentredNorm);
  }
  Result<std::byte*> Allocate(int64_t bytes);
  Status FillConverted(WeightView& view, std::byte* to, const std::vector<Part>& parts);
  Status FillCopied(WeightView& view, std::byte* to, const std::vector<Part>& parts);
  void CountParameters(DType dtype, int64_t count) {
    w_.parameters_ += count;
    by_type_[static_cast<size_t>(dtype)] += count;
    progress_.Add(count * static_cast<int64_t>(DTypeBytes(dtype)));
  }

  TensorSource& source_;
  const ModelConfig& c_;
  Weights& w_;
  int64_t bytes_max_;
  LoadProgress progress_;
  std::array<int64_t, 4> by_type_{};
};

// ------------------------------------------------------------------------------- the tensor table

Status WeightLoader::LoadAll() {
  const int64_t hidden = c_.hidden_size;
  ASSIGN_OR_RETURN(w_.embed,
                   Matrix("model.embed_tokens.weight", c_.vocab_size, hidden, Role::kEmbedding));
  ASSIGN_OR_RETURN(w_.final_norm, Norm("model.norm.weight"));
  if (c_.tie_word_embeddings) {
    w_.lm_head = w_.embed;
  } else {
    ASSIGN_OR_RETURN(w_.lm_head, Matrix("lm_head.weight", c_.vocab_size, hidden));
  }
  for (int64_t i = 0; i < c_.num_hidden_layers; ++i) {
    const auto at = static_cast<size_t>(i);
    ASSIGN_OR_RETURN(LayerWeights layer, Layer(fmt::format("model.layers.{}.", i),
                                               c_.layer_types[at], c_.sparse_layers[at]));
    w_.layers.push_back(std::move(layer));
  }
  if (c_.num_nextn_predict_layers > 0 && source_.HasPrefix("mtp.")) {
    ASSIGN_OR_RETURN(w_.mtp, Mtp());
  }
  RETURN_IF_ERROR(source_.CheckAllUsed([this](std::string_view name) {
    return (c_.tie_word_embeddings && name == "lm_head.weight") ||
           (c_.num_nextn_predict_layers == 0 && name.starts_with("mtp.")) ||
           (c_.layers_cut && LayerOf(name) >= c_.num_hidden_layers);
  }));
  const auto most = std::ranges::max_element(by_type_) - by_type_.begin();
  w_.dtype_ = kernels::DTypeName(static_cast<DType>(most));
  progress_.Done();
  return {};
}

Result<LayerWeights> WeightLoader::Layer(const std::string& p, LayerType type, bool sparse) {
  LayerWeights layer;
  ASSIGN_OR_RETURN(layer.input_norm, Norm(p + "input_layernorm.weight"));
  ASSIGN_OR_RETURN(layer.post_norm, Norm(p + "post_attention_layernorm.weight"));
  if (type == LayerType::kFullAttention) {
    ASSIGN_OR_RETURN(layer.attention, Attention(p + "self_attn."));
  } else {
    ASSIGN_OR_RETURN(layer.delta_net, DeltaNet(p + "linear_attn."));
  }
  if (sparse) {
    ASSIGN_OR_RETURN(layer.moe, Moe(p + "mlp."));
  } else {
    ASSIGN_OR_RETURN(layer.mlp, Mlp(p + "mlp.", c_.intermediate_size));
  }
  return layer;
}

Result<AttentionWeights> WeightLoader::Attention(const std::string& p) {
  const int64_t q = c_.num_attention_heads * c_.head_dim;
  const int64_t kv = c_.num_key_value_heads * c_.head_dim;
  const int64_t hidden = c_.hidden_size;
  AttentionWeights a;
  ASSIGN_OR_RETURN(a.qkv, Matrix({{p + "q_proj.weight", {2 * q, hidden}, {}},
                                  {p + "k_proj.weight", {kv, hidden}, {}},
                                  {p + "v_proj.weight", {kv, hidden}, {}}}));
  ASSIGN_OR_RETURN(a.o, Matrix(p + "o_proj.weight", hidden, q));
  ASSIGN_OR_RETURN(a.q_norm, Floats(p + "q_norm.weight", {c_.head_dim}, Role::kZeroCentredNorm));
  ASSIGN_OR_RETURN(a.k_norm, Floats(p + "k_norm.weight", {c_.head_dim}, Role::kZeroCentredNorm));
  return a;
}

Result<DeltaNetWeights> WeightLoader::DeltaNet(const std::string& p) {
  const int64_t groups = c_.linear_num_key_heads;
  const int64_t key = c_.linear_key_head_dim;
  const int64_t heads = c_.linear_num_value_heads / groups;  // value heads of one group
  const int64_t value = heads * c_.linear_value_head_dim;
  // Stored as groups of [q | k | v | z] and [b | a]; wanted as all q, all k, …
  const auto de_interleave = [groups](const std::vector<int64_t>& widths) {
    int64_t group_rows = 0;
    for (const int64_t width : widths) group_rows += width;
    std::vector<RowRun> runs;
    int64_t offset = 0;
    for (const int64_t width : widths) {
      for (int64_t g = 0; g < groups; ++g) runs.push_back({g * group_rows + offset, width});
      offset += width;
    }
    return runs;
  };
  const int64_t qkvz = groups * (2 * key + 2 * value);
  DeltaNetWeights d;
  ASSIGN_OR_RETURN(d.qkvz, Matrix({{p + "in_proj_qkvz.weight",
                                    {qkvz, c_.hidden_size},
                                    de_interleave({key, key, value, value})}}));
  ASSIGN_OR_RETURN(d.ba, Matrix({{p + "in_proj_ba.weight",
                                  {groups * 2 * heads, c_.hidden_size},
                                  de_interleave({heads, heads})}}));
  ASSIGN_OR_RETURN(d.out, Matrix(p + "out_proj.weight", c_.hidden_size, c_.value_channels()));
  ASSIGN_OR_RETURN(
      const Vector conv,
      Floats(p + "conv1d.weight", {c_.conv_channels(), 1, c_.linear_conv_kernel_dim}, Role::kConv));
  d.conv = {conv.data, {c_.conv_channels(), c_.linear_conv_kernel_dim}};
  ASSIGN_OR_RETURN(d.a_log, Floats(p + "A_log", {c_.linear_num_value_heads}, Role::kALog));
  ASSIGN_OR_RETURN(d.dt_bias, Floats(p + "dt_bias", {c_.linear_num_value_heads}, Role::kDtBias));
  ASSIGN_OR_RETURN(d.norm, Floats(p + "norm.weight", {c_.linear_value_head_dim}, Role::kPlainNorm));
  return d;
}

Result<MoeWeights> WeightLoader::Moe(const std::string& p) {
  MoeWeights moe;
  ASSIGN_OR_RETURN(moe.router,
                   Matrix(p + "gate.weight", c_.num_experts, c_.hidden_size, Role::kRouter));
  ASSIGN_OR_RETURN(moe.experts, Experts(p + "experts."));
  if (c_.shared_expert_intermediate_size > 0) {
    ASSIGN_OR_RETURN(moe.shared, Mlp(p + "shared_expert.", c_.shared_expert_intermediate_size));
    ASSIGN_OR_RETURN(moe.shared_gate, Matrix(p + "shared_expert_gate.weight", 1, c_.hidden_size));
  }
  return moe;
}

Result<MlpWeights> WeightLoader::Mlp(const std::string& p, int64_t width) {
  const std::vector<int64_t> in = {width, c_.hidden_size};
  MlpWeights mlp;
  ASSIGN_OR_RETURN(mlp.gate_up,
                   Matrix({{p + "gate_proj.weight", in, {}}, {p + "up_proj.weight", in, {}}}));
  ASSIGN_OR_RETURN(mlp.down, Matrix(p + "down_proj.weight", c_.hidden_size, width));
  return mlp;
}

// One tensor per expert (as published), or all experts in one (as transformers 5 may save).
Result<std::vector<MlpWeights>> WeightLoader::Experts(const std::string& p) {
  std::vector<MlpWeights> experts;
  const int64_t width = c_.moe_intermediate_size;
  const bool fused = source_.Has(p + "gate_up_proj");
  for (int64_t e = 0; e < c_.num_experts; ++e) {
    if (!fused) {
      ASSIGN_OR_RETURN(MlpWeights expert, Mlp(fmt::format("{}{}.", p, e), width));
      experts.push_back(expert);
      continue;
    }
    MlpWeights expert;
    ASSIGN_OR_RETURN(expert.gate_up, Matrix({{p + "gate_up_proj",
                                              {c_.num_experts, 2 * width, c_.hidden_size},
                                              {{e * 2 * width, 2 * width}}}}));
    ASSIGN_OR_RETURN(expert.down, Matrix({{p + "down_proj",
                                           {c_.num_experts, c_.hidden_size, width},
                                           {{e * c_.hidden_size, c_.hidden_size}}}}));
    experts.push_back(expert);
  }
  return experts;
}

Result<MtpWeights> WeightLoader::Mtp() {
  MtpWeights mtp;
  ASSIGN_OR_RETURN(mtp.fc, Matrix("mtp.fc.weight", c_.hidden_size, 2 * c_.hidden_size));
  ASSIGN_OR_RETURN(mtp.norm_embedding, Norm("mtp.pre_fc_norm_embedding.weight"));
  ASSIGN_OR_RETURN(mtp.norm_hidden, Norm("mtp.pre_fc_norm_hidden.weight"));
  ASSIGN_OR_RETURN(mtp.norm, Norm("mtp.norm.weight"));
  for (int64_t i = 0; i < c_.num_nextn_predict_layers; ++i) {
    ASSIGN_OR_RETURN(LayerWeights layer, Layer(fmt::format("mtp.layers.{}.", i),
                                               LayerType::kFullAttention, c_.num_experts > 0));
    mtp.layers.push_back(std::move(layer));
  }
  return mtp;
}

// -------------------------------------------------------------------- how a tensor gets into
// memory

Result<std::byte*> WeightLoader::Allocate(int64_t bytes) {
  if (bytes > bytes_max_ - w_.bytes_)
    return MakeError(
        ErrorCode::kResourceExhausted,
        fmt::format("the weights take more than the {} bytes this machine has", bytes_max_));
  w_.memory_.emplace_back(new (std::align_val_t(64)) std::byte[static_cast<size_t>(bytes)]);
  w_.bytes_ += bytes;
  return w_.memory_.back().get();
}

// Merges parts row after row. They keep their type if all have the same one (and, for FP8, scale
// blocks stay whole); otherwise the merged matrix is float.
Result<WeightView> WeightLoader::Matrix(std::vector<Part> parts) {
  WeightView view;
  bool same = true;
  for (size_t i = 0; i < parts.size(); ++i) {
    Part& part = parts[i];
    ASSIGN_OR_RETURN(const SourceTensor tensor, source_.Get(part.name, part.shape, part.role));
    if (part.runs.empty()) part.runs = {{0, tensor.rows()}};
    if (i == 0) {
      view.dtype = tensor.dtype;
      view.cols = tensor.cols();
    }
    same = same && tensor.dtype == view.dtype;
    if (tensor.dtype == DType::kF8E4M3)
      same = same && BlocksMoveWhole(part.runs, tensor.matrix_rows(), view.rows);
    for (const RowRun& run : part.runs) view.rows += run.count;
  }
  if (!same) view.dtype = DType::kF32;
  ASSIGN_OR_RETURN(std::byte * to,
                   Allocate(view.rows * view.cols * static_cast<int64_t>(DTypeBytes(view.dtype))));
  view.data = to;
  RETURN_IF_ERROR(same ? FillCopied(view, to, parts) : FillConverted(view, to, parts));
  return view;
}

Status WeightLoader::FillCopied(WeightView& view, std::byte* to, const std::vector<Part>& parts) {
  const auto row_bytes = static_cast<size_t>(view.cols) * DTypeBytes(view.dtype);
  float* scales = nullptr;
  if (view.dtype == DType::kF8E4M3) {
    const int64_t count = Blocks(view.rows) * Blocks(view.cols);
    ASSIGN_OR_RETURN(std::byte * memory, Allocate(count * static_cast<int64_t>(sizeof(float))));
    scales = reinterpret_cast<float*>(memory);
    view.scales = scales;
  }
  for (const Part& part : parts) {
    ASSIGN_OR_RETURN(const SourceTensor tensor, source_.Get(part.name, part.shape, part.role));
    for (const RowRun& run : part.runs) {
      CountParameters(tensor.dtype, run.count * view.cols);
      std::memcpy(to, tensor.data + static_cast<size_t>(run.begin) * row_bytes,
                  static_cast<size_t>(run.count) * row_bytes);
      to += static_cast<size_t>(run.count) * row_bytes;
      for (int64_t row = 0; scales != nullptr && row < run.count; row += kScaleBlock)
        for (int64_t block = 0; block < Blocks(view.cols); ++block)
          *scales++ = tensor.Scale(run.begin + row, block * kScaleBlock);
    }
  }
  return {};
}

Status WeightLoader::FillConverted(WeightView& view, std::byte* to,
                                   const std::vector<Part>& parts) {
  auto* out = reinterpret_cast<float*>(to);
  for (const Part& part : parts) {
    ASSIGN_OR_RETURN(const SourceTensor tensor, source_.Get(part.name, part.shape, part.role));
    for (const RowRun& run : part.runs) {
      CountParameters(tensor.dtype, run.count * view.cols);
      for (int64_t row = run.begin; row < run.begin + run.count; ++row, out += view.cols) {
        kernels::ConvertToFloat(out, tensor.data, tensor.dtype, row * view.cols, view.cols);
        for (int64_t k = 0; tensor.dtype == DType::kF8E4M3 && k < view.cols; ++k)
          out[k] *= tensor.Scale(row, k);
      }
    }
  }
  return {};
}

Result<Vector> WeightLoader::Floats(const std::string& name, std::vector<int64_t> shape,
                                    Role role) {
  ASSIGN_OR_RETURN(const SourceTensor tensor, source_.Get(name, shape, role));
  const int64_t count = tensor.rows() * tensor.cols();
  CountParameters(tensor.dtype, count);
  ASSIGN_OR_RETURN(std::byte * memory, Allocate(count * static_cast<int64_t>(sizeof(float))));
  auto* out = reinterpret_cast<float*>(memory);
  kernels::ConvertToFloat(out, tensor.data, tensor.dtype, 0, count);
  return Vector(out, {count});
}

Result<std::unique_ptr<Weights>> Weights::Load(const std::string& dir, const ModelConfig& config,
                                               bool dummy) {
  auto weights = std::make_unique<Weights>();
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<TensorSource> source;
  const int64_t bytes_max = MachineMemoryBytes();
  if (dummy) {
    const int64_t parameters = ParameterCount(config, config.num_nextn_predict_layers > 0);
    source = MakeDummySource(/*seed=*/0, bytes_max,
                             parameters * static_cast<int64_t>(DTypeBytes(DType::kBF16)));
  } else {
    ASSIGN_OR_RETURN(checkpoint, Checkpoint::Open(dir));
    source = MakeCheckpointSource(*checkpoint);
  }
  RETURN_IF_ERROR(WeightLoader(*source, config, bytes_max, *weights).LoadAll());
  return weights;
}

}  // namespace nextgate::engine
