#include "engine/encoder/bert.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/model/tensor_source.h"
#include "kernels/attention/self_attention.h"
#include "kernels/core/convert.h"
#include "kernels/embed/embedding.h"
#include "kernels/gemm/bias.h"
#include "kernels/gemm/linear.h"
#include "kernels/norm/layer_norm.h"

namespace nextgate::engine {

namespace cpu = kernels::cpu;

// Carries the tensor table.
class BertLoader {
 public:
  BertLoader(TensorSource& source, const BertConfig& config, Bert& bert)
      : source_(source), c_(config), bert_(bert) {}

  Status LoadAll() {
    const int64_t hidden = c_.hidden_size;
    // Checkpoints of a whole pre-training model have everything one level deeper.
    const std::string root = source_.HasPrefix("bert.")      ? "bert."
                             : source_.HasPrefix("roberta.") ? "roberta."
                                                             : "";
    const std::string p = root + "embeddings.";
    ASSIGN_OR_RETURN(bert_.words_, Matrix({p + "word_embeddings.weight"}, c_.vocab_size, hidden));
    ASSIGN_OR_RETURN(bert_.positions_, Matrix({p + "position_embeddings.weight"},
                                              c_.max_position_embeddings, hidden));
    ASSIGN_OR_RETURN(const Bert::Weight types,
                     Matrix({p + "token_type_embeddings.weight"}, c_.type_vocab_size, hidden));
    bert_.type_ = {static_cast<const float*>(types.data), {hidden}};
    ASSIGN_OR_RETURN(bert_.embedding_norm_, Norm(p + "LayerNorm"));
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) {
      ASSIGN_OR_RETURN(Bert::Layer layer, Layer(fmt::format("{}encoder.layer.{}.", root, i)));
      bert_.layers_.push_back(layer);
    }
    return source_.CheckAllUsed([&](std::string_view name) {
      return name == p + "position_ids" || name.starts_with(root + "pooler.") ||
             name.starts_with("cls.") || name.starts_with("lm_head.");
    });
  }

 private:
  Result<Bert::Layer> Layer(const std::string& p) {
    const int64_t hidden = c_.hidden_size;
    const int64_t wide = c_.intermediate_size;
    const std::string a = p + "attention.";
    Bert::Layer layer;
    ASSIGN_OR_RETURN(layer.qkv,
                     Dense({a + "self.query", a + "self.key", a + "self.value"}, hidden, hidden));
    ASSIGN_OR_RETURN(layer.attended, Dense({a + "output.dense"}, hidden, hidden));
    ASSIGN_OR_RETURN(layer.attention_norm, Norm(a + "output.LayerNorm"));
    ASSIGN_OR_RETURN(layer.up, Dense({p + "intermediate.dense"}, wide, hidden));
    ASSIGN_OR_RETURN(layer.down, Dense({p + "output.dense"}, hidden, wide));
    ASSIGN_OR_RETURN(layer.output_norm, Norm(p + "output.LayerNorm"));
    return layer;
  }

  Result<Bert::LayerNorm> Norm(const std::string& name) {
    Bert::LayerNorm norm;
    ASSIGN_OR_RETURN(norm.weight, Floats({name + ".weight"}, c_.hidden_size));
    ASSIGN_OR_RETURN(norm.shift, Floats({name + ".bias"}, c_.hidden_size));
    return norm;
  }

  // Layers of one input, each [rows, cols], one below the other.
  Result<Bert::Dense> Dense(const std::vector<std::string>& names, int64_t rows, int64_t cols) {
    std::vector<std::string> weights, biases;
    for (const std::string& name : names) {
      weights.push_back(name + ".weight");
      biases.push_back(name + ".bias");
    }
    Bert::Dense dense;
    ASSIGN_OR_RETURN(dense.weight, Matrix(weights, rows, cols));
    ASSIGN_OR_RETURN(dense.bias, Floats(biases, rows));
    return dense;
  }

  Result<Bert::Weight> Matrix(const std::vector<std::string>& names, int64_t rows, int64_t cols) {
    ASSIGN_OR_RETURN(const float* data, Read(names, {rows, cols}));
    return Bert::Weight{
        .data = data, .rows = static_cast<int64_t>(names.size()) * rows, .cols = cols};
  }
  Result<Bert::Vector> Floats(const std::vector<std::string>& names, int64_t size) {
    ASSIGN_OR_RETURN(const float* data, Read(names, {size}));
    return Bert::Vector(data, {static_cast<int64_t>(names.size()) * size});
  }

  // Tensors of one shape, one behind the other. Nothing is allocated before a file has confirmed it.
  Result<const float*> Read(const std::vector<std::string>& names,
                            const std::vector<int64_t>& shape) {
    float* to = nullptr;
    int64_t filled = 0;
    for (const std::string& name : names) {
      // As an embedding: FP8, which needs scales, is refused.
      ASSIGN_OR_RETURN(const SourceTensor tensor, source_.Get(name, shape, TensorRole::kEmbedding));
      const int64_t size = tensor.rows() * tensor.cols();
      if (to == nullptr) to = bert_.Allocate(static_cast<int64_t>(names.size()) * size);
      kernels::ConvertToFloat(to + filled, tensor.data, tensor.dtype, 0, size);
      filled += size;
    }
    return to;
  }

