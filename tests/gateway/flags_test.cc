#include "gateway/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

namespace nextgate::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<ParsedServe> Parse(std::vector<std::string> args) { return ParseServeFlags(args); }

ServeOptions Options(std::vector<std::string> args) {
  const auto parsed = Parse(std::move(args));
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? parsed->options : ServeOptions{};
}

std::string ErrorOf(std::vector<std::string> args) {
  const auto parsed = Parse(std::move(args));
  return parsed ? "no error" : parsed.error().message;
}

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = ::testing::TempDir() + name;
  std::ofstream(path) << text;
  return path;
}

TEST(Flags, ReadsALineThatAVllmUserTypes) {
  const auto parsed =
      Parse({"Qwen/Qwen3-Next-80B-A3B-Instruct", "--port", "9000", "--max-model-len=32K",
             "--no-enable-chunked-prefill", "--served_model_name", "a", "b", "--speculative-config",
             R"({"method":"qwen3_next_mtp"})", "--enable-auto-tool-choice", "--tool-call-parser",
             "hermes", "-tp", "1"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->options.model, "Qwen/Qwen3-Next-80B-A3B-Instruct");
  EXPECT_EQ(parsed->options.port, 9000);
  EXPECT_EQ(parsed->options.max_model_len, 32768);
  EXPECT_FALSE(parsed->options.enable_chunked_prefill);
  EXPECT_THAT(parsed->options.served_model_names, ElementsAre("a", "b"));
  EXPECT_THAT(parsed->warnings, ElementsAre(HasSubstr("--enable-auto-tool-choice has no effect"),
                                            HasSubstr("--speculative-config has no effect"),
                                            HasSubstr("--tool-call-parser has no effect")));
}

TEST(Flags, ASharedCacheNeedsAUrlASecretAndNothingSecretOnTheLine) {
  ::unsetenv("NEXTGATE_CACHE_SECRET");
  const std::string secret = WriteFile("secret", "0123456789abcdef\n");
  const std::string url = "redis://127.0.0.1:6380/2";
  const ServeOptions options = Options({"m", "--cache-url", url, "--cache-secret-file", secret});
  EXPECT_EQ(options.cache_url, url);
  EXPECT_EQ(options.cache_secret, "0123456789abcdef");
  EXPECT_EQ(options.cache_namespace, "nextgate");

  EXPECT_THAT(ErrorOf({"m", "--cache-url", url}), HasSubstr("openssl rand -hex 32"));
  EXPECT_THAT(ErrorOf({"m", "--cache-url", "localhost:6379"}),
              HasSubstr("--cache-url: expected redis://"));
  EXPECT_EQ(Options({"m", "--cache-secret-file", secret}).cache_secret, "0123456789abcdef")
      << "for exports and imports without a Redis";
  EXPECT_THAT(ErrorOf({"m", "--cache-password-file", secret}), HasSubstr("needs --cache-url"));
  EXPECT_THAT(ErrorOf({"m", "--cache-url", url, "--cache-secret-file", "/no/such"}),
              HasSubstr("--cache-secret-file /no/such: No such file"));
  EXPECT_THAT(ErrorOf({"m", "--cache-url", url, "--cache-secret-file", ::testing::TempDir()}),
              HasSubstr("cannot be read"));
  EXPECT_THAT(
      ErrorOf({"m", "--cache-url", url, "--cache-secret-file", WriteFile("short", "hunter2")}),
      AllOf(HasSubstr("has 7 bytes; at least 16"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(ErrorOf({"m", "--cache-namespace", "a}b"}), HasSubstr("1 to 64 letters"));

  ::setenv("NEXTGATE_CACHE_SECRET", "from the environment", 1);
  EXPECT_EQ(Options({"m", "--cache-url", url}).cache_secret, "from the environment");
  ::unsetenv("NEXTGATE_CACHE_SECRET");
}

TEST(Flags, AdminKeysAreReadAtOnceAndNeverRepeated) {
  const std::string good = WriteFile("keys", "read:hunter2-hunter2-hunter2 ops\n");
  EXPECT_EQ(Options({"m", "--admin-api-key-file", good}).admin_api_keys,
            "read:hunter2-hunter2-hunter2 ops");
  EXPECT_THAT(ErrorOf({"m", "--admin-api-key-file", WriteFile("bad", "hunter2-hunter2-hunter2")}),
              AllOf(HasSubstr("--admin-api-key-file"), HasSubstr("line 1: expected read:KEY"),
                    Not(HasSubstr("hunter"))));
  EXPECT_THAT(ErrorOf({"m", "--admin-api-key-file", "/no/such"}), HasSubstr("No such file"));
}

TEST(Flags, TakesUnambiguousPrefixesAndRefusesOthers) {
  EXPECT_EQ(Options({"m", "--gpu-mem", "0.5"}).gpu_memory_utilization, 0.5);
  EXPECT_FALSE(Options({"m", "--no-enable-chunked"}).enable_chunked_prefill);
  EXPECT_THAT(ErrorOf({"m", "--max-num", "5"}), HasSubstr("ambiguous"));
  EXPECT_THAT(ErrorOf({"m", "--max-num", "5"}), HasSubstr("--max-num-seqs"));
}

TEST(Flags, SuggestsTheNearestForAnUnknownFlag) {
  EXPECT_THAT(ErrorOf({"m", "--max-modle-len", "5"}), HasSubstr("did you mean --max-model-len?"));
  EXPECT_THAT(ErrorOf({"m", "-z"}), HasSubstr("unknown flag -z"));
}

TEST(Flags, ErrorsNameTheFlagTheValueAndWhatIsAllowed) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"m", "--port", "70000"}, "--port: expected a whole number from 0 to 65535, got '70000'"},
      {{"m", "--port", "8k"}, "--port: expected a whole number"},
      {{"m", "--port"}, "--port: expected a value"},
      {{"m", "--gpu-memory-utilization", "1.5"}, "above 0 and at most 1, got '1.5'"},
      {{"m", "--gpu-memory-utilization", "nan"}, "got 'nan'"},
      {{"m", "--load-format", "gguf"}, "expected one of auto, safetensors, dummy, got 'gguf'"},
      {{"m", "--hf-overrides", "[1]"}, "expected a JSON object"},
      {{"m", "--tensor-parallel-size", "4"}, "1 is allowed, got 4"},
      {{"m", "--max-model-len", "12q"}, "got '12q'"},
      {{"m", "--max-model-len", "0"}, "expected at least 1, got '0'"},
      {{"m", "--enable-chunked-prefill=maybe"}, "expected true or false, got 'maybe'"},
      {{"m", "--quantization", "awq"}, "--quantization is not supported yet"},
      {{"m", "--admin-port", "8000"}, "--admin-port must differ from --port 8000"},
      {{"m", "n"}, "expected one MODEL, got 2: m n"},
      {{}, "no MODEL given"},
  };
  for (const auto& [args, message] : cases) EXPECT_THAT(ErrorOf(args), HasSubstr(message));
}

