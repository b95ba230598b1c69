// What a Unigram tokenizer.json does to a text before it cuts it: a sequence of the normalizers that
// XLM-R's files and their like have, each as `tokenizers` applies it.
//
// Threads: immutable; const methods may be called from any thread.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/encoder/charsmap.h"

namespace nextgate::engine {

class UnigramNormalizer {
 public:
  struct Strip {  // of white space
    bool left = false, right = false;
  };
  struct ReplaceText {
    std::string text, by;  // text: not empty
  };
  struct ReplaceSpaces {  // runs of two or more spaces
    std::string by;
  };
  enum class Form { kNfc, kNfd };
  using Step = std::variant<Charsmap, Strip, ReplaceText, ReplaceSpaces, Form>;

  UnigramNormalizer() = default;  // changes nothing
  explicit UnigramNormalizer(std::vector<Step> steps);

  // `first`, `last`: whether `text` begins a segment, or ends one, see may_cut(); only there a Strip
  // strips. REQUIRES: valid UTF-8.
  std::string Normalize(std::string_view text, bool first, bool last) const;

  // True if a segment may be normalised in parts, cut before any ASCII space that stands between two
  // printable characters of ASCII other than spaces.
  bool may_cut() const { return may_cut_; }
  // True if a normalised text may begin with something other than what the text began with.
  bool moves_begin() const;

 private:
  std::vector<Step> steps_;
  bool may_cut_ = true;
};

}  // namespace nextgate::engine
