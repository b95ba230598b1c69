// The question sets of the simulation: what was asked, what counts as the same, and for every
// question its nearest others.
//
// A dump is a folder with
//   texts.json   a list of N distinct questions
//   vectors.f32  their embeddings, float32 [N, 384], of length 1
//   rows.tsv     set TAB label TAB index into texts
// Of equal texts in a set one is kept. Truth is "the same intent"; a question out of scope
// (sets clinc_oos_*) is the same as no other.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace nextgate::semantic_verifier {

struct Neighbour {
  int32_t question = 0;
  float cosine = 0;
};

struct Questions {
  static constexpr int32_t kOutOfScope = -1;
  static constexpr size_t kNear = 192;

  std::string name;
  std::vector<int32_t> label;     // [Q]
  std::vector<uint8_t> even;      // [Q], which half it is of
  std::vector<std::string> text;  // [Q]
  std::vector<float> vectors;     // [Q, 384]
  std::vector<Neighbour> near;    // [Q, kNear], the nearest first; cosine -2: there is none

  // [Q, kNear], whether it is refused: 1, 0, or -1: not looked at yet.
  std::unique_ptr<std::atomic<int8_t>[]> refused;

  size_t size() const { return label.size(); }
  float Cosine(int32_t a, int32_t b) const;
  // A gate that looks at texts refuses the answer of `stored` for `asked`; of the kNear it is remembered.
  bool Refused(int32_t asked, int32_t stored) const;
  bool Same(int32_t a, int32_t b) const { return label[a] != kOutOfScope && label[a] == label[b]; }
};

enum class Half { kEven, kOdd, kBoth };  // by the hash of a question's text

// `set`: "banking77", "clinc150", "mixed". Neighbours are computed on `threads` threads.
Result<Questions> LoadQuestions(const std::string& dump, std::string_view set, Half half,
                                int threads);

}  // namespace nextgate::semantic_verifier
