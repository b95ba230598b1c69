// A pipe to the tokenizer, for tests/golden/compare_tokenizer.py: requests on stdin, answers on
// stdout, in order. Request: one letter, u32 length, payload. Answer: u32 length, payload. Native
// byte order.
//   E / e  text → ids (i32), special tokens recognised / not
//   P      pieces ([u8 is_template, u32 length, text]…) → ids
//   D / d  ids → text, special tokens kept / skipped
//   I / i  ids → the outputs of Detokenizer, each followed by 0xFF; the last is Flush's
//   V      text → u8: 1 if it is valid UTF-8
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "engine/tokenizer/detokenizer.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/support/probe.h"

namespace nextgate::engine {
namespace {

std::string AsBytes(const std::vector<int32_t>& ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)};
}

std::vector<int32_t> AsIds(const std::string& bytes) {
  std::vector<int32_t> ids(bytes.size() / sizeof(int32_t));
  std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(int32_t));
  return ids;
}

std::vector<TextPiece> AsPieces(const std::string& bytes) {
  std::vector<TextPiece> pieces;
  for (size_t at = 0; at + 5 <= bytes.size();) {
    uint32_t length;
    std::memcpy(&length, bytes.data() + at + 1, sizeof(length));
    pieces.push_back({bytes.substr(at + 5, length), bytes[at] != 0});
    at += 5 + length;
  }
  return pieces;
}

std::string Incrementally(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip) {
  Detokenizer detokenizer(tokenizer, skip);
  std::string out;
  for (const int32_t id : ids) (out += detokenizer.Add(id)) += '\xFF';
  return (out += detokenizer.Flush()) += '\xFF';
}

std::string Answer(const Tokenizer& tokenizer, char op, const std::string& payload) {
  switch (op) {
    case 'E':
    case 'e':
      return AsBytes(tokenizer.Encode(payload, op == 'E'));
    case 'P':
      return AsBytes(tokenizer.Encode(AsPieces(payload)));
    case 'D':
    case 'd':
      return tokenizer.Decode(AsIds(payload), op == 'd');
    case 'I':
    case 'i':
      return Incrementally(tokenizer, AsIds(payload), op == 'i');
    case 'V':
      return std::string(1, FindInvalidUtf8(payload) ? '\0' : '\1');
  }
  return {};
}

int Serve(const char* dir) {
  const auto tokenizer = Tokenizer::Open(dir);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return 1;
  }
  return testing::ServeProbe(
      [&](char op, const std::string& payload) { return Answer(**tokenizer, op, payload); });
}

}  // namespace
}  // namespace nextgate::engine

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: tokenizer_probe DIRECTORY\n");
    return 2;
  }
  return nextgate::engine::Serve(argv[1]);
}
