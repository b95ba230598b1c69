#include "gateway/admin/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/admin/cli_print.h"

namespace nextgate::gateway::admin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
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
  for (const char* command :
       {"stats", "entries", "entry", "delete", "explain", "export", "import", "prefix", "requests",
        "config", "keys", "thresholds", "feedback", "comparator"}) {
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

TEST(AdminPrint, TheComparatorsMistakesAreShownWithTheFlag) {
  const std::string text = ComparatorText(nlohmann::ordered_json::parse(
      R"({"judge": true, "false_same": {"count": 3, "of": 204, "low": 0.003, "high": 0.042},
          "false_different": {"count": 0, "of": 203, "low": 0, "high": 0.018}, "no_label": {"unsupported": 80},
          "mistakes": [{"said": "same", "by": "judge", "kind": "step", "question": "q",
                        "answers": ["Open it.", "Close\u001b it."]}],
          "in_force": "1/1,1/1", "flag": "--cache-comparator-error 3/204,0/203"})"));
  EXPECT_THAT(text, HasSubstr("the judge\n"));
  EXPECT_THAT(text, HasSubstr("3 of 204, 0.3 % to 4.2 % at 95 %\n"));
  EXPECT_THAT(text, HasSubstr("same  judge  step  Open it.  Close? it.\n"));
  EXPECT_THAT(text, HasSubstr("80 unsupported\n"));
  EXPECT_THAT(text, HasSubstr("\n  --cache-comparator-error 3/204,0/203\n"));
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

TEST(AdminPrint, StatsSayHowTheSemanticTierDoes) {
  using nlohmann::ordered_json;
  const char* counts =
      R"("lookups": 7, "outcomes": {"would_serve": 4, "gated": 3},
         "refused_by_gate": {"numbers": 3, "names": 0},
         "wrong_hits": {"served": {"compared": 120, "wrong": 2, "rate": 0.016667, "low": 0.00202, "high": 0.0589},
                        "unproven": {"compared": 0, "wrong": 0, "rate": null, "low": 0, "high": 1}})";
  const std::string without =
      StatsTable(ordered_json::parse(std::string(R"({"semantic": {)") + counts + "}}"));
  EXPECT_THAT(without, Not(HasSubstr("other words")));
  const std::string with = StatsTable(ordered_json::parse(
      std::string(
          R"({"semantic": {"embedder": {"id": "mini\u001bLM", "revision": "r", "dimension": 384},
         "mode": "shadow", "index": {"entries": 5, "groups": 2, "bytes": 2048}, "rejections": 1,
         "served_error": {"compared": 9, "wrong": 0, "rate": 0, "low": 0, "high": 0.3},
         "reembedding": {"done": false, "entries": 6}, )") +
      counts + "}}"));
  for (const char* line :
       {"questions in other words       shadow\n", "mini?LM (r), 384 values\n",
        "5 questions in 2 groups, 2.0 KiB\n", "would_serve", "refused by the gate numbers  3\n",
        "2 of 120 wrong: 1.67 %, at 95 % between 0.20 % and 5.89 %\n", "0 of 0 wrong: -, ",
        "0 of 9 wrong: 0.00 %, between 0.00 % and 30.00 %\n", "under way, 6 questions so far\n"})
    EXPECT_THAT(with, HasSubstr(line)) << with;
  EXPECT_THAT(with, Not(HasSubstr("gate names")));
}

TEST(AdminPrint, AnExplanationSaysWhichGatesRefuse) {
  const std::string text = ExplainText(nlohmann::ordered_json::parse(
      R"({"tiers": [{"tier": "semantic", "verdict": "gated", "mode": "serve", "cosine": 0.91234,
          "threshold": null, "p_right": 0.5, "neighbours": [
            {"id": "00aa", "cosine": 0.91234, "gates": [
              {"gate": "numbers", "on": true, "verdict": "refuse", "detail": "2 is not 3\u001b"},
              {"gate": "names", "on": false, "verdict": "refuse", "detail": "rope"},
              {"gate": "order", "on": true, "verdict": "pass"}]},
            {"id": "00bb", "cosine": 0.7, "gates": [
              {"gate": "order", "on": true, "verdict": "pass"}]}]}]})"));
  EXPECT_THAT(text,
              HasSubstr("mode serve, cosine 0.912, no threshold supported, right with 50.0 %"));
  EXPECT_THAT(text, HasSubstr("00aa       0.912   numbers (2 is not 3?); names, off (rope)\n"));
  EXPECT_THAT(text, HasSubstr("00bb       0.700   no gate\n"));
}

TEST(AdminPrint, ThresholdsThatAreNotKnownAreNotNumbers) {
  using nlohmann::ordered_json;
  const char* head =
      R"({"verifier": "verified", "threshold": null, "error_max": 0.01, "confidence": 0.95,
      "served": {"compared": 0, "wrong": 0, "rate": null, "low": 0, "high": 1}, "suggestions": [)";
  const auto table = [&](const std::string& suggestions) {
    return ThresholdsTable(ordered_json::parse(head + suggestions + "]}"));
  };
  EXPECT_THAT(table(""), HasSubstr("nothing was compared yet"));
  const std::string rows = table(
      R"({"partition": "p", "error_max": 0.005, "threshold": null, "share_served": 0,
          "error": {"compared": 9, "wrong": 0, "rate": 0, "low": 0, "high": 0.28}},
         {"partition": "p", "error_max": 0.05, "threshold": 0.93, "share_served": 0.4,
          "error": {"compared": 80, "wrong": 1, "rate": 0.0125, "low": 0, "high": 0.0458}})");
  EXPECT_THAT(
      rows,
      HasSubstr(
          "p          0.50 %         not known yet  -            9         0      28.00 %\n"));
  EXPECT_THAT(
      rows,
      HasSubstr("p          5.00 %         0.930          40.0 %       80        1      4.58 %\n"));
}

TEST(AdminPrint, FeedbackSaysWhatItDid) {
  using nlohmann::ordered_json;
  EXPECT_EQ(
      FeedbackText(ordered_json::parse(
          R"({"entry": "e", "verdict": "right", "counted": true, "cosine": 0.9, "invalidation": null})")),
      "entry e: right\ncounted as evidence, at a cosine of 0.900\n");
  EXPECT_THAT(
      FeedbackText(ordered_json::parse(
          R"({"entry": "e", "verdict": "wrong", "counted": false, "cosine": null, "invalidation": "r1"})")),
      HasSubstr("it is no evidence\nthe two are never matched again; the entry is invalidated, "
                "record r1\n"));
}

TEST(AdminPrint, TablesTakeAnyJson) {
  for (
      const char* text :
      {"{}", R"({"hits": 3, "groups": [], "instances": [null]})",
       R"({"entries": [{"scope": null, "id": 7}], "keys": [1], "tiers": {}, "prompts": [7, {}]})",
       R"({"semantic": 7, "suggestions": [null, 7], "served": [], "tiers": [7, {"tier": "semantic", "mode": "serve", "neighbours": [7, {"gates": 3}]}]})",
       R"({"semantic": {"embedder": {"id": 7}, "outcomes": 3, "reembedding": null, "wrong_hits": [1]}})"}) {
    const auto json = nlohmann::ordered_json::parse(text);
    for (const auto print :
         {StatsTable, EntriesTable, EntryText, ExplainText, RequestsTable, ConfigText, KeysTable,
          PrefixStatsTable, PrefixResetText, ThresholdsTable, FeedbackText})
      EXPECT_FALSE(print(json).empty());
    (void)PrefixExplainText(json);
  }
}

}  // namespace
}  // namespace nextgate::gateway::admin
