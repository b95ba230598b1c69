#include "gateway/base64.h"

#include <gtest/gtest.h>

#include <limits>

namespace nextgate::gateway {
namespace {

TEST(Base64, IsThatOfTheRfc) {
  const std::pair<std::string, std::string> pairs[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"},
                                                       {"\xff\xfe\xfd", "//79"}};
  for (const auto& [bytes, text] : pairs) {
    EXPECT_EQ(EncodeBase64(bytes), text);
    EXPECT_EQ(DecodeBase64(text), bytes);
  }
}

TEST(Base64, EveryByteComesBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    bytes += static_cast<char>(i * 7);
    EXPECT_EQ(DecodeBase64(EncodeBase64(bytes)), bytes);
  }
}

TEST(Base64, AnythingElseIsRefused) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "Zm8",
                           "=Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm-_", "Zm 9"})
    EXPECT_EQ(DecodeBase64(text), std::nullopt) << text;
}

TEST(Base64, VectorsAreFloatsWithTheLeastSignificantByteFirst) {
  const std::vector<float> values = {1, -0.5f, std::numeric_limits<float>::denorm_min()};
  EXPECT_EQ(FloatsToBase64(values), "AACAPwAAAL8BAAAA");
  EXPECT_EQ(FloatsFromBase64("AACAPwAAAL8BAAAA"), values);
  EXPECT_EQ(FloatsFromBase64("AACA"), std::nullopt) << "not whole floats";
  EXPECT_EQ(FloatsFromBase64(""), std::vector<float>());
}

}  // namespace
}  // namespace nextgate::gateway
