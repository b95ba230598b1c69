#include "engine/tokenizer/detokenizer.h"

#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {

std::string Detokenizer::Add(int32_t id) {
  if (skip_special_ && tokenizer_->IsSpecial(id)) return {};
  pending_ += tokenizer_->TokenBytes(id);
  std::string text;
  pending_.erase(0, AppendValidUtf8(pending_, /*whole=*/false, &text));
  return text;
}

std::string Detokenizer::Flush() {
  std::string text;
  AppendValidUtf8(pending_, /*whole=*/true, &text);
  pending_.clear();
  return text;
}

}  // namespace nextgate::engine
