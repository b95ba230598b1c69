// A program that answers another one's questions over its standard streams, until they end: each question is one
// letter, the length of its payload (u32, native byte order) and the payload; each answer a length and as many
// bytes. tests/golden/compare_tokenizer.py has the other side.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace nextgate::testing {

// `answer(op, payload)` gives the bytes. Returns the exit code: 1 if a question was cut off.
template <class Answer>
int ServeProbe(const Answer& answer) {
  char op;
  uint32_t length;
  while (std::fread(&op, 1, 1, stdin) == 1 && std::fread(&length, sizeof(length), 1, stdin) == 1) {
    std::string payload(length, '\0');
    if (std::fread(payload.data(), 1, length, stdin) != length) return 1;
    const std::string bytes = answer(op, payload);
    const uint32_t size = static_cast<uint32_t>(bytes.size());
    std::fwrite(&size, sizeof(size), 1, stdout);
    std::fwrite(bytes.data(), 1, bytes.size(), stdout);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace nextgate::testing
