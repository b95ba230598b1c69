// What the real encoder's embeddings are good for, script by script: skipped where scripts/models.sh has
// not fetched it.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "cache/semantic/eligibility.h"
#include "engine/encoder/sentence_encoder.h"
#include "gateway/encoder_embedder.h"

namespace nextgate::gateway {
namespace {

using cache::IneligibleFor;
using cache::SemanticIneligible;

const std::string kMiniLm = NEXTGATE_DEPS_PREFIX "/share/minilm";

// Two questions with nothing in common. all-MiniLM-L6-v2 gives these pairs cosines up to 1 (Thai, which
// is one unknown word), 0.6 to 0.9 where it knows the letters.
struct Unrelated {
  const char* script;
  std::string one, other;
};
const std::vector<Unrelated> kUnsupported = {
    {"Chinese", "如何重置我的密码？", "明天北京的天气怎么样？"},
    {"Chinese, traditional", "怎樣取消我的訂閱？", "法國的首都是哪裡？"},
    {"Japanese", "パスワードを忘れました。どうすればいいですか？",
     "東京から大阪まで何時間かかりますか？"},
    {"Hiragana", "どうやってつくるのですか", "あしたはあめがふりますか"},
    {"Korean", "비밀번호를 어떻게 재설정하나요?", "내일 서울 날씨는 어떤가요?"},
    {"Arabic", "كيف أعيد تعيين كلمة المرور؟", "ما هي عاصمة فرنسا؟"},
    {"Hindi", "मैं अपना पासवर्ड कैसे बदलूँ?", "फ्रांस की राजधानी क्या है?"},
    {"Russian", "Как мне сбросить пароль?", "Какая погода будет завтра в Москве?"},
    {"Thai", "ฉันจะเปลี่ยนรหัสผ่านได้อย่างไร", "เมืองหลวงของฝรั่งเศสคืออะไร"},
    {"Greek", "Πώς αλλάζω τον κωδικό μου;", "Ποια είναι η πρωτεύουσα της Γαλλίας;"},
    {"Hebrew", "איך מאפסים את הסיסמה שלי?", "מהי בירת צרפת?"},
    {"Bengali", "আমি কীভাবে আমার পাসওয়ার্ড বদলাব?", "ফ্রান্সের রাজধানী কী?"},
    {"Tamil", "என் கடவுச்சொல்லை எப்படி மாற்றுவது?", "பிரான்சின் தலைநகரம் எது?"},
    {"Georgian", "როგორ შევცვალო პაროლი?", "რა არის საფრანგეთის დედაქალაქი?"},
    {"Armenian", "Ինչպե՞ս փոխել գաղտնաբառը", "Ո՞րն է Ֆրանսիայի մայրաքաղաքը"},
    {"Amharic", "የይለፍ ቃሌን እንዴት እቀይራለሁ?", "የፈረንሳይ ዋና ከተማ ምንድን ነው?"},
    {"Chinese with a word of English", "如何重置我的 password？", "我的 password 在哪里可以用？"},
    {"English with a word of Russian", "How do I say спасибо in English?",
     "How do I say привет in English?"},
};

const std::vector<std::string> kSupported = {
    "How do I reset my password?",
    "What is the capital of France?",
    "hi",
    "Is a naïve café owner's résumé worth €20?",
    "Convert 15 km/h to mph, please :-)",
    "My iPhone 15 Pro's screen won't turn on – what now?",
    "What does \"schadenfreude\" mean?",
    "supercalifragilisticexpialidocious",
};

class ScriptsOfMiniLm : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kMiniLm + "/modules.json"))
      GTEST_SKIP() << "no " << kMiniLm << "; scripts/models.sh minilm fetches it";
    auto encoder = engine::SentenceEncoder::Open(kMiniLm, 2);
    ASSERT_TRUE(encoder) << encoder.error().message;
    embedder_ = std::make_unique<EncoderEmbedder>("minilm", std::move(*encoder));
  }
  cache::Embedding Of(const std::string& text) {
    auto embeddings = embedder_->Embed(std::vector{text}, cache::Embedder::Deadline::max());
    EXPECT_TRUE(embeddings);
    return embeddings ? std::move(embeddings->front()) : cache::Embedding{};
  }
  std::unique_ptr<cache::Embedder> embedder_;
};

TEST_F(ScriptsOfMiniLm, UnrelatedQuestionsInScriptsItOnlySpellsAreRefused) {
  double highest = 0;
  for (const Unrelated& pair : kUnsupported) {
    const cache::Embedding one = Of(pair.one), other = Of(pair.other);
    double cosine = 0;
    for (size_t d = 0; d < one.values.size(); ++d) cosine += one.values[d] * other.values[d];
    highest = std::max(highest, cosine);
    EXPECT_EQ(IneligibleFor(pair.one, one), SemanticIneligible::kUnsupportedScript) << pair.one;
    EXPECT_EQ(IneligibleFor(pair.other, other), SemanticIneligible::kUnsupportedScript)
        << pair.other;
  }
  EXPECT_GT(highest, 0.9) << "what they are refused for";
}

TEST_F(ScriptsOfMiniLm, EnglishIsNot) {
  for (const std::string& text : kSupported)
    EXPECT_EQ(IneligibleFor(text, Of(text)), std::nullopt) << text;
}

TEST_F(ScriptsOfMiniLm, WhatIsCutOffIsTooLong) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "word ";
  EXPECT_EQ(IneligibleFor(text, Of(text)), SemanticIneligible::kTooLong);
  EXPECT_EQ(IneligibleFor(" ? ", Of(" ? ")), SemanticIneligible::kEmpty);
}

}  // namespace
}  // namespace nextgate::gateway
