// What one question says, and the words it says it with.
#include "cache/semantic/question_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cache/semantic/word_tables.h"

namespace nextgate::cache {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Stems(std::string_view text) {
  std::vector<std::string> stems;
  for (const ContentWord& word : AnalyseQuestion(text).content) stems.push_back(word.stem);
  return stems;
}

TEST(QuestionText, SaysWhatItIsAbout) {
  EXPECT_THAT(Stems("Could you please tell me where my cards are?"), ElementsAre("card"));
  EXPECT_THAT(Stems("请问怎么修改密码"), ElementsAre("修改", "密码"));
  EXPECT_THAT(AnalyseQuestion("5 kg, 3rd of May, $20").numbers, ElementsAre("5 kg", "3", "20 usd"));
  EXPECT_THAT(AnalyseQuestion("in May or on Monday").dates, ElementsAre("m5", "d1"));
  EXPECT_THAT(AnalyseQuestion("may I march?").dates, IsEmpty());
  EXPECT_THAT(AnalyseQuestion("每周一上午").dates, ElementsAre("d1", "t1"));
}

TEST(QuestionText, CountsNegations) {
  EXPECT_EQ(AnalyseQuestion("It isn't, it can't, it won't").negations, 3);
  EXPECT_EQ(AnalyseQuestion("dont do it without me").negations, 2);
  EXPECT_EQ(AnalyseQuestion("好不好").negations, 0);
  EXPECT_EQ(AnalyseQuestion("这样不好").negations, 1);
  EXPECT_EQ(AnalyseQuestion("我不同意").negations, 1);
  EXPECT_EQ(AnalyseQuestion("You are right, aren't you?").negations, 0);
}

TEST(QuestionText, NamesAreWhatItsCapitalsDoNotExplain) {
  const Question question = AnalyseQuestion("Reset my Gmail on the iphone13");
  ASSERT_EQ(question.content.size(), 3U);
  EXPECT_FALSE(question.content[0].name);
  EXPECT_TRUE(question.content[1].name);
  EXPECT_TRUE(question.content[2].name);
  for (const ContentWord& word : AnalyseQuestion("How To Reset My Password").content)
    EXPECT_FALSE(word.name) << word.text;
}

TEST(QuestionText, KnowsWhoAsksForWhat) {
  EXPECT_TRUE(AnalyseQuestion("What time does it open?").has(Closed::kWhen));
  EXPECT_TRUE(AnalyseQuestion("What is the way to do it?").has(Closed::kHow));
  EXPECT_TRUE(AnalyseQuestion("Is it open?").form.yes_no);
  EXPECT_FALSE(AnalyseQuestion("Can you open it?").form.yes_no);
  EXPECT_TRUE(AnalyseQuestion("能开门吗").form.yes_no);
  EXPECT_FALSE(AnalyseQuestion("Could you tell me a joke").has(Closed::kSecondPerson));
}

TEST(QuestionText, ScriptsAreToldApart) {
  EXPECT_EQ(AnalyseQuestion("naïve café").script, Script::kLatin);
  EXPECT_EQ(AnalyseQuestion("打开wifi").script, Script::kHan);
  EXPECT_EQ(AnalyseQuestion("привет").script, Script::kOther);
  EXPECT_EQ(AnalyseQuestion("天気はどう").script, Script::kOther);
  EXPECT_EQ(AnalyseQuestion("12 + 3").script, Script::kNone);
  EXPECT_FALSE(AnalyseQuestion("a\xff").utf8);
}

TEST(WordTables, StemsOfOneWordAreEqual) {
  for (const auto& [a, b] :
       std::vector<std::pair<std::string, std::string>>{{"cards", "card"},
                                                        {"charging", "charge"},
                                                        {"charged", "charge"},
                                                        {"stopped", "stop"},
                                                        {"cities", "city"},
                                                        {"applied", "apply"},
                                                        {"stolen", "stealing"},
                                                        {"connection", "connect"},
                                                        {"adding", "added"},
                                                        {"used", "using"},
                                                        {"declined", "decline"},
                                                        {"cancelled", "canceling"},
                                                        {"children", "child"},
                                                        {"quickly", "quick"},
                                                        {"updating", "update"}})
    EXPECT_EQ(StemOf(a), StemOf(b)) << a;
  for (const auto& [a, b] : std::vector<std::pair<std::string, std::string>>{
           {"plan", "plane"}, {"past", "paste"}, {"hardly", "hard"}, {"bus", "bu"}})
    EXPECT_NE(StemOf(a), StemOf(b)) << a;
}

TEST(WordTables, OppositesAreMutualAndNeverSynonyms) {
  for (const auto& [a, b] :
       std::vector<std::pair<std::string, std::string>>{{"buy", "sell"},
                                                        {"cheapest", "expensive"},
                                                        {"hotter", "cold"},
                                                        {"买", "卖"},
                                                        {"up", "down"}}) {
    const std::string x = StemOf(a), y = StemOf(b);
    EXPECT_TRUE(AreOpposites(x, y)) << a;
    EXPECT_TRUE(AreOpposites(y, x)) << a;
    EXPECT_FALSE(AreSynonyms(x, y)) << a;
  }
  EXPECT_FALSE(AreOpposites("buy", "buy"));
  EXPECT_TRUE(IsNegatedForm("unhealthy", "healthy"));
  EXPECT_TRUE(IsNegatedForm("careful", "careless"));
  EXPECT_TRUE(IsNegatedForm("install", "uninstalled"));
  EXPECT_FALSE(IsNegatedForm("car", "care"));
}

TEST(QuestionForm, SaysWhatKindOfAnswerIsWanted) {
  const auto form = [](std::string_view text) { return AnalyseQuestion(text).form; };
  EXPECT_EQ(form("Which cards are there and when do they come?").asks, Closed::kWhat);
  EXPECT_EQ(form("Which cards are there and when do they come?").also_asks,
            uint32_t{1} << static_cast<uint32_t>(Closed::kWhen));
  EXPECT_TRUE(form("What cards are there?").which);
  EXPECT_FALSE(form("What is the fee?").which);
  EXPECT_TRUE(form("How many cards are there?").how_many);
  EXPECT_TRUE(form("What number of cards are there?").how_many);
  EXPECT_EQ(form("What is a mortgage?").what_is, Determiner::kIndefinite);
  EXPECT_EQ(form("What is my mortgage?").what_is, Determiner::kOwn);
  EXPECT_EQ(form("What is the code for?").asks, Closed::kWhy);
  EXPECT_EQ(form("Is there a reason to wait?").asks, Closed::kWhy);
  EXPECT_EQ(form("Do I need anything for the visa?").asks, Closed::kWhat);
  EXPECT_EQ(form("Where can I get that?").asks, Closed::kWhere);
  for (const char* whether :
       {"Is it open?", "On Sundays, is it open?", "If it rains, is there a bus?",
        "Please check whether it is open", "can you check if it is open"})
    EXPECT_TRUE(form(whether).yes_no) << whether;
  for (const char* other : {"Can you send it?", "It is open.", "Why is it open?", "open the door"})
    EXPECT_FALSE(form(other).yes_no) << other;
  EXPECT_EQ(form("Can my brother come?").subject, StemOf("brother"));
  EXPECT_EQ(form("Can I come?").subject, "i");
  EXPECT_TRUE(form("The door was opened.").statement);
  EXPECT_FALSE(form("I would like the door to be opened.").statement);
  EXPECT_TRUE(form("please open the door").order);
  EXPECT_FALSE(form("door not opening").order);
  EXPECT_TRUE(form("I won't do it").will_not);
}

}  // namespace
}  // namespace nextgate::cache
