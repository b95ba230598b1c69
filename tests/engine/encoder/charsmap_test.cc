// Charsmaps made by hand, sound and broken; the genuine ones are in the goldens.
#include "engine/encoder/charsmap.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace nextgate::engine {
namespace {

// A double array in which each node has a block of 256 units of its own.
struct Map {
  std::vector<uint32_t> units = std::vector<uint32_t>(256, 0);
  std::string texts;
  std::map<std::string, uint32_t> node = {{"", 0}};  // by prefix: its unit

  uint32_t Base(const std::string& prefix) const {
    return node.at(prefix) ^ (units[node.at(prefix)] >> 10);
  }
  void Lead(uint32_t unit, uint32_t to) { units[unit] = (units[unit] & 0x3FF) | (unit ^ to) << 10; }
  void AddNode(const std::string& prefix) {
    if (prefix.empty()) return;
    const std::string parent = prefix.substr(0, prefix.size() - 1);
    AddNode(parent);
    if (node.contains(prefix)) return;
    if (units[node.at(parent)] >> 10 == 0) {
      Lead(node.at(parent), static_cast<uint32_t>(units.size()));
      units.resize(units.size() + 256);
    }
    const auto label = static_cast<uint8_t>(prefix.back());
    node[prefix] = Base(parent) ^ label;
    units[node[prefix]] |= label;
  }
  Map& Add(const std::string& key, const std::string& text) {
    AddNode(key);
    if (units[node.at(key)] >> 10 == 0) {
      Lead(node.at(key), static_cast<uint32_t>(units.size()));
      units.resize(units.size() + 256);
    }
    units[node.at(key)] |= 1U << 8;
    units[Base(key)] = 1U << 31 | static_cast<uint32_t>(texts.size());
    texts += text + '\0';
    return *this;
  }
  std::string Bytes() const {
    const auto size = static_cast<uint32_t>(units.size() * sizeof(uint32_t));
    std::string out(reinterpret_cast<const char*>(&size), sizeof(size));
    out.append(reinterpret_cast<const char*>(units.data()), size);
    return out + texts;
  }
};

Charsmap Parsed(const Map& map) {
  auto parsed = Charsmap::Parse(map.Bytes());
  EXPECT_TRUE(parsed) << parsed.error().message;
  return *std::move(parsed);
}

std::string ErrorOf(const std::string& bytes) {
  const auto parsed = Charsmap::Parse(bytes);
  if (parsed) return "";
  EXPECT_EQ(parsed.error().code, ErrorCode::kDataLoss);
  return parsed.error().message;
}

Map Small() { return Map().Add("é", "e\u0301").Add("ﬁ", "fi").Add("\u00AD", "").Add("好", "x"); }

TEST(Charsmap, ExchangesWhatItHasAndLeavesTheRest) {
  const Charsmap map = Parsed(Small());
  EXPECT_TRUE(map.keeps_ascii());
  EXPECT_EQ(map.Normalize("caf\u00E9 \uFB01x\u00AD 好好 人"), "cafe\u0301 fix xx 人");
  EXPECT_EQ(map.Normalize(std::string("a\0b", 3)), std::string("a\0b", 3));
  EXPECT_EQ(map.Normalize(""), "");
}

// What `tokenizers` does, and SentencePiece does not.
TEST(Charsmap, TheShortestKeyTakesAShortClusterWithIt) {
  const Charsmap map = Parsed(Map().Add("a", "X").Add("a\u0301", "L"));
  EXPECT_FALSE(map.keeps_ascii());
  EXPECT_EQ(map.Normalize("ab"), "Xb");
  EXPECT_EQ(map.Normalize("a\u0301b"), "Xb");
  EXPECT_EQ(map.Normalize("a\u0302\u0301"), "X");
  EXPECT_EQ(map.Normalize("a\u0301\u0301\u0301"), "X\u0301\u0301\u0301");  // seven bytes
}

TEST(Charsmap, WhatIsCutOffIsRefused) {
  const std::string whole = Small().Bytes();
  EXPECT_EQ(ErrorOf(whole), "");
  const size_t array = Small().units.size() * 4 + 4;
  for (size_t size = 0; size < array; size += size < 8 ? 1 : 97)
    EXPECT_NE(ErrorOf(whole.substr(0, size)), "") << size;
  EXPECT_NE(ErrorOf(whole.substr(0, array)), "");      // texts missing
  EXPECT_NE(ErrorOf(whole + "\xC3"), "");              // not UTF-8
  EXPECT_NE(ErrorOf(std::string(4, '\0') + "x"), "");  // no unit
  EXPECT_NE(ErrorOf(std::string("\x05\0\0\0abcdefgh", 12)), "");
}

TEST(Charsmap, AnArrayThatLeadsAstrayIsRefused) {
  Map out = Small();
  out.Lead(out.node.at("ﬁ"), static_cast<uint32_t>(out.units.size()));
  EXPECT_NE(ErrorOf(out.Bytes()).find("leads to"), std::string::npos);
  Map far = Small();
  far.units[far.node.at("ﬁ")] |= 1U << 9 | 0x7FFFFC00;  // the offset times 256
  EXPECT_NE(ErrorOf(far.Bytes()).find("leads to"), std::string::npos);
  Map circle = Small();
  circle.Lead(circle.node.at("\xEF\xAC"), circle.Base("\xEF"));  // "\xEF\xAC\xAC…" has no end
  EXPECT_NE(ErrorOf(circle.Bytes()).find("back to itself"), std::string::npos);
  Map no_text = Small();
  no_text.units[no_text.Base("好")] = 1U << 31 | static_cast<uint32_t>(no_text.texts.size() + 1);
  EXPECT_NE(ErrorOf(no_text.Bytes()).find("has the text at"), std::string::npos);
  Map middle = Small();
  middle.units[middle.Base("好")] = 1U << 31 | 2;  // within U+0301
  EXPECT_NE(ErrorOf(middle.Bytes()).find("has the text at"), std::string::npos);
}

TEST(Base64, IsReadAsTheStandardHasIt) {
  EXPECT_EQ(DecodeBase64(""), "");
  EXPECT_EQ(DecodeBase64("YQ=="), "a");
  EXPECT_EQ(DecodeBase64("YWI="), "ab");
  EXPECT_EQ(DecodeBase64("YWJj"), "abc");
  EXPECT_EQ(DecodeBase64("/+8A"), std::string("\xFF\xEF\0", 3));
  for (const char* broken : {"YQ", "YQ=", "YR==", "Y===", "====", "Y=Q=", "YW-j", "YWJj\n"})
    EXPECT_EQ(DecodeBase64(broken), std::nullopt) << broken;
}

}  // namespace
}  // namespace nextgate::engine
