#include "gateway/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace nextgate::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

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

TEST(Flags, UpstreamsStandInForAModel) {
  ::unsetenv("NEXTGATE_UPSTREAM_API_KEY");
  const std::string key = WriteFile("upstream-key", "sk-1\n");
  const ServeOptions o = Options({"--upstream",
                                  "http://a:1/v1",
                                  "--upstream",
                                  "https://b",
                                  "--upstream-api-key-file",
                                  key,
                                  "--upstream-model",
                                  "m",
                                  "--upstream-revision",
                                  "r1",
                                  "--upstream-tls-ca-file",
                                  "ca.pem",
                                  "--upstream-retries",
                                  "0",
                                  "--upstream-connect-timeout-s",
                                  "1",
                                  "--upstream-first-byte-timeout-s",
                                  "2",
                                  "--upstream-idle-timeout-s",
                                  "3",
                                  "--upstream-timeout-s",
                                  "4",
                                  "--cache-tools",
                                  "--cache-normalised"});
  EXPECT_THAT(o.upstreams, ElementsAre("http://a:1/v1", "https://b"));
  EXPECT_EQ(o.upstream_api_key, "sk-1");
  EXPECT_EQ(o.upstream_model, "m");
  EXPECT_EQ(o.upstream_revision, "r1");
  EXPECT_EQ(o.upstream_tls_ca_file, "ca.pem");
  EXPECT_EQ(o.upstream_retries, 0);
  EXPECT_EQ(o.upstream_connect_timeout_s, 1);
  EXPECT_EQ(o.upstream_first_byte_timeout_s, 2);
  EXPECT_EQ(o.upstream_idle_timeout_s, 3);
  EXPECT_EQ(o.upstream_timeout_s, 4);
  EXPECT_TRUE(o.cache_tools);
  EXPECT_TRUE(o.cache_normalised);
  ::setenv("NEXTGATE_UPSTREAM_API_KEY", "sk-2", 1);
  EXPECT_EQ(Options({"--upstream", "http://a"}).upstream_api_key, "sk-2");
  ::setenv("NEXTGATE_UPSTREAM_API_KEY", "a\r\nb", 1);
  EXPECT_THAT(ErrorOf({"--upstream", "http://a"}), HasSubstr("visible ASCII"));
  ::unsetenv("NEXTGATE_UPSTREAM_API_KEY");
  EXPECT_THAT(ErrorOf({"m", "--upstream", "http://a"}), HasSubstr("exclude each other"));
  EXPECT_THAT(ErrorOf({"m", "--upstream-retries", "1"}), HasSubstr("needs --upstream"));
  EXPECT_THAT(ErrorOf({"--upstream", "ftp://a"}), HasSubstr("expected http:// or https://"));
  EXPECT_THAT(ErrorOf({"--upstream", "http://a/v1?b"}), HasSubstr("no query"));
  EXPECT_THAT(Parse({"--upstream", "http://a", "--max-model-len", "4k"})->warnings,
              ElementsAre("--max-model-len has no effect with --upstream"));
}

