// Which scripts a vocabulary has words of. A WordPiece vocabulary made from English text has most
// letters of the world as pieces of one letter, so a Russian or Japanese text is not unknown to it, but
// only spelled: its embedding says little more than that it is Russian or Japanese.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/tokenizer/vocabulary.h"

namespace nextgate::engine {

// 0: common to all (digits, punctuation, symbols, marks); else an arbitrary number that the letters of
// one script share. By Unicode blocks; blocks that are not named in scripts.cc are a script each.
int32_t ScriptOf(uint32_t scalar);

// By id: the token consists of letters of a script that the vocabulary cannot say more of than letters.
// That is so of an alphabet or a syllabary if less than 0.2 % of the vocabulary begins a word with two
// letters or more, and of Han if less than 4 % of it is Han (bert-base-uncased: no such words but
// Latin ones, 0.8 % · 2 Han; bert-base-chinese: a third · 2).
std::vector<bool> SpelledOnly(const Vocabulary& vocabulary, std::string_view continuation);

}  // namespace nextgate::engine
