#include "engine/model/step.h"

#include "engine/model/config.h"

namespace nextgate::engine {

kernels::CheckpointLayout CheckpointLayoutOf(const ModelConfig& config,
                                             kernels::StateFormat format) {
  return {.format = format,
          .layers = config.num_linear_layers(),
          .heads = config.linear_num_value_heads,
          .key_dim = config.linear_key_head_dim,
          .value_dim = config.linear_value_head_dim,
          .channels = config.conv_channels(),
          .taps_kept = config.linear_conv_kernel_dim - 1};
}

}  // namespace nextgate::engine
