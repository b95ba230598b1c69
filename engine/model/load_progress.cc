#include "engine/model/load_progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace nextgate::engine {
namespace {

constexpr double kGb = 1e9;

double Rate(int64_t bytes, double seconds) {
  return static_cast<double>(bytes) / std::max(seconds, 1e-3);
}

// SwiGLU: gate and up [width, H], down [H, width].
int64_t MlpParameters(const ModelConfig& c, int64_t width) { return 3 * width * c.hidden_size; }

int64_t MixerParameters(const ModelConfig& c, LayerType type) {
  if (type == LayerType::kFullAttention) {
    const int64_t q = c.num_attention_heads * c.head_dim;
    const int64_t kv = c.num_key_value_heads * c.head_dim;
    return (3 * q + 2 * kv) * c.hidden_size + 2 * c.head_dim;
  }
  const int64_t qkvz = 2 * c.key_channels() + 2 * c.value_channels();
  const int64_t ba = 2 * c.linear_num_value_heads;
  return (qkvz + ba + c.value_channels()) * c.hidden_size +
         c.conv_channels() * c.linear_conv_kernel_dim + 2 * c.linear_num_value_heads +
         c.linear_value_head_dim;
}

int64_t LayerParameters(const ModelConfig& c, LayerType type, bool sparse) {
  int64_t count = 2 * c.hidden_size + MixerParameters(c, type);
  if (!sparse) return count + MlpParameters(c, c.intermediate_size);
  count += c.num_experts * (c.hidden_size + MlpParameters(c, c.moe_intermediate_size));
  if (c.shared_expert_intermediate_size > 0)
    count += c.hidden_size + MlpParameters(c, c.shared_expert_intermediate_size);
  return count;
}

}  // namespace

std::string FormatLoading(int64_t bytes_done, int64_t bytes_total, double seconds) {
  const double rate = Rate(bytes_done, seconds);
  const auto left = static_cast<double>(std::max<int64_t>(bytes_total - bytes_done, 0));
  std::string out =
      fmt::format("{:.2f} of {:.2f} GB, {:.2f} GB/s", static_cast<double>(bytes_done) / kGb,
                  static_cast<double>(std::max(bytes_total, bytes_done)) / kGb, rate / kGb);
  if (left > 0 && rate > 0) out += fmt::format(", {:.0f} s remaining", left / rate);
  return out;
}

std::string FormatLoaded(int64_t bytes, double seconds) {
  const auto size = static_cast<double>(bytes);
  const std::string amount = size < 0.1 * kGb ? fmt::format("{:.1f} MB", size / 1e6)
                                              : fmt::format("{:.2f} GB", size / kGb);
  return fmt::format("{} in {:.1f} s, {:.2f} GB/s", amount, seconds, Rate(bytes, seconds) / kGb);
}

int64_t ParameterCount(const ModelConfig& c, bool with_mtp) {
  int64_t count = c.vocab_size * c.hidden_size * (c.tie_word_embeddings ? 1 : 2) + c.hidden_size;
  for (size_t i = 0; i < c.layer_types.size(); ++i)
    count += LayerParameters(c, c.layer_types[i], c.sparse_layers[i]);
  if (with_mtp)
    count += 2 * c.hidden_size * c.hidden_size + 3 * c.hidden_size +
             c.num_nextn_predict_layers *
                 LayerParameters(c, LayerType::kFullAttention, c.num_experts > 0);
  return count;
}

void LoadProgress::Add(int64_t bytes) {
  bytes_ += bytes;
  const auto now = Clock::now();
  if (now - last_ < std::chrono::seconds(2)) return;
  last_ = now;
  LogInfo("loading weights: {}", FormatLoading(bytes_, bytes_total_, Seconds()));
}

void LoadProgress::Done() const { LogInfo("loaded weights: {}", FormatLoaded(bytes_, Seconds())); }

}  // namespace nextgate::engine
