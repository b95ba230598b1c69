// A text cut into words, numbers and signs: the first half of AnalyseQuestion, which knows characters and no
// meanings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nextgate::cache {

enum class PieceKind : uint8_t {
  kWord,    // of an alphabet: letters, also with digits and inner "-" taken apart; "c++", "node.js"
  kHan,     // a word of the Chinese lists, or one character
  kNumber,  // begins with a digit: "1,000" (as "1000"), "2.5", "1.2.3", "5:30", "10k", "2nd"
  kSign,    // an operator, a currency, an emoji: one character
  kComma,
  kStop,  // the end of a sentence
};

struct Piece {
  PieceKind kind = PieceKind::kWord;
  std::string text;       // lower case, NFKC
  bool capital = false;   // begins with a capital letter
  bool all_caps = false;  // two letters or more, all of them capital
  bool first = false;     // of its sentence
  bool quoted = false;    // between double quotes
};

struct Pieces {
  std::vector<Piece> pieces;
  size_t latin = 0, han = 0, other = 0;  // letters
};

// nullopt: not UTF-8, or more than 30 combining marks in a row.
std::optional<Pieces> CutText(std::string_view text);

}  // namespace nextgate::cache
