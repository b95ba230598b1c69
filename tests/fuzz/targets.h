// What each fuzz target does with one input: it goes through the real readers with their real limits, and
// what comes out must keep what the headers promise. A broken promise aborts (CHECK). libFuzzer runs them
// (libfuzzer.cc), and test_fuzz replays what was kept of its corpora (corpus_test.cc).
//
// Threads: one at a time.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

namespace nextgate::testing {

void FuzzRequest(std::string_view input);     // bodies of generating requests
void FuzzCanonical(std::string_view input);   // keys, cache controls, the normalised tier
void FuzzEntry(std::string_view input);       // what instances exchange and export
void FuzzUpstream(std::string_view input);    // what an upstream's bytes go through
void FuzzAdmin(std::string_view input);       // the admin API's parameters, key files, flags, TOML
void FuzzPrefix(std::string_view input);      // what is asked of the prefix cache
void FuzzCheckpoint(std::string_view input);  // files of a checkpoint
void FuzzEncoder(std::string_view input);     // texts and files of the sentence encoder

struct FuzzTarget {
  const char* name;  // of its folder below corpus/
  void (*run)(std::string_view input);
};

inline constexpr FuzzTarget kFuzzTargets[] = {
    {"request", FuzzRequest},   {"canonical", FuzzCanonical}, {"entry", FuzzEntry},
    {"upstream", FuzzUpstream}, {"admin", FuzzAdmin},         {"checkpoint", FuzzCheckpoint},
    {"prefix", FuzzPrefix},     {"encoder", FuzzEncoder},
};

// The first byte, which picks what is read: "0" the first one. Takes it off; 0 if there is none.
inline size_t TakeChoice(std::string_view& input, size_t choices) {
  if (input.empty()) return 0;
  const auto byte = static_cast<unsigned char>(input.front() - '0');
  input.remove_prefix(1);
  return byte % choices;
}

// What stands before the next `end`, which is taken too.
inline std::string_view TakeUntil(std::string_view& input, char end) {
  const size_t at = std::min(input.find(end), input.size());
  const std::string_view part = input.substr(0, at);
  input.remove_prefix(std::min(at + 1, input.size()));
  return part;
}

}  // namespace nextgate::testing