TEST(Flags, ReadsHumanNumbersAsVllmDoes) {
  EXPECT_EQ(*ParseHumanInt("25.6k"), 25600);
  EXPECT_EQ(*ParseHumanInt("1M"), 1048576);
  EXPECT_EQ(*ParseHumanInt("-1"), -1);
  EXPECT_FALSE(ParseHumanInt("1.5"));
  EXPECT_FALSE(ParseHumanInt(""));
  EXPECT_FALSE(ParseHumanInt("K"));
}

TEST(Flags, ConfigFileHoldsTheSameNamesAndTheCommandLineWins) {
  const std::string file =
      WriteFile("serve.toml",
                "model = \"dir\"\nport = 9001\nmax_num_seqs = 3\n"
                "enable-chunked-prefill = false\napi-key = [\"k1\", \"k2\"]\n");
  const ServeOptions options = Options({"--config", file, "--port", "9002"});
  EXPECT_EQ(options.model, "dir");
  EXPECT_EQ(options.port, 9002);
  EXPECT_EQ(options.max_num_seqs, 3);
  EXPECT_FALSE(options.enable_chunked_prefill);
  EXPECT_THAT(options.api_keys, ElementsAre("k1", "k2"));
  EXPECT_EQ(Options({"typed", "--config=" + file}).model, "typed");
}

TEST(Flags, ConfigFileErrorsNameTheKey) {
  EXPECT_THAT(ErrorOf({"--config", WriteFile("a.toml", "prot = 1\n")}),
              HasSubstr("unknown key 'prot'; did you mean 'port'?"));
  EXPECT_THAT(ErrorOf({"--config", WriteFile("b.toml", "port = [1, 2]\n")}),
              HasSubstr("port takes one value, got a list"));
  EXPECT_THAT(ErrorOf({"--config", WriteFile("c.toml", "port: 1\n")}), HasSubstr("line 1"));
  EXPECT_THAT(ErrorOf({"--config", "/nonexistent.toml"}), HasSubstr("/nonexistent.toml"));
}

TEST(Flags, TheShippedConfigIsValid) {
  const auto parsed = Parse({"m", "--config", NEXTGATE_SOURCE_DIR "/configs/serve.toml"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_THAT(parsed->warnings, IsEmpty());
}

TEST(Flags, ApiKeysComeFromTheEnvironmentOnlyWhenNoneIsGiven) {
  ::setenv("VLLM_API_KEY", "from-environment", 1);
  EXPECT_THAT(Options({"m"}).api_keys, ElementsAre("from-environment"));
  EXPECT_THAT(Options({"m", "--api-key", "typed"}).api_keys, ElementsAre("typed"));
  ::unsetenv("VLLM_API_KEY");
}

TEST(Flags, TheTableIsSound) {
  std::set<std::string_view> names;
  for (const Flag& flag : ServeFlags()) {
    EXPECT_TRUE(names.insert(flag.name).second) << flag.name << " stands twice";
    EXPECT_EQ(flag.set != nullptr, flag.support == FlagSupport::kImplemented) << flag.name;
    EXPECT_FALSE(flag.help.empty()) << flag.name;
    EXPECT_THAT(ServeHelp(), HasSubstr(std::string(flag.name)));
  }
}

}  // namespace
}  // namespace nextgate::gateway
