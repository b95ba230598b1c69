#include "gateway/upstream/sse_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace nextgate::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Data(std::string_view bytes) {
  SseParser parser;
  std::vector<SseEvent> events;
  EXPECT_TRUE(parser.Feed(bytes, events));
  std::vector<std::string> data;
  for (const SseEvent& event : events)
    data.push_back(event.type.empty() ? event.data : event.type + "|" + event.data);
  return data;
}

TEST(SseParser, LinesEndWithAnyOfTheThree) {
  for (const std::string end : {"\n", "\r\n", "\r"})
    EXPECT_THAT(Data("data: a" + end + end + "data: b" + end + end), ElementsAre("a", "b"));
  EXPECT_THAT(Data("data: a\r\n\ndata: b\n\r\ndata: c\r\r"), ElementsAre("a", "b", "c"));
}

TEST(SseParser, FieldsAreReadAsTheStandardSays) {
  EXPECT_THAT(Data("data:a\n\ndata: b\n\ndata:  c\n\n"), ElementsAre("a", "b", " c"));
  EXPECT_THAT(Data("data: a\ndata: b\n\n"), ElementsAre("a\nb"));
  EXPECT_THAT(Data("data\ndata\n\n"), ElementsAre("\n"));
  EXPECT_THAT(Data("data\n\n"), ElementsAre(""));
  EXPECT_THAT(Data("event: error\ndata: x\n\ndata: y\n\n"), ElementsAre("error|x", "y"));
  EXPECT_THAT(Data("\xEF\xBB\xBF"
                   "data: a\n\n"),
              ElementsAre("a"));
}

TEST(SseParser, CommentsUnknownFieldsAndEventsWithoutDataAreNothing) {
  EXPECT_THAT(Data(": ping\n\nid: 1\nretry: 3\n\nevent: x\n\n\n\nnodata: 1\n\n"), IsEmpty());
  EXPECT_THAT(Data(": ping\ndata: a\n: pong\nid: 7\n\n"), ElementsAre("a"));
  EXPECT_THAT(Data("event: x\n\ndata: a\n\n"), ElementsAre("a"));  // its type is forgotten
}

TEST(SseParser, AnEventThatIsCutOffIsNoneAndIsNoticed) {
  SseParser parser;
  std::vector<SseEvent> events;
  ASSERT_TRUE(parser.Feed("data: a\n\n", events));
  EXPECT_FALSE(parser.InEvent());
  ASSERT_TRUE(parser.Feed("data: b", events));
  EXPECT_TRUE(parser.InEvent());
  ASSERT_TRUE(parser.Feed("\n", events));
  EXPECT_TRUE(parser.InEvent());
  EXPECT_EQ(events.size(), 1u);
  ASSERT_TRUE(parser.Feed("\n", events));
  EXPECT_FALSE(parser.InEvent());
  EXPECT_EQ(events.size(), 2u);
}

TEST(SseParser, WhereTheBytesAreSplitMakesNoDifference) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string_view pieces[] = {"data", ":",      " ", "\n",  "\r",   "\r\n",   "event",
                                     "x",    "[DONE]", "{", "\"}", "\n\n", "data: ", "\xC3\xA9"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) text += pieces[random() % std::size(pieces)];
    SseParser split;
    std::vector<SseEvent> events;
    for (size_t at = 0; at < text.size();) {
      const size_t size = random() % 5;
      ASSERT_TRUE(split.Feed(std::string_view(text).substr(at, size), events));
      at += size;
    }
    std::vector<std::string> data;
    for (const SseEvent& event : events)
      data.push_back(event.type.empty() ? event.data : event.type + "|" + event.data);
    ASSERT_EQ(data, Data(text)) << ::testing::PrintToString(text);
  }
}

TEST(SseParser, AnEventBeyondTheLimitEndsItWhateverItsLines) {
  for (const std::string line :
       {"data: 0123456789\n", "data: 01234567890123456789012345678901234"}) {
    SseParser parser(32);
    std::vector<SseEvent> events;
    ASSERT_TRUE(parser.Feed("data: ok\n\n", events));
    Status status;
    for (int i = 0; i < 5 && status; ++i) status = parser.Feed(line, events);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kDataLoss);
    EXPECT_EQ(events.size(), 1u);
    EXPECT_FALSE(parser.Feed("\n\ndata: x\n\n", events));
    EXPECT_EQ(events.size(), 1u);
  }
}

}  // namespace
}  // namespace nextgate::gateway
