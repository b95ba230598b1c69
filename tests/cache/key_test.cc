#include "cache/key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

namespace nextgate::cache {
namespace {

using nlohmann::json;

std::string Canon(std::string_view text) {
  auto canonical = Canonicalise(json::parse(text));
  EXPECT_TRUE(canonical.has_value()) << text;
  return canonical.value_or("");
}

TEST(CanonicalRequest, SortsKeysAndWritesOneFormOfEverything) {
  EXPECT_EQ(Canon(R"( { "top_p" : 1.0, "temperature": 1e-1, "prompt": "cafe\u0301 \"x\"\n",
                       "endpoint":"/v1/completions", "max_tokens": 1.6e1, "seed": null } )"),
            R"({"endpoint":"/v1/completions","max_tokens":16,"prompt":"café \"x\"\u000a",)"
            R"("temperature":0.1,"top_p":1})");
}

// Left and right: the same number or not. Written by hand from the values, not by any printer.
TEST(CanonicalRequest, NumbersAreEqualIffTheirValuesAre) {
  const auto number = [](const std::string& text) { return Canon(R"({"seed":)" + text + "}"); };
  const std::pair<const char*, const char*> equal[] = {
      {"1", "1.0"},
      {"1", "1e0"},
      {"10", "1E+1"},
      {"0", "-0"},
      {"0", "-0.0"},
      {"0", "0e5"},
      {"0.1", "1e-1"},
      {"0.1", "0.1000"},
      {"-2.5", "-25e-1"},
      {"1e15", "1000000000000000"},
      {"9007199254740992", "9007199254740992.0"},
      {"9223372036854775808", "9.223372036854775808e18"},
      {"18446744073709549568", "1.8446744073709549568e19"},
      {"1e300", "10e299"},
      {"5e-324", "4.9e-324"}};
  for (const auto& [a, b] : equal) EXPECT_EQ(number(a), number(b)) << a << " and " << b;
  const std::pair<const char*, const char*> different[] = {
      {"1", "-1"},
      {"1", "1.0000000000000002"},
      {"0.1", "0.10000000000000002"},
      {"9007199254740992", "9007199254740993"},  // one double, two integers
      {"18446744073709551614", "18446744073709551615"},
      {"-9223372036854775808", "-9223372036854775807"},
      {"0", "5e-324"},
      {"1", "true"},
      {"1", "\"1\""}};
  for (const auto& [a, b] : different) EXPECT_NE(number(a), number(b)) << a << " and " << b;
  EXPECT_EQ(number("18446744073709551615"), R"({"seed":18446744073709551615})");
  EXPECT_EQ(number("-9223372036854775808"), R"({"seed":-9223372036854775808})");
}

TEST(CanonicalRequest, NormalisesOnlyTextTheTokenizerNormalises) {
  // é composed and decomposed, and a Hangul syllable against its jamo.
  EXPECT_EQ(Canon(R"({"messages":[{"role":"user","content":"\u00e9\ud55c"}]})"),
            Canon(R"({"messages":[{"role":"user","content":"e\u0301\u1112\u1161\u11ab"}]})"));
  EXPECT_EQ(Canon(R"({"tools":[{"d":"\u00e9"}]})"), Canon(R"({"tools":[{"d":"e\u0301"}]})"));
  // Compatibility characters are other text: NFC, not NFKC.
  EXPECT_NE(Canon(R"({"prompt":"\ufb01"})"), Canon(R"({"prompt":"fi"})"));
  // A stop string is compared with the output byte by byte.
  EXPECT_NE(Canon(R"({"stop":["\u00e9"]})"), Canon(R"({"stop":["e\u0301"]})"));
  // An echoed prompt comes back as it was written.
  EXPECT_EQ(Canon(R"({"prompt":"\u00e9","echo":false})"),
            Canon(R"({"prompt":"e\u0301","echo":false})"));
  EXPECT_NE(Canon(R"({"prompt":"\u00e9","echo":true})"),
            Canon(R"({"prompt":"e\u0301","echo":true})"));
  // Keys that differ only in form are two keys, and both are kept.
  EXPECT_NE(Canon(R"({"tools":[{"\u00e9":1,"e\u0301":2}]})"), Canon(R"({"tools":[{"\u00e9":1}]})"));
  // NUL and controls inside a text are part of it.
  EXPECT_NE(Canon(R"({"prompt":"a\u0000\u00e9b"})"), Canon(R"({"prompt":"a\u0000\u00e9c"})"));
  EXPECT_NE(Canon(R"({"prompt":"a\u0000\u00e9b"})"), Canon(R"({"prompt":"a"})"));
}

