#include "engine/encoder/scripts.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

enum Named : int32_t {
  kCommon,
  kLatin,
  kGreek,
  kCyrillic,
  kArmenian,
  kHebrew,
  kArabic,
  kDevanagari,
  kGeorgian,
  kHangul,
  kEthiopic,
  kKana,
  kHan,
  kUnnamed,  // + the number of the block of 128
};

// Scalars from `first` to the next row's belong to `script`; kUnnamed: by their block.
struct Range {
  uint32_t first;
  Named script;
};
constexpr Range kRanges[] = {
    {0, kCommon},         {'A', kLatin},       {'Z' + 1, kCommon},    {'a', kLatin},
    {'z' + 1, kCommon},   {0xAA, kLatin},      {0xAB, kCommon},       {0xBA, kLatin},
    {0xBB, kCommon},      {0xC0, kLatin},      {0xD7, kCommon},       {0xD8, kLatin},
    {0xF7, kCommon},      {0xF8, kLatin},      {0x2B0, kCommon},      {0x370, kGreek},
    {0x400, kCyrillic},   {0x530, kArmenian},  {0x590, kHebrew},      {0x600, kArabic},
    {0x700, kUnnamed},    {0x750, kArabic},    {0x780, kUnnamed},     {0x870, kArabic},
    {0x900, kDevanagari}, {0x980, kUnnamed},   {0x10A0, kGeorgian},   {0x1100, kHangul},
    {0x1200, kEthiopic},  {0x13A0, kUnnamed},  {0x1C80, kCyrillic},   {0x1C90, kGeorgian},
    {0x1CC0, kUnnamed},   {0x1E00, kLatin},    {0x1F00, kGreek},      {0x2000, kCommon},
    {0x2C00, kUnnamed},   {0x2C60, kLatin},    {0x2C80, kUnnamed},    {0x2D00, kGeorgian},
    {0x2D30, kUnnamed},   {0x2D80, kEthiopic}, {0x2DE0, kCyrillic},   {0x2E00, kCommon},
    {0x2E80, kHan},       {0x2FF0, kCommon},   {0x3005, kHan},        {0x3008, kCommon},
    {0x3040, kKana},      {0x3100, kUnnamed},  {0x3130, kHangul},     {0x3190, kCommon},
    {0x31F0, kKana},      {0x3200, kCommon},   {0x3400, kHan},        {0x4DC0, kCommon},
    {0x4E00, kHan},       {0xA000, kUnnamed},  {0xA640, kCyrillic},   {0xA6A0, kUnnamed},
    {0xA720, kLatin},     {0xA800, kUnnamed},  {0xA8E0, kDevanagari}, {0xA900, kUnnamed},
    {0xA960, kHangul},    {0xA980, kUnnamed},  {0xAB00, kEthiopic},   {0xAB30, kLatin},
    {0xAB70, kUnnamed},   {0xAC00, kHangul},   {0xD800, kCommon},     {0xF900, kHan},
    {0xFB00, kLatin},     {0xFB13, kArmenian}, {0xFB1D, kHebrew},     {0xFB50, kArabic},
    {0xFE00, kCommon},    {0xFE70, kArabic},   {0xFEFF, kCommon},     {0xFF21, kLatin},
    {0xFF3B, kCommon},    {0xFF41, kLatin},    {0xFF5B, kCommon},     {0xFF66, kKana},
    {0xFFA0, kHangul},    {0xFFE0, kCommon},   {0x10000, kUnnamed},   {0x1D000, kCommon},
    {0x1E000, kUnnamed},  {0x1F000, kCommon},  {0x20000, kHan},       {0x40000, kCommon},
};
static_assert(std::ranges::is_sorted(kRanges, {}, &Range::first));

constexpr double kWordShareMin = 0.002;  // of an alphabet's words in the vocabulary
constexpr double kHanShareMin = 0.04;

struct Piece {
  int32_t script = kCommon;  // of its first letter that has one
  int64_t letters = 0;       // that have one
};

Piece Read(std::string_view text) {
  Piece piece;
  for (size_t at = 0; at < text.size();) {
    const int32_t script = ScriptOf(NextScalar(text, &at));
    if (script == kCommon) continue;
    if (piece.letters++ == 0) piece.script = script;
  }
  return piece;
}

}  // namespace

int32_t ScriptOf(uint32_t scalar) {
  const Named script =
      std::prev(std::ranges::upper_bound(kRanges, scalar, {}, &Range::first))->script;
  return script == kUnnamed ? kUnnamed + static_cast<int32_t>(scalar >> 7) : script;
}

std::vector<bool> SpelledOnly(const Vocabulary& vocabulary, std::string_view continuation) {
  std::vector<int32_t> scripts;
  std::map<int32_t, int64_t> words;  // by script
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    std::string_view spelling = vocabulary.Spelling(id);
    const bool begins = continuation.empty() || !spelling.starts_with(continuation);
    if (!begins) spelling.remove_prefix(continuation.size());
    const Piece piece = Read(spelling);
    scripts.push_back(piece.script);
    if (piece.script == kHan || (begins && piece.letters >= 2)) ++words[piece.script];
  }
  const auto share = [&](int32_t script) {
    return static_cast<double>(words[script]) / static_cast<double>(scripts.size());
  };
  std::vector<bool> spelled;
  for (const int32_t script : scripts)
    spelled.push_back(script != kCommon &&
                      share(script) < (script == kHan ? kHanShareMin : kWordShareMin));
  return spelled;
}

}  // namespace nextgate::engine