  TensorSource& source_;
  const BertConfig& c_;
  Bert& bert_;
};

Result<std::unique_ptr<Bert>> Bert::Load(const std::string& dir, const BertConfig& config,
                                         int64_t tokens_max, int threads) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(dir));
  const std::unique_ptr<TensorSource> source = MakeCheckpointSource(*checkpoint);
  std::unique_ptr<Bert> bert(new Bert(config, tokens_max, threads));
  RETURN_IF_ERROR(BertLoader(*source, config, *bert).LoadAll());
  bert->AllocateBuffers();  // last: by now the files have confirmed config.json's sizes
  return bert;
}

Bert::Bert(const BertConfig& config, int64_t tokens_max, int threads)
    : config_(config), tokens_max_(tokens_max), pool_(threads) {}

void Bert::AllocateBuffers() {
  const int64_t hidden = config_.hidden_size;
  const auto rows = [&](int64_t width) {
    return Rows(Allocate(tokens_max_ * width), {tokens_max_, width});
  };
  hidden_ = rows(hidden);
  mixed_ = rows(hidden);
  attended_ = rows(hidden);
  qkv_ = rows(3 * hidden);
  wide_ = rows(config_.intermediate_size);
  position_ids_.resize(static_cast<size_t>(tokens_max_));
  const int64_t heads = config_.num_attention_heads;
  const size_t scratch = cpu::SelfAttentionWorkspaceBytes(tokens_max_, heads, hidden / heads);
  float* const workspace = Allocate(static_cast<int64_t>(scratch / sizeof(float)));
  exec_ = {.pool = &pool_, .workspace = {reinterpret_cast<std::byte*>(workspace), scratch}};
}

float* Bert::Allocate(int64_t count) {
  floats_ += static_cast<size_t>(count);
  memory_.push_back(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(count)));
  return memory_.back().get();
}

Result<kernels::View<const float, 2>> Bert::Forward(std::span<const int32_t> ids,
                                                    std::span<const int32_t> ends,
                                                    const std::function<bool()>& stop) {
  const auto tokens = static_cast<int64_t>(ids.size());
  CHECK(tokens > 0 && tokens <= tokens_max_ && !ends.empty() && ends.back() == tokens);
  int32_t row = 0;
  for (const int32_t end : ends) {
    CHECK(end >= row && end - row <= config_.positions());
    auto position = static_cast<int32_t>(config_.first_position);
    for (; row < end; ++row)
      position_ids_[row] = ids[row] == config_.padding_id ? config_.padding_id : position++;
  }
  const Rows hidden = hidden_.Rows(0, tokens);
  const Rows mixed = mixed_.Rows(0, tokens);
  cpu::Embedding(mixed, ids, words_, exec_);
  cpu::Embedding(hidden, std::span(position_ids_).first(ids.size()), positions_, exec_);
  cpu::AddLayerNorm(hidden, mixed, type_, hidden, embedding_norm_.weight, embedding_norm_.shift,
                    config_.layer_norm_eps, exec_);
  for (const Layer& layer : layers_) {
    if (stop()) return MakeError(ErrorCode::kDeadlineExceeded, "the encoder was not done in time");
    RunLayer(layer, tokens, ends);
  }
  return kernels::View<const float, 2>(hidden);
}

void Bert::RunLayer(const Layer& layer, int64_t tokens, std::span<const int32_t> ends) {
  const Rows hidden = hidden_.Rows(0, tokens);
  const Rows mixed = mixed_.Rows(0, tokens);
  const Rows attended = attended_.Rows(0, tokens);
  const Rows qkv = qkv_.Rows(0, tokens);
  const Rows wide = wide_.Rows(0, tokens);
  const float eps = config_.layer_norm_eps;
  cpu::Linear(qkv, hidden, layer.qkv.weight, exec_);
  cpu::AddBias(qkv, layer.qkv.bias, exec_);
  cpu::SelfAttention(attended, qkv, ends, config_.num_attention_heads, exec_);
  cpu::Linear(mixed, attended, layer.attended.weight, exec_);
  cpu::AddLayerNorm(hidden, mixed, layer.attended.bias, hidden, layer.attention_norm.weight,
                    layer.attention_norm.shift, eps, exec_);
  cpu::Linear(wide, hidden, layer.up.weight, exec_);
  cpu::AddBiasGelu(wide, layer.up.bias, exec_);
  cpu::Linear(mixed, wide, layer.down.weight, exec_);
  cpu::AddLayerNorm(hidden, mixed, layer.down.bias, hidden, layer.output_norm.weight,
                    layer.output_norm.shift, eps, exec_);
}

}  // namespace nextgate::engine