TEST(CanonicalRequest, TextCannotImitateStructure) {
  EXPECT_NE(Canon(R"({"prompt":"a\",\"seed\":1,\"x\":\"b"})"), Canon(R"({"prompt":"a","seed":1})"));
  EXPECT_NE(Canon(R"({"stop":["a","b"]})"), Canon(R"({"stop":["a\",\"b"]})"));
  EXPECT_NE(Canon(R"({"prompt":"\\n"})"), Canon(R"({"prompt":"\n"})"));
  EXPECT_NE(Canon(R"({"stop":[]})"), Canon(R"({"stop":{}})"));
  EXPECT_NE(Canon(R"({"prompt":[1,23]})"), Canon(R"({"prompt":[12,3]})"));
}

TEST(CanonicalRequest, AnUnknownFieldMakesItIneligibleByName) {
  const auto canonical = Canonicalise(json::parse(R"({"prompt":"x","vendor_magic":3})"));
  ASSERT_FALSE(canonical.has_value());
  EXPECT_EQ(canonical.error().reason, Reason::kUnknownField);
  EXPECT_EQ(canonical.error().detail, "vendor_magic");
}

TEST(CanonicalRequest, DeepNestingIsIneligibleAndHarmless) {
  json deep = 1;
  for (int i = 0; i < 5000; ++i) deep = json::array({std::move(deep)});
  json request = json::object();
  request["chat_template_kwargs"] = std::move(deep);
  const auto canonical = Canonicalise(request);
  ASSERT_FALSE(canonical.has_value());
  EXPECT_EQ(canonical.error().reason, Reason::kTooDeep);
}

TEST(CanonicalRequest, FieldListsAreDisjointAndSorted) {
  std::set<std::string_view> all;
  for (const auto list : {RelevantFields(), IrrelevantFields()}) {
    EXPECT_TRUE(std::ranges::is_sorted(list));
    for (const auto name : list) EXPECT_TRUE(all.insert(name).second) << name;
  }
}

// The generated property: a request is a map from relevant field to an abstract value. It is
// written as JSON text in many ways (order, spaces, number and Unicode forms, escapes, irrelevant
// fields, nulls for what is absent) by a printer that shares nothing with the code under test. Two
// texts of one request have one key; changing any one relevant field changes it.
class Texts {
 public:
  explicit Texts(uint32_t seed) : random_(seed) {}

  using Request = std::map<std::string, int>;  // field → id of a value; equal ids, equal values

  Request Generate() {
    Request request;
    for (const auto name : RelevantFields())
      if (Below(3) == 0) request[std::string(name)] = Below(kNumValues);
    return request;
  }
  Request Mutate(Request request, std::string& what) {
    const auto fields = RelevantFields();
    what = std::string(fields[Below(static_cast<int>(fields.size()))]);
    const auto found = request.find(what);
    if (found == request.end()) {
      request[what] = Below(kNumValues);
    } else if (Below(4) == 0) {
      request.erase(found);
    } else {
      found->second = (found->second + 1 + Below(kNumValues - 1)) % kNumValues;
    }
    return request;
  }

  std::string Write(const Request& request) {
    std::vector<std::string> members;
    for (const auto& [name, value] : request)
      members.push_back(Quote(name) + Space() + ":" + Space() + Value(value));
    for (const auto name : IrrelevantFields())
      if (Below(2) == 0)
        members.push_back(Quote(std::string(name)) + ":" + Value(Below(kNumValues)));
    for (const auto name : RelevantFields())
      if (!request.contains(std::string(name)) && Below(8) == 0)
        members.push_back(Quote(std::string(name)) + ":null");
    return Join(members, '{', '}');
  }

 private:
  static constexpr int kNumValues = 16;

  int Below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  template <size_t N>
  std::string OneOf(const char* const (&forms)[N]) {
    return forms[Below(N)];
  }
  std::string Space() { return OneOf({"", " ", "\n", "\t "}); }

  std::string Quote(const std::string& ascii) {
    std::string out = "\"";
    for (const char c : ascii) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      out += Below(10) == 0 ? std::string(escape) : std::string(1, c);
    }
    return out + '"';
  }

  std::string Join(std::vector<std::string> parts, char open, char close) {
    std::ranges::shuffle(parts, random_);
    std::string out(1, open);
    for (size_t i = 0; i < parts.size(); ++i) out += (i ? "," : "") + Space() + parts[i] + Space();
    return out + close;
  }

  // Every case is one value in several spellings. Unicode forms only where both forms are one byte
  // string (an escape or the character), because not every field is normalised.
  std::string Value(int id) {
    switch (id) {
      case 0:
        return OneOf({"0", "-0", "0.0", "-0.0", "0e3"});
      case 1:
        return OneOf({"1", "1.0", "1e0", "10e-1", "1.000"});
      case 2:
        return OneOf({"0.7", "7e-1", "0.70", "70E-2"});
      case 3:
        return "9007199254740993";
      case 4:
        return OneOf({"9007199254740992", "9007199254740992.0", "9.007199254740992e15"});
      case 5:
        return "true";
      case 6:
        return "false";
      case 7:
        return OneOf({"\"\\u00e9t\\u00e9\"", "\"été\"", "\"\\u00E9té\""});
      case 8:
        return OneOf({"\"\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00\"", "\"\\uD83D\\uDE00\""});
      case 9:
        return OneOf({"\"a/b\"", "\"a\\/b\"", "\"\\u0061/b\""});
      case 10:
        return OneOf({"[]", "[ ]", "[\n]"});
      case 11:
        return OneOf({"{}", "{ }"});
      case 12:
        return "[1," + Space() + "2" + Space() + "]";
      case 13:
        return "[2,1" + Space() + "]";
      case 14:
        return Join({Quote("name") + ":" + Value(7), Quote("size") + ":" + Value(1)}, '{', '}');
      default:
        return Join({Quote("name") + ":" + Value(7), Quote("size") + ":" + Value(2)}, '{', '}');
    }
  }

  std::mt19937 random_;
};

