#include "tests/support/seeded_texts.h"

#include <array>
#include <cstdio>

#include "engine/tokenizer/utf8.h"

namespace nextgate::testing {
namespace {

std::array<uint32_t, 256> CrcTable() {
  std::array<uint32_t, 256> table;
  for (uint32_t i = 0; i < 256; ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
  }
  return table;
}

}  // namespace

void Crc::Add(const std::vector<int32_t>& ids) {
  AddWord(static_cast<uint32_t>(ids.size()));
  for (const int32_t id : ids) AddWord(static_cast<uint32_t>(id));
}

std::string Crc::Hex() const {
  char text[9];
  std::snprintf(text, sizeof(text), "%08x", ~state_);
  return text;
}

void Crc::AddWord(uint32_t word) {
  static const std::array<uint32_t, 256> table = CrcTable();
  for (int shift = 0; shift < 32; shift += 8)
    state_ = table[(state_ ^ word >> shift) & 0xFF] ^ state_ >> 8;
}

uint64_t SplitMix64::Below(uint64_t n) {
  uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return (z ^ z >> 31) % n;
}

const Ranges& RangesOf(const std::string& family) {
  static const Ranges random = {
      {0x20, 0x7E},     {0x20, 0x7E},     {0x20, 0x7E},     {0x09, 0x0D},       {0xA0, 0x24F},
      {0x2B0, 0x52F},   {0x590, 0x6FF},   {0x900, 0xDFF},   {0x1E00, 0x206F},   {0x3000, 0x30FF},
      {0x4E00, 0x9FFF}, {0xAC00, 0xD7A3}, {0xF900, 0xFFEF}, {0x10000, 0x1FFFF}, {0x0, 0x10FFFF}};
  static const Ranges spaces = {
      {0x20, 0x20}, {0x20, 0x20},     {0x20, 0x20},     {0x09, 0x0D}, {0x0A, 0x0A},  {0x85, 0x85},
      {0xA0, 0xA0}, {0x2000, 0x200B}, {0x2028, 0x2029}, {0x61, 0x63}, {0x31, 0x32},  {0x27, 0x27},
      {0x2E, 0x2E}, {0x73, 0x74},     {0x17F, 0x17F},   {0xE9, 0xE9}, {0x301, 0x301}};
  static const Ranges combining = {
      {0x41, 0x7A},       {0x300, 0x36F},    {0x300, 0x36F},     {0xC0, 0x1EF},
      {0x591, 0x5F4},     {0x610, 0x65F},    {0x8D0, 0x8FF},     {0x93C, 0x95F},
      {0x9BC, 0x9DF},     {0xBBE, 0xBD7},    {0xF71, 0xF84},     {0x1025, 0x103A},
      {0x1100, 0x1112},   {0x1161, 0x1175},  {0x11A8, 0x11C2},   {0xAC00, 0xAC40},
      {0x1AB0, 0x1ACE},   {0x1DC0, 0x1DFF},  {0x1E00, 0x1FFF},   {0x20D0, 0x20F0},
      {0x3040, 0x309F},   {0xFB1D, 0xFB4F},  {0x11099, 0x110BA}, {0x11930, 0x11943},
      {0x1D15E, 0x1D172}, {0x1D1BB, 0x1D1C0}};
  return family == "random" ? random : family == "spaces" ? spaces : combining;
}

std::string FamilyString(SplitMix64* numbers, const Ranges& ranges) {
  std::string text;
  for (uint64_t n = 1 + numbers->Below(40); n > 0; --n) {
    const auto [first, last] = ranges[numbers->Below(ranges.size())];
    const uint32_t c = first + static_cast<uint32_t>(numbers->Below(last - first + 1));
    engine::AppendUtf8(c >= 0xD800 && c < 0xE000 ? 0xFFFD : c, &text);
  }
  return text;
}

std::string Utf8(uint32_t scalar) {
  std::string text;
  engine::AppendUtf8(scalar, &text);
  return text;
}

}  // namespace nextgate::testing