TEST(Flags, ThePrefixCacheHasVllmsSwitchAndItsOwnShareAndFormat) {
  const ServeOptions defaults = Options({"m"});
  EXPECT_TRUE(defaults.enable_prefix_caching);
  EXPECT_EQ(defaults.prefix_cache_fraction, 0.24);
  EXPECT_EQ(defaults.prefix_state_format, "auto");
  EXPECT_FALSE(Options({"m", "--no-enable-prefix-caching"}).enable_prefix_caching);
  EXPECT_TRUE(Options({"m", "--enable-prefix-caching"}).enable_prefix_caching);
  const ServeOptions o =
      Options({"m", "--prefix-cache-fraction", "0", "--prefix-state-format", "int8"});
  EXPECT_EQ(o.prefix_cache_fraction, 0);
  EXPECT_EQ(o.prefix_state_format, "int8");
  EXPECT_EQ(defaults.prefix_host_bytes, 0);
  EXPECT_EQ(defaults.prefix_disk_bytes, int64_t{16} << 30);
  const ServeOptions tiers = Options(
      {"m", "--prefix-host-gib", "0.5", "--prefix-disk-dir", "/d", "--prefix-disk-gib", "100"});
  EXPECT_EQ(tiers.prefix_host_bytes, int64_t{1} << 29);
  EXPECT_EQ(tiers.prefix_disk_dir, "/d");
  EXPECT_EQ(tiers.prefix_disk_bytes, int64_t{100} << 30);
  for (const char* wrong : {"-1", "nan", "inf", "8GB", ""})
    EXPECT_THAT(ErrorOf({"m", "--prefix-host-gib", wrong}),
                HasSubstr(std::string("expected GiB, a number from 0 to 1048576, got '") + wrong));
  for (const char* wrong : {"1", "-0.1", "nan", "a quarter", ""})
    EXPECT_THAT(ErrorOf({"m", "--prefix-cache-fraction", wrong}),
                HasSubstr(std::string("expected a number from 0 to below 1, got '") + wrong));
  EXPECT_THAT(ErrorOf({"m", "--prefix-state-format", "fp8"}),
              HasSubstr("expected one of auto, fp32, bf16, int8, got 'fp8'"));
  EXPECT_THAT(Parse({"m", "--prefix-caching-hash-algo", "sha256_cbor"})->warnings,
              ElementsAre(HasSubstr("equality of their tokens decides")));
  EXPECT_THAT(ErrorOf({"m", "--prefix-caching-hash-algo", "md5"}), HasSubstr("sha256"));
}

TEST(Flags, TheHostTierHasVllmsNameToo) {
  EXPECT_EQ(Options({"m", "--kv-offloading-size", "0.5"}).prefix_host_bytes, int64_t{1} << 29);
  EXPECT_EQ(Options({"m", "--kv_offloading_size=8"}).prefix_host_bytes, int64_t{8} << 30);
  EXPECT_EQ(Options({"m", "--kv-offloading-size", "None"}).prefix_host_bytes, 0);
  EXPECT_THAT(
      Parse({"m", "--kv-offloading-size", "8", "--kv-offloading-backend", "native"})->warnings,
      IsEmpty());
  for (const char* wrong : {"-1", "nan", "8GB", ""})
    EXPECT_THAT(ErrorOf({"m", "--kv-offloading-size", wrong}),
                HasSubstr(std::string("--kv-offloading-size: expected GiB, a number from 0 to "
                                      "1048576, got '") +
                          wrong));
  EXPECT_THAT(ErrorOf({"m", "--kv-offloading-backend", "lmcache"}),
              HasSubstr("--kv-offloading-backend is not supported yet: host memory is the server's "
                        "own: --kv-offloading-size (got 'lmcache'; allowed: native)"));
}

TEST(Flags, TwoNamesOfOneSettingMustSayTheSame) {
  EXPECT_EQ(
      Options({"m", "--kv-offloading-size", "2", "--prefix-host-gib", "2.0"}).prefix_host_bytes,
      int64_t{2} << 30);
  EXPECT_EQ(
      Options({"m", "--kv-offloading-size", "None", "--prefix-host-gib", "2"}).prefix_host_bytes,
      int64_t{2} << 30);
  EXPECT_THAT(ErrorOf({"m", "--kv-offloading-size", "2", "--prefix-host-gib", "4"}),
              HasSubstr("--kv-offloading-size 2 and --prefix-host-gib 4 are two names of one "
                        "setting: give one of them, or the same value"));
  EXPECT_THAT(ErrorOf({"m", "--shutdown-timeout", "2", "--shutdown-timeout-s", "4"}),
              HasSubstr("two names"));
  const std::string file = WriteFile("host.toml", "prefix-host-gib = 1\n");
  EXPECT_EQ(Options({"m", "--config", file, "--kv-offloading-size", "2"}).prefix_host_bytes,
            int64_t{2} << 30)
      << "the command line wins";
  const std::string both = WriteFile("both.toml", "prefix-host-gib = 1\nkv-offloading-size = 2\n");
  EXPECT_THAT(ErrorOf({"m", "--config", both}), HasSubstr("two names"));
}