TEST(CanonicalRequest, GeneratedPairsAreEqualIffTheRequestsAre) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Texts texts(seed);
  int changed = 0;
  for (int round = 0; round < 3000; ++round) {
    const Texts::Request request = texts.Generate();
    const std::string a = texts.Write(request);
    const std::string b = texts.Write(request);
    ASSERT_EQ(Canon(a), Canon(b)) << a << "\n" << b;
    // Canonical text is JSON of the same request: canonicalising it again changes nothing.
    ASSERT_EQ(Canon(Canon(a)), Canon(a));

    std::string field;
    const Texts::Request other = texts.Mutate(request, field);
    const std::string c = texts.Write(other);
    ASSERT_EQ(Canon(a) == Canon(c), request == other) << field << "\n" << a << "\n" << c;
    changed += request != other;
  }
  EXPECT_GT(changed, 2500);
}

TEST(CanonicalRequest, EveryRelevantFieldCountsAndNoIrrelevantOne) {
  json base = json::object();
  for (const auto name : RelevantFields()) base[std::string(name)] = 1;
  const std::string before = *Canonicalise(base);
  for (const auto name : RelevantFields()) {
    json changed = base;
    changed[std::string(name)] = 2;
    EXPECT_NE(*Canonicalise(changed), before) << name;
    changed.erase(std::string(name));
    EXPECT_NE(*Canonicalise(changed), before) << name;
  }
  for (const auto name : IrrelevantFields()) {
    json changed = base;
    changed[std::string(name)] = json::array({1, "x"});
    EXPECT_EQ(*Canonicalise(changed), before) << name;
  }
}

// Constants from Python: hmac.new(secret, b"4:acme8:research4:zo\xc3\xab0:", sha256) and
// xxhash.xxh3_128_hexdigest(partition + "\n" + canonical). Another process, another implementation.
TEST(CacheKey, IsTheSameInEveryProcess) {
  const Partitioner partitioner("secret of two instances");
  const std::string partition =
      partitioner.Partition({.tenant = "acme", .team = "research", .user = "zoë"}, "f00d");
  EXPECT_EQ(partition, "e3996f4d256fd7ae85508c4e5506a6415e27a9803f4c64dd4cb37351123bb4a9:f00d");
  const std::string canonical =
      Canon(R"({"endpoint":"/v1/completions","max_tokens":16,"prompt":"caf\u00e9 \"x\"\n",)"
            R"("temperature":0.1,"top_p":1})");
  const CacheKey key = MakeKey(partition, canonical);
  EXPECT_EQ(key.hash.Hex(), "5c60e5517affa53d9a8bd544193c0e21");
  EXPECT_EQ(key.material, partition + "\n" + canonical);
}

TEST(Partitioner, ScopesSecretsAndModelsDoNotMeet) {
  const Partitioner one("one");
  const Partitioner two("two");
  const Scope scope{.tenant = "ab", .team = "c"};
  std::set<std::string> partitions = {
      one.Partition(scope, "m"),
      one.Partition({.tenant = "a", .team = "bc"}, "m"),
      one.Partition({.tenant = "abc"}, "m"),
      one.Partition({.tenant = "ab", .user = "c"}, "m"),
      one.Partition({.tenant = "ab", .name_space = "c"}, "m"),
      one.Partition({.tenant = "ab1:c"}, "m"),
      one.Partition({}, "m"),
      one.Partition(scope, "n"),
      two.Partition(scope, "m"),
  };
  EXPECT_EQ(partitions.size(), 9u);
  EXPECT_EQ(one.Partition(scope, "m"), one.Partition(scope, "m"));
  EXPECT_EQ(one.Partition({.tenant = "visible"}, "m").find("visible"), std::string::npos);
  EXPECT_NE(Partitioner::RandomSecret(), Partitioner::RandomSecret());
  EXPECT_EQ(Partitioner::RandomSecret().size(), 32u);
}

}  // namespace
}  // namespace nextgate::cache
