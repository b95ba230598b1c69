// What a sentence encoder's directory says about itself: the network (config.json) and what
// sentence-transformers does around it (modules.json and the files of its modules). Nothing of it is
// trusted: every field is checked for type, range and agreement with the others; what is not
// supported is refused by name rather than computed differently.
//
// Source: BertConfig and XLMRobertaConfig in Hugging Face transformers; SentenceTransformer, Transformer, Pooling and
// Normalize in sentence-transformers.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace nextgate::engine {

struct BertConfig {
  int64_t hidden_size = 0;  // H
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t intermediate_size = 0;  // F
  int64_t vocab_size = 0;         // V
  int64_t max_position_embeddings = 0;
  int64_t type_vocab_size = 0;
  float layer_norm_eps = 1e-12f;
  // XLM-RoBERTa: a text's positions begin behind that of padding, and a padding token that is typed
  // has the padding's and does not count.
  int64_t first_position = 0;
  int32_t padding_id = -1;  // -1: there is no such token

  int64_t positions() const { return max_position_embeddings - first_position; }  // of a text
};

enum class Pooling { kMean, kCls };

struct EncoderConfig {
  std::string transformer_dir;  // where config.json, the weights and tokenizer.json lie
  BertConfig bert;
  Pooling pooling = Pooling::kMean;
  bool normalise = false;  // to length 1
  std::string prompt;      // before every text: that of default_prompt_name, or empty
  int64_t tokens_max = 0;  // of a text, special tokens and prompt included; longer ones are cut
};

// kNotFound: a file is missing; kDataLoss: one is broken; kUnimplemented: another network, pooling
// or module than those named here. Messages name the file and the field.
Result<EncoderConfig> ReadEncoderConfig(const std::string& dir);

}  // namespace nextgate::engine