TEST(Flags, AFileOfApiKeysIsReadAndCheckedAtOnce) {
  const std::string line = R"({"key_sha256": ")" + std::string(64, 'a') + R"("})";
  const std::string file = WriteFile("api-keys", line + "\n");
  EXPECT_EQ(Options({"m", "--api-key-file", file}).api_key_records, line);
  EXPECT_THAT(ErrorOf({"m", "--api-key-file", "/no/such"}), HasSubstr("--api-key-file /no/such"));
  const std::string wrong = WriteFile("api-keys-wrong", line + "\n" + line + "\n");
  EXPECT_THAT(ErrorOf({"m", "--api-key-file", wrong}),
              HasSubstr("line 2: this key was given before"));
}

TEST(Flags, TimesToLiveSizesAndControlsOfTheAnswerCacheAreChecked) {
  const ServeOptions o =
      Options({"m", "--cache-ttl-s", "50", "--cache-ttl-max-s", "700", "--cache-route-ttl-s",
               "/v1/completions=600", "/v1/chat/completions=0", "--cache-time-words-ttl-s", "5",
               "--cache-prompt-bytes-min", "10", "--cache-prompt-bytes-max", "20",
               "--cache-entry-bytes-max", "2048", "--cache-controls", "ttl", "refresh"});
  EXPECT_EQ(o.cache_ttl_max_s, 700);
  EXPECT_EQ(o.cache_route_ttl_s.at("/v1/completions"), 600);
  EXPECT_EQ(o.cache_route_ttl_s.at("/v1/chat/completions"), 0);
  EXPECT_EQ(o.cache_time_words_ttl_s, 5);
  EXPECT_EQ(o.cache_prompt_bytes_min, 10);
  EXPECT_EQ(o.cache_prompt_bytes_max, 20);
  EXPECT_EQ(o.cache_entry_bytes_max, 2048);
  EXPECT_THAT(o.cache_controls, ElementsAre("ttl", "refresh"));
  EXPECT_THAT(ErrorOf({"m", "--cache-ttl-s", "700000"}),
              HasSubstr("--cache-ttl-s 700000 is above --cache-ttl-max-s 604800"));
  EXPECT_THAT(ErrorOf({"m", "--cache-route-ttl-s", "/v1/completions=700000"}),
              HasSubstr("above --cache-ttl-max-s"));
  for (const char* wrong :
       {"600", "/v1/embeddings=5", "/v1/completions", "/v1/completions=x", "/v1/completions=-1"})
    EXPECT_THAT(ErrorOf({"m", "--cache-route-ttl-s", wrong}), HasSubstr("--cache-route-ttl-s"));
  EXPECT_THAT(ErrorOf({"m", "--cache-prompt-bytes-min", "9", "--cache-prompt-bytes-max", "8"}),
              HasSubstr("above"));
  EXPECT_THAT(ErrorOf({"m", "--cache-controls", "read"}), HasSubstr("namespace"));
  EXPECT_THAT(ErrorOf({"m", "--cache-controls", "none", "ttl"}), HasSubstr("none"));
}

TEST(Flags, EncryptionKeysAreReadAtOnceAndNeedARedis) {
  const std::string file = ::testing::TempDir() + "encryption_keys";
  std::ofstream(file) << std::string(64, 'a') << "\n" << std::string(64, 'b') << "\n";
  ::setenv("NEXTGATE_CACHE_SECRET", "0123456789abcdef", 1);
  const ServeOptions o =
      Options({"m", "--cache-url", "redis://a", "--cache-encryption-key-file", file});
  EXPECT_EQ(o.cache_encryption_key_file, file);
  EXPECT_THAT(o.cache_encryption_keys, HasSubstr(std::string(64, 'b')));
  EXPECT_THAT(ErrorOf({"m", "--cache-encryption-key-file", file}), HasSubstr("needs --cache-url"));
  std::ofstream(file) << std::string(64, 'a') << "\nbbbb\n";
  const std::string error =
      ErrorOf({"m", "--cache-url", "redis://a", "--cache-encryption-key-file", file});
  EXPECT_THAT(error, HasSubstr("line 2"));
  EXPECT_THAT(error, Not(HasSubstr("bbbb")));
  ::unsetenv("NEXTGATE_CACHE_SECRET");
}

