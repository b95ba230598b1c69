// A pipe to the sentence encoder, for tests/golden/compare_encoder.py: requests on stdin, answers on
// stdout, in order. Request: one letter, u32 length, text. Answer: u32 length, payload. Native byte
// order.
//   T  text → ids (i32) as the encoder cuts them
//   N  text → all its ids (i32)
//   E  text → its embedding (f32)
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/encoder/sentence_encoder.h"
#include "tests/support/probe.h"

namespace nextgate::engine {
namespace {

template <class T>
std::string AsBytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

int Serve(const char* dir) {
  const auto encoder = SentenceEncoder::Open(dir, /*threads=*/2);
  const auto tokenizer = TextTokenizer::Open(dir);
  if (!encoder || !tokenizer) {
    std::fprintf(stderr, "%s\n", (!encoder ? encoder.error() : tokenizer.error()).message.c_str());
    return 1;
  }
  return testing::ServeProbe([&](char op, const std::string& text) -> std::string {
    if (op == 'E') {
      const auto embeddings = (*encoder)->Encode(std::vector{text});
      return embeddings ? AsBytes((*embeddings)[0].values) : "";
    }
    const int64_t tokens_max = op == 'T' ? (*encoder)->tokens_max() : INT32_MAX;
    return AsBytes((*tokenizer)->Encode(text, tokens_max).ids);
  });
}

}  // namespace
}  // namespace nextgate::engine

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: encoder_probe DIRECTORY\n");
    return 2;
  }
  return nextgate::engine::Serve(argv[1]);
}
