#include "gateway/admin/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/admin/cli_print.h"

namespace nextgate::gateway::admin {
namespace {

using ::testing::HasSubstr;
using Args = std::vector<std::string>;

TEST(AdminCommandLine, IsTakenApart) {
  const Args args = {"entries", "--order", "hits",  "--min-hits=3",      "--older_than",
                     "60",      "--json",  "--url", "http://127.0.0.1:9"};
  const auto line = ParseAdminCommandLine(args);
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->command, "entries");
  EXPECT_EQ(line->options, (std::map<std::string, std::string>{
                               {"order", "hits"}, {"min-hits", "3"}, {"older-than", "60"}}));
  EXPECT_TRUE(line->json);
  EXPECT_EQ(line->url, "http://127.0.0.1:9");
}

TEST(AdminCommandLine, OptionsOfAllCommandsMayStandBeforeTheCommand) {
  const Args args = {"--url", "http://127.0.0.1:9", "--json", "--key_file=/k",
                     "stats", "--window",           "1m",     "--json"};
  const auto line = ParseAdminCommandLine(args);
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->command, "stats");
  EXPECT_EQ(line->url, "http://127.0.0.1:9");
  EXPECT_EQ(line->key_file, "/k");
  EXPECT_TRUE(line->json);
  EXPECT_EQ(line->options, (std::map<std::string, std::string>{{"window", "1m"}}));
  EXPECT_TRUE(line->positional.empty());
  EXPECT_TRUE(ParseAdminCommandLine(Args{"--json", "--help"})->help);
}

TEST(AdminCommandLine, ErrorsNameWhatThereIs) {
  const std::pair<Args, const char*> wrong[] = {
      {{}, "there are: stats, entries"},
      {{"--url", "http://h:1"}, "no command given; there are: stats"},
      {{"--url"}, "--url: expected a value"},
      {{"--window", "1m", "stats"}, "--window has to stand behind the command"},
      {{"--url", "http://h:1", "stat"}, "unknown command 'stat'"},
      {{"stat"}, "unknown command 'stat'; there are: stats"},
      {{"stats", "--windows", "1m"}, "unknown option --windows; there are: --window"},
      {{"stats", "--window"}, "--window: expected a value"},
      {{"stats", "extra"}, "expected: nextgate admin stats"},
      {{"entry"}, "expected: nextgate admin entry ID"}};
  for (const auto& [args, message] : wrong) {
    const auto line = ParseAdminCommandLine(args);
    ASSERT_FALSE(line);
    EXPECT_THAT(line.error().message, HasSubstr(message));
  }
  EXPECT_TRUE(ParseAdminCommandLine(Args{"entry", "--help"})->help);
  for (const char* command : {"stats", "entries", "entry", "delete", "explain", "export", "import",
                              "prefix", "requests", "config", "keys"}) {
    EXPECT_NE(FindAdminCommand(command), nullptr) << command;
    EXPECT_THAT(AdminHelp(), HasSubstr(command));
  }
}

TEST(AdminPrint, NothingThatClientsChoseSteersTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[31m\x07\x7f\xc2\x9b é 今天\n"), "a?[31m??? é 今天\n");
  const std::string table = Table({{"NAME", "N"}, {"\x1b]0;x\x07", "1"}, {"é", "2\n3"}});
  EXPECT_EQ(table, "NAME    N\n?]0;x?  1\né       2?3\n");
}

TEST(AdminPrint, AnExplanationHasItsCheckpointsInALine) {
  const std::string text = PrefixExplainText(nlohmann::ordered_json::parse(
      R"({"prompts": [{"verdict": "replayed", "why": "so\u001bit is", "prompt_tokens": 700,
          "resumed_from": {"tokens": 256, "kind": "spaced", "hits": 2},
          "checkpoints": [{"tokens": 192, "kind": "border", "hits": 0},
                          {"tokens": 256, "kind": "spaced", "hits": 2}],
          "would_leave": [{"tokens": 640, "kind": "end"}]}]})"));
  EXPECT_THAT(text, HasSubstr("replayed: so?it is\n"));
  EXPECT_THAT(text, HasSubstr("256            spaced  2     resumed from\n"));
  EXPECT_THAT(text, HasSubstr("640            end     -     would be left\n"));
}

TEST(AdminPrint, OneIsNotMany) {
  using nlohmann::ordered_json;
  EXPECT_EQ(
      ReloadedText(ordered_json::parse(
          R"({"reloaded": {"api-key-file": {"keys": 1}, "admin-api-key-file": {"keys": 2}}})")),
      "--api-key-file: 1 key\n--admin-api-key-file: 2 keys\n");
  EXPECT_THAT(InvalidatedText(ordered_json::parse(
                  R"({"dry_run": true, "memory": 1, "redis": null, "id": "x", "shared": null})")),
              HasSubstr("it would be 1 answer in the instance's memory"));
}

TEST(AdminPrint, StatsSayWhyTheyAreNotTheClusters) {
  const auto stats = nlohmann::ordered_json::parse(R"({"scope": "instance", "note": "why\u001b"})");
  EXPECT_THAT(StatsTable(stats), HasSubstr("\nwhy?\n"));
}

TEST(AdminPrint, TablesTakeAnyJson) {
  for (
      const char* text :
      {"{}", R"({"hits": 3, "groups": [], "instances": [null]})",
       R"({"entries": [{"scope": null, "id": 7}], "keys": [1], "tiers": {}, "prompts": [7, {}]})"}) {
    const auto json = nlohmann::ordered_json::parse(text);
    for (const auto print : {StatsTable, EntriesTable, EntryText, ExplainText, RequestsTable,
                             ConfigText, KeysTable, PrefixStatsTable, PrefixResetText})
      EXPECT_FALSE(print(json).empty());
    (void)PrefixExplainText(json);
  }
}

}  // namespace
}  // namespace nextgate::gateway::admin
