#include "gateway/open_embedder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/gateway/serve_flags.h"
#include "tests/gateway/upstream/scripted_upstream.h"

namespace nextgate::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kSmall = NEXTGATE_SOURCE_DIR "/tests/golden/data/encoder/small";

TEST(EmbedderFlags, AModelTakesThreadsAndATimeOut) {
  const ServeOptions defaults = OptionsOfModel({});
  EXPECT_EQ(defaults.embedding_model, "");
  EXPECT_EQ(defaults.embedding_url, "");
  EXPECT_EQ(defaults.embedding_timeout_ms, 20);
  EXPECT_EQ(defaults.embedding_threads, 1);
  const ServeOptions o = OptionsOfModel(
      {"--embedding-model", "minilm", "--embedding-threads", "2", "--embedding-timeout-ms", "50"});
  EXPECT_EQ(o.embedding_model, "minilm");
  EXPECT_EQ(o.embedding_threads, 2);
  EXPECT_EQ(o.embedding_timeout_ms, 50);
  EXPECT_THAT(FlagErrorOfModel({"--embedding-threads", "2"}), HasSubstr("needs --embedding-model"));
  EXPECT_THAT(FlagErrorOfModel({"--embedding-timeout-ms", "9"}),
              HasSubstr("needs --embedding-model or --embedding-url"));
  EXPECT_THAT(FlagErrorOfModel({"--embedding-model", "m", "--embedding-dimension", "8"}),
              HasSubstr("--embedding-dimension needs --embedding-url"));
}

TEST(EmbedderFlags, AUrlNeedsAModelAndADimension) {
  ::unsetenv("NEXTGATE_EMBEDDING_API_KEY");
  const std::vector<std::string> url = {"--embedding-url",       "http://a:1/v1",
                                        "--embedding-url-model", "e5",
                                        "--embedding-dimension", "384"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), url.begin(), url.end());
    return more;
  };
  const ServeOptions o = OptionsOfModel(with(
      {"--embedding-shorten", "--embedding-revision", "r1", "--embedding-tls-ca-file", "ca.pem"}));
  EXPECT_EQ(o.embedding_url, "http://a:1/v1");
  EXPECT_EQ(o.embedding_url_model, "e5");
  EXPECT_EQ(o.embedding_dimension, 384);
  EXPECT_TRUE(o.embedding_shorten);
  EXPECT_EQ(o.embedding_revision, "r1");
  EXPECT_EQ(o.embedding_tls_ca_file, "ca.pem");
  EXPECT_EQ(o.embedding_api_key, "");
  ::setenv("NEXTGATE_EMBEDDING_API_KEY", "sk-1", 1);
  EXPECT_EQ(OptionsOfModel(url).embedding_api_key, "sk-1");
  ::setenv("NEXTGATE_EMBEDDING_API_KEY", "a\r\nb", 1);
  EXPECT_THAT(FlagErrorOfModel(url), HasSubstr("visible ASCII"));
  ::unsetenv("NEXTGATE_EMBEDDING_API_KEY");
  EXPECT_THAT(FlagErrorOfModel({"--embedding-url", "http://a"}),
              HasSubstr("--embedding-url-model NAME"));
  EXPECT_THAT(FlagErrorOfModel({"--embedding-url", "http://a", "--embedding-url-model", "e5"}),
              HasSubstr("--embedding-dimension N"));
  EXPECT_THAT(FlagErrorOfModel(with({"--embedding-model", "minilm"})),
              HasSubstr("exclude each other"));
  EXPECT_THAT(FlagErrorOfModel(with({"--embedding-threads", "2"})),
              HasSubstr("needs --embedding-model"));
  EXPECT_THAT(FlagErrorOfModel({"--embedding-url", "ftp://a"}),
              HasSubstr("expected http:// or https://"));
}

TEST(OpenEmbedder, NobodyAskedForNoneHasOne) {
  const auto none = OpenEmbedder({});
  ASSERT_TRUE(none);
  EXPECT_EQ(none->questions, nullptr);
}

TEST(OpenEmbedder, ADirectoryIsNamedByTheLastPartOfItsPath) {
  for (const std::string& path : {kSmall, kSmall + "/", kSmall + "/../small/."}) {
    const auto model = FindEmbeddingModel(path, "/nowhere");
    ASSERT_TRUE(model) << path;
    EXPECT_EQ(model->dir, path);
    EXPECT_EQ(model->id, "small");
  }
  const auto opened = OpenEmbedder({.embedding_model = kSmall});
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->questions->info().id, "small");
  EXPECT_EQ(opened->questions->info().dimension, 24);
  EXPECT_EQ(opened->documents, nullptr);
  EXPECT_THAT(opened->names, ElementsAre("small", kSmall));
}

TEST(OpenEmbedder, TheNamesOfMiniLmAreWhatTheScriptFetched) {
  const std::string prefix = ::testing::TempDir() + "prefix-with-minilm";
  std::filesystem::create_directories(prefix + "/share/minilm");
  for (const char* name :
       {"minilm", "all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"}) {
    const auto model = FindEmbeddingModel(name, prefix);
    ASSERT_TRUE(model) << name;
    EXPECT_EQ(model->dir, prefix + "/share/minilm");
    EXPECT_EQ(model->id, "all-MiniLM-L6-v2");
    const auto missing = FindEmbeddingModel(name, "/nowhere");
    ASSERT_FALSE(missing);
    EXPECT_THAT(missing.error().message, HasSubstr("scripts/models.sh minilm"));
  }
  const auto unknown = FindEmbeddingModel("no-such-model", prefix);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(unknown.error().message, HasSubstr("expected a directory, or minilm"));
}

TEST(OpenEmbedder, ADirectoryThatIsNoModelSaysWhatIsMissing) {
  const auto opened = OpenEmbedder({.embedding_model = ::testing::TempDir()});
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("--embedding-model"));
}

TEST(OpenEmbedder, AUrlWhereNobodyAnswersIsOpenedAllTheSame) {
  ServeOptions options;
  options.embedding_url = NobodysUrl();
  options.embedding_url_model = "e5";
  options.embedding_revision = "r1";
  options.embedding_dimension = 384;
  const auto opened = OpenEmbedder(options);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->questions->info(), (cache::EmbedderInfo{"e5", "r1", 384}));
  EXPECT_EQ(opened->documents->info(), opened->questions->info());
  EXPECT_THAT(opened->names, ElementsAre("e5"));
  EXPECT_NE(opened->hop, "");
}

}  // namespace
}  // namespace nextgate::gateway
