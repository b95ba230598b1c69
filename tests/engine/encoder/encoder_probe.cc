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

namespace nextgate::engine {
namespace {

template <class T>
std::string AsBytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

int Serve(const char* dir) {
  const auto encoder = SentenceEncoder::Open(dir, /*threads=*/2);
  const auto wordpiece = WordPiece::Open(dir);
  if (!encoder || !wordpiece) {
    std::fprintf(stderr, "%s\n", (!encoder ? encoder.error() : wordpiece.error()).message.c_str());
    return 1;
  }
  char op;
  uint32_t length;
  while (std::fread(&op, 1, 1, stdin) == 1 && std::fread(&length, sizeof(length), 1, stdin) == 1) {
    std::vector<std::string> texts(1, std::string(length, '\0'));
    if (std::fread(texts[0].data(), 1, length, stdin) != length) return 1;
    std::string answer;
    if (op == 'E') {
      if (const auto embeddings = (*encoder)->Encode(texts))
        answer = AsBytes((*embeddings)[0].values);
    } else {
      const int64_t tokens_max = op == 'T' ? (*encoder)->tokens_max() : INT32_MAX;
      answer = AsBytes((*wordpiece)->Encode(texts[0], tokens_max).ids);
    }
    const uint32_t size = static_cast<uint32_t>(answer.size());
    std::fwrite(&size, sizeof(size), 1, stdout);
    std::fwrite(answer.data(), 1, answer.size(), stdout);
    std::fflush(stdout);
  }
  return 0;
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