TEST(Flags, APaceOfReplayIsANumberOfTokens) {
  EXPECT_EQ(Options({"m"}).cache_replay_tokens_per_s, 0);
  EXPECT_EQ(Options({"m", "--cache-replay-tokens-per-s", "50"}).cache_replay_tokens_per_s, 50);
  EXPECT_THAT(ErrorOf({"m", "--cache-replay-tokens-per-s", "-1"}),
              HasSubstr("--cache-replay-tokens-per-s"));
}

TEST(Flags, ASharedCacheNeedsAUrlASecretAndNothingSecretOnTheLine) {
  ::unsetenv("NEXTGATE_CACHE_SECRET");
  const std::string secret = WriteFile("secret", "0123456789abcdef\n");
  const std::string url = "redis://127.0.0.1:6380/2";
  const ServeOptions options = Options({"m", "--cache-url", url, "--cache-secret-file", secret});
  EXPECT_EQ(options.cache_url, url);
  EXPECT_EQ(options.cache_secret, "0123456789abcdef");
  EXPECT_EQ(options.cache_namespace, "nextgate");
  EXPECT_EQ(options.cache_max_stale_s, 60);
  EXPECT_EQ(Options({"m", "--cache-max-stale-s", "7"}).cache_max_stale_s, 7);

  EXPECT_THAT(ErrorOf({"m", "--cache-url", url}), HasSubstr("openssl rand -hex 32"));
  EXPECT_THAT(ErrorOf({"m", "--cache-url", "localhost:6379"}),
              HasSubstr("--cache-url: expected redis://"));
  EXPECT_THAT(ErrorOf({"m", "--cache-url", "redis+sentinel://s1:26379"}),
              HasSubstr("--cache-url: the URL does not say which master"));
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

TEST(Flags, AnOpenAdminPortWithoutKeysIsToldInOneLine) {
  for (const char* host : {"127.0.0.1", "localhost", "::1"})
    EXPECT_THAT(Parse({"m", "--admin-host", host})->warnings, IsEmpty()) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1"})
    EXPECT_THAT(Parse({"m", "--admin-host", host})->warnings,
                ElementsAre(HasSubstr("without --admin-api-key-file")));
  const std::string file = WriteFile("open_admin_keys", "read:" + std::string(20, 'k'));
  ::chmod(file.c_str(), 0600);
  EXPECT_THAT(Parse({"m", "--admin-host", "0.0.0.0", "--admin-api-key-file", file})->warnings,
              IsEmpty());
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
  EXPECT_THAT(ErrorOf({"m", "--prot", "5"}), HasSubstr("did you mean --port?"));
  EXPECT_THAT(ErrorOf({"m", "--pots", "5"}), HasSubstr("unknown flag --pots; see --help"))
      << "two edits of four letters are another word";
  EXPECT_THAT(ErrorOf({"m", "--speculative-cache-answers"}),
              HasSubstr("unknown flag --speculative-cache-answers; see --help"));
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
  EXPECT_FALSE(ParseHumanInt("1.5K"));
  EXPECT_EQ(*ParseHumanInt("1.5m"), 1'500'000);
  EXPECT_FALSE(ParseHumanInt(""));
  EXPECT_FALSE(ParseHumanInt("K"));
  for (const char* none : {"nan", "-nan", "inf", "nank"}) EXPECT_FALSE(ParseHumanInt(none)) << none;
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
  EXPECT_THAT(Options({"m", "--config", WriteFile("none.toml", "api-key = []\n")}).api_keys,
              IsEmpty());
}

TEST(Flags, ConfigFileErrorsNameTheKey) {
  EXPECT_THAT(ErrorOf({"--config", WriteFile("a.toml", "prot = 1\n")}),
              HasSubstr("unknown key 'prot'; did you mean 'port'?"));
  EXPECT_THAT(ErrorOf({"--config", WriteFile("a.toml", "kv_secrets = 1\n")}),
              HasSubstr("unknown key 'kv_secrets'; see --help"));
  EXPECT_THAT(ErrorOf({"--config", WriteFile("b.toml", "port = [1, 2]\n")}),
              HasSubstr("port takes one value, got a list"));
  EXPECT_THAT(ErrorOf({"--config", WriteFile("c.toml", "port: 1\n")}), HasSubstr("line 1"));
  EXPECT_THAT(ErrorOf({"--config", "/nonexistent.toml"}),
              HasSubstr("/nonexistent.toml: No such file or directory"));
  EXPECT_THAT(ErrorOf({"m", "--config", ::testing::TempDir()}), HasSubstr("is a directory"));
}

TEST(Flags, ABadValueOfAConfigFileNamesTheFile) {
  for (const auto& [text, message] :
       {std::pair{"port = 70000\n", "--port: expected a whole number from 0 to 65535"},
        std::pair{"enable-chunked-prefill = \"perhaps\"\n",
                  "--enable-chunked-prefill: expected true or false"},
        std::pair{"port = 1979-05-27\n", "port: expected a string, a number"},
        std::pair{"quantization = \"awq\"\n", "--quantization is not supported yet"}}) {
    const std::string file = WriteFile("bad.toml", text);
    EXPECT_THAT(ErrorOf({"m", "--config", file}), StartsWith("--config " + file + ": " + message));
  }
  const std::string file = WriteFile("bad.toml", "port = 70000\n");
  EXPECT_THAT(ErrorOf({"m", "--config", file, "--port", "70001"}), StartsWith("--port: "));
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

std::vector<std::string> WarningsOf(std::vector<std::string> args) {
  const auto parsed = Parse(std::move(args));
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? parsed->warnings : std::vector<std::string>{};
}

TEST(Flags, TheTableIsSound) {
  std::set<std::string_view> names;
  std::set<std::string_view> aliases;
  const std::string help = ServeHelp();
  for (const Flag& flag : ServeFlags()) {
    EXPECT_TRUE(names.insert(flag.name).second) << flag.name << " stands twice";
    EXPECT_TRUE(flag.alias.empty() || aliases.insert(flag.alias).second)
        << flag.alias << " stands twice";
    EXPECT_TRUE(flag.set != nullptr || flag.support != FlagSupport::kImplemented) << flag.name;
    EXPECT_FALSE(flag.help.empty()) << flag.name;
    EXPECT_THAT(help, HasSubstr(" --" +
                                std::string(flag.kind == FlagKind::kBool &&
                                                    flag.support == FlagSupport::kImplemented
                                                ? "[no-]"
                                                : "") +
                                std::string(flag.name)));
  }
}

TEST(Flags, EveryFlagOfVllmServeIsInTheTable) {
  std::ifstream file(NEXTGATE_SOURCE_DIR "/tests/gateway/data/vllm_serve_flags.txt");
  int count = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    ++count;
    const size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const auto flags = ServeFlags();
    const auto flag = std::ranges::find(flags, name, &Flag::name);
    if (flag == flags.end()) {
      ADD_FAILURE() << "--" << name << " is not in the table";
      continue;
    }
    EXPECT_EQ(flag->alias, space == std::string::npos ? "" : line.substr(space + 1)) << name;
  }
  EXPECT_GE(count, 300);
}

TEST(Flags, HelpIsGroupedAndNoListOfNamesIsTooWide) {
  const std::string help = ServeHelp();
  EXPECT_LT(help.find("\nEngine\n"), help.find("\nServer\n"));
  std::istringstream rest(help.substr(help.find("have no effect here")));
  for (std::string line; std::getline(rest, line);) EXPECT_LE(line.size(), 101u) << line;
}

TEST(Flags, TakesTheShortFormsOfVllm) {
  EXPECT_EQ(Options({"m", "-tp", "1"}).tensor_parallel_size, 1);
  EXPECT_EQ(Options({"m", "-tp=1"}).tensor_parallel_size, 1);
  EXPECT_THAT(ErrorOf({"m", "-tp", "2"}), HasSubstr("--tensor-parallel-size: tensor parallelism"));
  EXPECT_THAT(WarningsOf({"m", "-ep"}), ElementsAre(HasSubstr("--enable-expert-parallel")));
  for (const auto& o : {std::vector<std::string>{"-O3"}, {"-O", "3"}, {"-O=3"}}) {
    std::vector<std::string> args = {"m"};
    args.insert(args.end(), o.begin(), o.end());
    EXPECT_THAT(WarningsOf(args), ElementsAre(HasSubstr("--optimization-level"))) << o[0];
  }
  EXPECT_THAT(ErrorOf({"m", "-O9"}), HasSubstr("expected one of 0, 1, 2, 3, got '9'"));
  EXPECT_THAT(ErrorOf({"m", "-q", "awq"}), HasSubstr("--quantization is not supported yet"));
  EXPECT_THAT(ErrorOf({"m", "-qawq"}), HasSubstr("--quantization is not supported yet"));
  EXPECT_THAT(ErrorOf({"m", "-d", "2"}), AllOf(HasSubstr("-d is ambiguous"), HasSubstr("-dcp")));
}

TEST(Flags, ConfigAndHelpCountAmongThePrefixes) {
  EXPECT_THAT(ErrorOf({"m", "--conf", "f"}),
              HasSubstr("--conf is ambiguous: it could be --config, --config-format"));
  const std::string file = WriteFile("port.toml", "port = 9003\n");
  EXPECT_EQ(Options({"m", "--config", file}).port, 9003);
  for (const char* help : {"--hel", "--help", "-h", "--help=Frontend"}) {
    const auto parsed = Parse({help});
    ASSERT_TRUE(parsed) << help << ": " << parsed.error().message;
    EXPECT_TRUE(parsed->help) << help;
  }
  EXPECT_THAT(ErrorOf({"m", "--he"}), HasSubstr("--help, --headless"));
}

TEST(Flags, DottedFormsMakeAJsonObject) {
  EXPECT_EQ(Options({"m", "--hf-overrides.rope_theta", "5"}).hf_overrides, R"({"rope_theta":5})");
  EXPECT_EQ(Options({"m", "--hf_overrides.a.b=4k", "--hf-overrides.a.c=x", "--hf-over.d", "-1"})
                .hf_overrides,
            R"({"a":{"b":4000,"c":"x"},"d":-1})");
  EXPECT_EQ(Options({"m", "--hf-overrides.l+", "x,y", "--hf-overrides.l+=z"}).hf_overrides,
            R"({"l":["x","y","z"]})");
  EXPECT_EQ(
      Options({"m", "--hf-overrides.a", "2", "--hf-overrides", R"({"a": 1, "b": 3})"}).hf_overrides,
      R"({"a":2,"b":3})");
  EXPECT_THAT(WarningsOf({"m", "--compilation-config.mode", "3"}),
              ElementsAre(HasSubstr("--compilation-config has no effect")));
  EXPECT_THAT(WarningsOf({"m", "-cc.mode=3"}),
              ElementsAre(HasSubstr("--compilation-config has no effect")));
  EXPECT_EQ(Options({"m", "--gpu-memory-utilization=0.5"}).gpu_memory_utilization, 0.5);
  EXPECT_EQ(Options({"m", "--hf-overrides.x", "-.5"}).hf_overrides, R"({"x":"-.5"})");

  EXPECT_THAT(ErrorOf({"m", "--port.x", "5"}), HasSubstr("--port takes no JSON object"));
  EXPECT_THAT(ErrorOf({"m", "--hf-overrides.x"}), HasSubstr("expected a value"));
  EXPECT_THAT(ErrorOf({"m", "--hf-overrides.a..b", "1"}), HasSubstr("an empty key"));
  EXPECT_THAT(ErrorOf({"m", "--hf-overrides.", "1"}), HasSubstr("an empty key"));
  EXPECT_THAT(ErrorOf({"m", "--hf-overrides", "{", "--hf-overrides.a", "1"}),
              HasSubstr("expected a JSON object, got '{'"));
}

TEST(Flags, ConfigFileTablesAreJsonObjects) {
  const std::string file = WriteFile("json.toml", "[hf_overrides]\nrope_theta = 5\nlist = [1]\n");
  EXPECT_THAT(Options({"m", "--config", file}).hf_overrides,
              AllOf(HasSubstr("\"rope_theta\" : 5"), HasSubstr("\"list\"")));
  EXPECT_THAT(ErrorOf({"m", "--config", WriteFile("table.toml", "[port]\nx = 1\n")}),
              HasSubstr("port: expected a string, a number, a boolean or a list"));
}

TEST(Flags, TheModelsLengthMayBeAuto) {
  EXPECT_EQ(Options({"m", "--max-model-len", "auto"}).max_model_len, 0);
  EXPECT_EQ(Options({"m", "--max-model-len", "-1"}).max_model_len, 0);
  EXPECT_EQ(Options({"m", "--max-model-len", "4k"}).max_model_len, 4000);
  EXPECT_EQ(Options({"m", "--max-model-len", "4K"}).max_model_len, 4096);
  EXPECT_THAT(ErrorOf({"m", "--max-model-len", "-2"}), HasSubstr("expected at least 1"));
}

TEST(Flags, AValueThatAsksForWhatIsDoneAnywayIsNoError) {
  EXPECT_THAT(WarningsOf({"m", "-dp", "1", "-pp=1", "--kv-cache-dtype", "auto", "-q", "None",
                          "--no-enable-lora", "--override-generation-config", "{}", "--runner",
                          "generate", "--worker-cls", "auto", "--logprobs-mode", "raw_logprobs"}),
              IsEmpty());
  EXPECT_THAT(ErrorOf({"m", "-dp", "2"}),
              HasSubstr("--data-parallel-size is not supported yet: several devices or processes "
                        "are not built yet (got '2'; allowed: 1)"));
  EXPECT_THAT(ErrorOf({"m", "--runner", "pooling"}), HasSubstr("allowed: auto, generate"));
  EXPECT_THAT(ErrorOf({"m", "--enable-lora"}), HasSubstr("adapters are not built yet"));
  EXPECT_THAT(ErrorOf({"m", "--reasoning-parser", "qwen3"}), HasSubstr("is not supported yet"));
}

TEST(Flags, ChoicesWithoutEffectNameWhatIsAllowed) {
  EXPECT_THAT(WarningsOf({"m", "--tokenizer-mode", "slow"}),
              ElementsAre(HasSubstr("--tokenizer-mode has no effect")));
  for (const char* mode : {"bogus", "mistral"})
    EXPECT_THAT(ErrorOf({"m", "--tokenizer-mode", mode}),
                HasSubstr("--tokenizer-mode: expected one of auto, hf, slow, got"));
  EXPECT_THAT(ErrorOf({"m", "--scheduling-policy", "lifo"}), HasSubstr("one of fcfs, priority"));
  EXPECT_THAT(ErrorOf({"m", "--config-format", "mistral"}), HasSubstr("one of auto, hf"));
  EXPECT_THAT(ErrorOf({"m", "--block-size", "many"}), HasSubstr("expected a whole number"));
  EXPECT_THAT(ErrorOf({"m", "--cpu-offload-gb", "x"}), HasSubstr("expected a number, got 'x'"));
  EXPECT_THAT(ErrorOf({"m", "--eplb-config", "[]"}), HasSubstr("expected a JSON object"));
}

TEST(Flags, SpeculationWithoutEffectIsThatOfMtpOnly) {
  EXPECT_THAT(WarningsOf({"m", "-sc.method", "mtp", "-sc.num_speculative_tokens", "2"}),
              ElementsAre(HasSubstr("--speculative-config has no effect")));
  EXPECT_THAT(ErrorOf({"m", "--speculative-config", R"({"method": "ngram"})"}),
              HasSubstr("--speculative-config is not supported yet with method 'ngram'"));
  EXPECT_THAT(ErrorOf({"m", "-sc", R"({"model": "small/draft"})"}), HasSubstr("no method"));
  EXPECT_THAT(ErrorOf({"m", "--spec-method", "eagle"}), HasSubstr("mtp, qwen3_next_mtp"));
  EXPECT_THAT(ErrorOf({"m", "--spec-model", "small/draft"}), HasSubstr("draft models"));
}

}  // namespace
}  // namespace nextgate::gateway
