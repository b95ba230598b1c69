#include "gateway/hub.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "gateway/hub_download.h"
#include "tests/gateway/fake_hub.h"

namespace nextgate::gateway {
namespace {

namespace fs = std::filesystem;

std::string Random(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

std::string Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void Write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

class HubTest : public testing::Test {
 protected:
  HubTest() {
    char folder[] = "/tmp/nextgate_hub_XXXXXX";
    root_ = ::mkdtemp(folder);
    hub_.files["config.json"] = {.content = R"({"model_type":"qwen3_next"})"};
    hub_.files["tokenizer.json"] = {.content = Random(30'000, 1)};
    hub_.files["generation_config.json"] = {.content = "{}"};
    hub_.files["chat_template.jinja"] = {.content = "{{ messages }}"};
    hub_.files["README.md"] = {.content = "not needed"};
    hub_.files["onnx/model.safetensors"] = {.content = "not needed"};
    hub_.files["model.safetensors.index.json"] = {
        .content =
            R"({"weight_map":{"a":"model-00001-of-00002.safetensors",)"
            R"("b":"model-00002-of-00002.safetensors","c":"model-00001-of-00002.safetensors"}})"};
    hub_.files[kShard1] = {.content = Random(700'001, 2), .lfs = true};
    hub_.files[kShard2] = {.content = Random(500'003, 3), .lfs = true};
    hub_.files["consolidated.safetensors"] = {.content = Random(99, 4), .lfs = true};
  }
  ~HubTest() override { fs::remove_all(root_); }

  HubConfig Config() {
    return {.endpoint = hub_.Endpoint(),
            .cache_dir = root_ / "hub",
            .num_connections = 3,
            .attempts_max = 4,
            .retry_delay_ms = 1,
            .read_timeout_ms = 20'000,
            .on_progress = [this](const HubProgress& p) { progress_.push_back(p); }};
  }
  Result<std::string> Resolve() { return ResolveModel(hub_.id, "", Config()); }
  // The error of a download that must not succeed.
  Error Failure() {
    auto result = Resolve();
    EXPECT_FALSE(result.has_value());
    return result ? Error{} : result.error();
  }
  fs::path Storage() const { return root_ / "hub" / "models--org--tiny-model"; }
  fs::path Blob(const std::string& name) { return Storage() / "blobs" / hub_.files[name].Hash(); }
  fs::path Part(const std::string& name) { return Blob(name).string() + ".incomplete"; }
  void ExpectWhole(const std::string& snapshot) {
    EXPECT_EQ(snapshot, (Storage() / "snapshots" / hub_.commit).string());
    for (const auto& [name, file] : hub_.files) {
      if (name == "README.md" || name == "onnx/model.safetensors" ||
          name == "consolidated.safetensors") {
        EXPECT_FALSE(fs::exists(fs::path(snapshot) / name)) << name;
        continue;
      }
      const fs::path link = fs::path(snapshot) / name;
      EXPECT_TRUE(Read(link) == file.content) << name;
      EXPECT_EQ(fs::read_symlink(link), fs::path("../../blobs") / file.Hash());
      EXPECT_FALSE(fs::exists(Part(name))) << name;
    }
    EXPECT_EQ(Read(Storage() / "refs/main"), hub_.commit);
  }

  static constexpr const char* kShard1 = "model-00001-of-00002.safetensors";
  static constexpr const char* kShard2 = "model-00002-of-00002.safetensors";
  fs::path root_;
  FakeHub hub_;
  std::vector<HubProgress> progress_;
};

TEST_F(HubTest, DownloadsWhatALoaderNeedsIntoTheHubsLayout) {
  const auto snapshot = Resolve();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ExpectWhole(*snapshot);
  for (const auto& entry : fs::directory_iterator(*snapshot))
    EXPECT_TRUE(entry.is_symlink()) << entry.path();
  ASSERT_FALSE(progress_.empty());
  EXPECT_EQ(progress_.back().bytes_done, 1'200'004);
  EXPECT_EQ(progress_.back().bytes_total, 1'200'004);
  EXPECT_EQ(progress_.back().files_done, 2);
}

TEST_F(HubTest, ACompleteSnapshotAsksNothingOfTheNetwork) {
  ASSERT_TRUE(Resolve().has_value());
  const size_t before = hub_.Requests().size();
  const auto again = Resolve();
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(hub_.Requests().size(), before);
  HubConfig offline = Config();
  offline.offline = true;
  offline.endpoint = "http://127.0.0.1:1";
  EXPECT_EQ(ResolveModel(hub_.id, "main", offline).value_or(""), *again);
  EXPECT_EQ(ResolveModel(hub_.id, hub_.commit, offline).value_or(""), *again);
}

TEST_F(HubTest, WithoutWeightsNoneAreDownloadedOrMissed) {
  HubConfig config = Config();
  config.weights = false;
  const auto snapshot = ResolveModel(hub_.id, "", config);
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  EXPECT_TRUE(fs::exists(fs::path(*snapshot) / "tokenizer.json"));
  EXPECT_EQ(hub_.CountFor(kShard1) + hub_.CountFor(kShard2), 0);
  EXPECT_FALSE(FindInCache(hub_.id, "main", config.cache_dir).has_value());
  config.offline = true;  // the second time it is found
  EXPECT_EQ(ResolveModel(hub_.id, "", config).value_or(""), *snapshot);

  ExpectWhole(Resolve().value_or(""));  // with weights, only they are fetched
  EXPECT_EQ(hub_.CountFor("tokenizer.json"), 1);
}

TEST_F(HubTest, ARepositoryWithoutWeightsWillDoWithoutThem) {
  for (const char* name :
       {kShard1, kShard2, "model.safetensors.index.json", "consolidated.safetensors"})
    hub_.files.erase(name);
  HubConfig config = Config();
  EXPECT_EQ(Failure().code, ErrorCode::kNotFound);
  config.weights = false;
  EXPECT_TRUE(ResolveModel(hub_.id, "", config).has_value());
}

TEST_F(HubTest, ResumesWhereTheServerBrokeOff) {
  hub_.files[kShard1].break_after = {300'000, 0, 0, 1, 100'000};
  hub_.files["tokenizer.json"].break_after = {10};
  const auto snapshot = Resolve();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ExpectWhole(*snapshot);
  std::vector<std::string> ranges;
  for (const RawRequest& request : hub_.Requests())
    if (request.from_storage && request.target.ends_with(kShard1))
      ranges.push_back(request.headers.contains("range") ? request.headers.at("range") : "");
  EXPECT_EQ(ranges, (std::vector<std::string>{"", "bytes=300000-", "bytes=300000-", "bytes=300000-",
                                              "bytes=300001-", "bytes=400001-"}));
}

TEST_F(HubTest, ResumesInALaterRun) {
  hub_.files[kShard1].break_after = {300'000, 0, 0, 0, 0, 0, 0, 0};
  const Error error = Failure();
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_NE(error.message.find(kShard1), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("byte 300000 of 700001"), std::string::npos) << error.message;
  EXPECT_EQ(fs::file_size(Part(kShard1)), 300'000u);
  EXPECT_FALSE(fs::exists(Storage() / "refs/main"));  // nobody finds a half snapshot by its branch

  hub_.files[kShard1].break_after.clear();
  progress_.clear();
  const size_t before = hub_.Requests().size();
  const auto snapshot = Resolve();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ExpectWhole(*snapshot);
  const auto requests = hub_.Requests();
  for (size_t i = before; i < requests.size(); ++i)
    if (requests[i].from_storage && requests[i].target.ends_with(kShard1)) {
      EXPECT_EQ(requests[i].headers.at("range"), "bytes=300000-");
    }
  EXPECT_EQ(progress_.back().bytes_done, 1'200'004);
}

TEST_F(HubTest, AServerWithoutRangesStartsOver) {
  hub_.files[kShard1].break_after = {300'000};
  hub_.files[kShard1].ignore_range = true;
  const auto snapshot = Resolve();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ExpectWhole(*snapshot);
  EXPECT_EQ(progress_.back().bytes_done, 1'200'004);
}

TEST_F(HubTest, AServerThatNeverGetsFurtherIsGivenUp) {
  hub_.files[kShard1].break_after = std::vector<size_t>(50, 300'000);
  hub_.files[kShard1].ignore_range = true;
  EXPECT_EQ(Failure().code, ErrorCode::kUnavailable);
  EXPECT_EQ(hub_.files[kShard1].break_after.size(), 46u);  // attempts_max of them
}

TEST_F(HubTest, GarbageLeftBySomebodyElseIsReplaced) {
  Write(Part(kShard1), Random(1000, 77));             // a wrong beginning
  Write(Part(kShard2), Random(900'000, 78));          // longer than the file
  Write(Blob("tokenizer.json"), "a truncated blob");  // a blob of another size
  const auto snapshot = Resolve();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ExpectWhole(*snapshot);
}

TEST_F(HubTest, ErrorsThatPassAreWaitedOut) {
  hub_.api_fail_first = 2;
  hub_.files[kShard2].fail_first = 3;
  hub_.files["config.json"].fail_first = 1;
  const auto snapshot = Resolve();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ExpectWhole(*snapshot);
}

TEST_F(HubTest, ErrorsThatStayAreReportedAfterAFewAttempts) {
  hub_.files[kShard2].fail_first = 1000;
  const Error error = Failure();
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_NE(error.message.find("503"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find(kShard2), std::string::npos) << error.message;
}

TEST_F(HubTest, WrongContentNeverGetsItsName) {
  hub_.files[kShard2].served = Random(500'003, 99);  // the right size, other bytes
  const Error error = Failure();
  EXPECT_EQ(error.code, ErrorCode::kDataLoss);
  EXPECT_NE(error.message.find(kShard2), std::string::npos) << error.message;
  EXPECT_NE(error.message.find(hub_.files[kShard2].Hash()), std::string::npos) << error.message;
  EXPECT_FALSE(fs::exists(Blob(kShard2)));
  EXPECT_FALSE(fs::exists(Part(kShard2)));
  EXPECT_FALSE(fs::exists(Storage() / "snapshots" / hub_.commit / kShard2));
}

TEST_F(HubTest, WrongContentOfASmallFileIsSeenByItsGitHash) {
  hub_.files["config.json"].served = R"({"model_type":"evil______"})";
  ASSERT_EQ(hub_.files["config.json"].served.size(), hub_.files["config.json"].content.size());
  const Error error = Failure();
  EXPECT_EQ(error.code, ErrorCode::kDataLoss);
  EXPECT_NE(error.message.find("config.json"), std::string::npos) << error.message;
}

TEST_F(HubTest, LiesAboutSizesAreSeen) {
  struct Row {
    const char* what;
    void (*lie)(FakeHub::File&);
  };
  const Row rows[] = {
      {"listed longer than it is", [](FakeHub::File& f) { f.listed_size = 500'100; }},
      {"listed shorter than it is", [](FakeHub::File& f) { f.listed_size = 400'000; }},
      {"listed longer, no length given",
       [](FakeHub::File& f) {
         f.listed_size = 500'100;
         f.no_length = true;
       }},
      {"listed shorter, no length given",
       [](FakeHub::File& f) {
         f.listed_size = 400'000;
         f.no_length = true;
       }},
      {"a negative size", [](FakeHub::File& f) { f.listed_size = -5; }},
      {"another part than asked for",
       [](FakeHub::File& f) {
         f.break_after = {1000};
         f.wrong_range = "bytes 0-500002/500003";
       }},
      {"a part of a longer file",
       [](FakeHub::File& f) {
         f.break_after = {1000};
         f.wrong_range = "bytes 1000-500002/600000";
       }},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    fs::remove_all(root_ / "hub");
    const FakeHub::File honest = hub_.files[kShard2];
    row.lie(hub_.files[kShard2]);
    const Error error = Failure();
    EXPECT_EQ(error.code, ErrorCode::kDataLoss) << error.message;
    EXPECT_NE(error.message.find(kShard2), std::string::npos) << error.message;
    hub_.files[kShard2] = honest;
    EXPECT_FALSE(fs::exists(Blob(kShard2)));
  }
}

TEST_F(HubTest, ASizeTheDiskCannotHoldIsRefusedBeforeItBegins) {
  hub_.files[kShard2].listed_size = int64_t{1} << 60;
  const Error error = Failure();
  EXPECT_EQ(error.code, ErrorCode::kResourceExhausted);
  EXPECT_NE(error.message.find("free"), std::string::npos) << error.message;
  EXPECT_EQ(hub_.CountFor(kShard2), 0);
}

TEST_F(HubTest, AMirrorWithoutHashesInItsListingIsAskedFileByFile) {
  for (auto& [name, file] : hub_.files) file.listed_bare = true;
  const auto snapshot = Resolve();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ExpectWhole(*snapshot);
}

TEST_F(HubTest, TheTokenGoesToTheEndpointOnly) {
  hub_.required_token = "hf_secret";
  hub_.relative_redirect_first = true;
  HubConfig config = Config();
  config.token = "hf_secret";
  const auto snapshot = ResolveModel(hub_.id, "", config);
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ExpectWhole(*snapshot);
  int from_storage = 0, moved = 0;
  for (const RawRequest& request : hub_.Requests()) {
    EXPECT_EQ(request.headers.contains("authorization"), !request.from_storage) << request.target;
    from_storage += request.from_storage;
    moved += request.target.starts_with("/moved/");
  }
  EXPECT_EQ(from_storage, 2);
  EXPECT_EQ(moved, 2);
}

TEST_F(HubTest, MissingAndRefusedAccessSayWhatToDo) {
  hub_.required_token = "hf_secret";
  const Error missing = Failure();
  EXPECT_EQ(missing.code, ErrorCode::kUnauthenticated);
  EXPECT_NE(missing.message.find("set HF_TOKEN"), std::string::npos) << missing.message;
  HubConfig config = Config();
  config.token = "hf_other_token";
  const auto refused = ResolveModel(hub_.id, "", config);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  EXPECT_NE(refused.error().message.find("conditions"), std::string::npos);
  EXPECT_EQ(refused.error().message.find("hf_other_token"), std::string::npos) << "token shown";
  EXPECT_EQ(hub_.Requests().size(), 2u);  // neither was tried again
}

TEST_F(HubTest, UnknownModelsAndRevisionsAreNamed) {
  const auto unknown = ResolveModel("org/other", "", Config());
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kNotFound);
  EXPECT_NE(unknown.error().message.find("org/other"), std::string::npos);
  hub_.api_status = 404;
  hub_.api_error_code = "RevisionNotFound";
  const auto revision = ResolveModel(hub_.id, "v9", Config());
  ASSERT_FALSE(revision.has_value());
  EXPECT_EQ(revision.error().code, ErrorCode::kNotFound);
  EXPECT_NE(revision.error().message.find("org/tiny-model at v9"), std::string::npos);
  EXPECT_NE(revision.error().message.find("no such revision"), std::string::npos);
}

TEST_F(HubTest, RevisionsWithSlashesAreKeptApart) {
  const auto snapshot = ResolveModel(hub_.id, "refs/pr/1", Config());
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  EXPECT_EQ(Read(Storage() / "refs/refs/pr/1"), hub_.commit);
  EXPECT_EQ(hub_.Requests()[0].target,
            "/api/models/org/tiny-model/revision/refs%2Fpr%2F1?blobs=true");
  EXPECT_TRUE(FindInCache(hub_.id, "refs/pr/1", Config().cache_dir).has_value());
  EXPECT_FALSE(FindInCache(hub_.id, "main", Config().cache_dir).has_value());
}

TEST_F(HubTest, NamesThatLeaveTheSnapshotAreRefused) {
  for (const char* name : {"../../../config.json", "/etc/x.safetensors", "a/../../x.json", "..", "",
                           "a\\..\\x.safetensors", "a//b.json", "x\n.json"}) {
    hub_.extra_name = name;
    // An empty name means "none" to the fake hub; the parser is asked directly.
    const std::string listing =
        nlohmann::json{{"sha", hub_.commit}, {"siblings", {{{"rfilename", name}}}}}.dump();
    const auto manifest = ParseManifest(listing);
    ASSERT_FALSE(manifest.has_value()) << name;
    EXPECT_EQ(manifest.error().code, ErrorCode::kDataLoss);
    if (*name != '\0') {
      EXPECT_EQ(Failure().code, ErrorCode::kDataLoss) << name;
    }
  }
  EXPECT_FALSE(fs::exists(Storage() / "snapshots"));
}

TEST_F(HubTest, AnIndexCannotNameFilesElsewhere) {
  for (const char* shard :
       {"../x.safetensors", "/x.safetensors", "sub/x.safetensors", "x.bin", ""}) {
    const auto shards = ShardsOfIndex(nlohmann::json{{"weight_map", {{"tensor", shard}}}}.dump());
    ASSERT_FALSE(shards.has_value()) << shard;
    EXPECT_NE(shards.error().message.find("\"tensor\""), std::string::npos);
  }
  for (const char* text : {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})",
                           R"({"weight_map":{"a":1}})", "{\"weight_map\":"})
    EXPECT_FALSE(ShardsOfIndex(text).has_value()) << text;
  hub_.files["model.safetensors.index.json"] = {
      .content = R"({"weight_map":{"a":"model-00007-of-00002.safetensors"}})"};
  const Error error = Failure();
  EXPECT_NE(error.message.find("model-00007-of-00002.safetensors"), std::string::npos);
}

TEST_F(HubTest, ListingsThatAreNoListingsAreErrors) {
  const std::string commit(40, 'a');
  for (const std::string& text :
       {std::string(""), std::string("<html>"), std::string("[]"), std::string("{}"),
        std::string(R"({"sha":"main","siblings":[]})"), R"({"sha":")" + commit + R"("})",
        R"({"sha":")" + commit + R"(","siblings":{}})",
        R"({"sha":")" + commit + R"(","siblings":[1]})",
        R"({"sha":")" + commit +
            R"(","siblings":[{"rfilename":"config.json","blobId":"../../x","size":1}]})",
        R"({"sha":")" + commit +
            R"(","siblings":[{"rfilename":"x.safetensors","lfs":{"sha256":"AB","size":1}}]})"}) {
    const auto manifest = ParseManifest(text);
    ASSERT_FALSE(manifest.has_value()) << text;
    EXPECT_EQ(manifest.error().code, ErrorCode::kDataLoss);
  }
}

TEST_F(HubTest, TwoDownloadsAtOnceDoNotClash) {
  Result<std::string> other;
  std::thread thread([&] {
    HubConfig config = Config();
    config.on_progress = [](const HubProgress&) {};
    other = ResolveModel(hub_.id, "", config);
  });
  const auto snapshot = Resolve();
  thread.join();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ASSERT_TRUE(other.has_value()) << other.error().message;
  ExpectWhole(*snapshot);
}

TEST_F(HubTest, ABlobSomebodyHoldsLockedIsNotDownloadedTwice) {
  const fs::path lock =
      root_ / "hub/.locks/models--org--tiny-model" / (hub_.files[kShard1].Hash() + ".lock");
  Write(lock, "");
  const int fd = ::open(lock.c_str(), O_RDWR);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  std::atomic<bool> done = false;
  Result<std::string> snapshot;
  std::thread thread([&] {
    snapshot = Resolve();
    done = true;
  });
  // The other process finishes the blob, then lets go.
  while (!fs::exists(Blob(kShard2))) std::this_thread::yield();
  EXPECT_FALSE(done);
  Write(Blob(kShard1), hub_.files[kShard1].content);
  ::close(fd);
  thread.join();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  ExpectWhole(*snapshot);
  EXPECT_EQ(hub_.CountFor(kShard1), 0);
}

TEST_F(HubTest, OfflineAndAbsentSaysBoth) {
  HubConfig config = Config();
  config.offline = true;
  const auto absent = ResolveModel(hub_.id, "", config);
  ASSERT_FALSE(absent.has_value());
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  EXPECT_NE(absent.error().message.find("HF_HUB_OFFLINE"), std::string::npos);
  EXPECT_TRUE(hub_.Requests().empty());

  ASSERT_TRUE(Resolve().has_value());
  fs::remove(Blob(kShard2));  // a dangling link is a missing file
  const auto incomplete = ResolveModel(hub_.id, "", config);
  ASSERT_FALSE(incomplete.has_value());
  EXPECT_NE(incomplete.error().message.find(kShard2), std::string::npos);
  // Online, only what is missing is fetched.
  const auto whole = Resolve();
  ASSERT_TRUE(whole.has_value());
  ExpectWhole(*whole);
  EXPECT_EQ(hub_.CountFor(kShard1), 2);  // the redirect and the storage, once each
  EXPECT_EQ(hub_.CountFor(kShard2), 4);
}

TEST_F(HubTest, AnUnreachableHubIsNamed) {
  HubConfig config = Config();
  config.endpoint = "http://127.0.0.1:1";
  const auto result = ResolveModel(hub_.id, "", config);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(result.error().message.find("127.0.0.1:1"), std::string::npos);
  config.endpoint = "ftp://mirror";
  const auto bad = ResolveModel(hub_.id, "", config);
  ASSERT_FALSE(bad.has_value());
  EXPECT_NE(bad.error().message.find("HF_ENDPOINT"), std::string::npos);
}

TEST_F(HubTest, ADirectoryIsItself) {
  EXPECT_EQ(ResolveModel(root_.string(), "", Config()).value_or(""), root_.string());
  for (const char* path : {"/no/such/dir", "./none", "../none", "~/none", "a/b/c", "none/"}) {
    const auto result = ResolveModel(path, "", Config());
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(result.error().message.find("no directory"), std::string::npos) << path;
  }
}

TEST(HubNames, AreCheckedAsTheHubDoes) {
  for (const char* id : {"Qwen/Qwen3-Next-80B-A3B-Instruct", "gpt2", "a/b", "o.r-g/m_o.d-el"})
    EXPECT_TRUE(CheckHubId(id).has_value()) << id;
  for (const char* id : {"", "/", "a/", "/b", "a/b/c", "a--b/c", "a/b..c", "a/b.git", "a b/c",
                         "ä/b", "-a/b", "a/b-", ".a/b", "a/b.", "a/b?x", "a/b%2e", "a\\b"})
    EXPECT_FALSE(CheckHubId(id).has_value()) << id;
  EXPECT_FALSE(CheckHubId(std::string(97, 'a')).has_value());
  for (const char* revision :
       {"main", "v1.0", "refs/pr/1", "feature/x-1", "0123456789abcdef0123456789abcdef01234567"})
    EXPECT_TRUE(CheckRevision(revision).has_value()) << revision;
  for (const char* revision : {"", "..", "../main", "a/../b", "/main", "main/", "a//b", "a b",
                               "a\nb", "a\\b", ".", "a/./b", "./a"})
    EXPECT_FALSE(CheckRevision(revision).has_value()) << revision;
}

TEST(HubEnvironment, IsReadAsHuggingfaceHubReadsIt) {
  const auto config = [](std::map<std::string, std::string> env) {
    env.emplace("HOME", "/home/u");
    return HubConfigFromEnvironment([&](const char* name) -> const char* {
      const auto found = env.find(name);
      return found == env.end() ? nullptr : found->second.c_str();
    });
  };
  EXPECT_EQ(config({}).cache_dir, "/home/u/.cache/huggingface/hub");
  EXPECT_EQ(config({}).endpoint, "https://huggingface.co");
  EXPECT_EQ(config({{"XDG_CACHE_HOME", "/x"}}).cache_dir, "/x/huggingface/hub");
  EXPECT_EQ(config({{"HF_HOME", "/h"}}).cache_dir, "/h/hub");
  EXPECT_EQ(config({{"HF_HOME", "~/h"}}).cache_dir, "/home/u/h/hub");
  EXPECT_EQ(config({{"HF_HOME", "/h"}, {"HF_HUB_CACHE", "/c"}}).cache_dir, "/c");
  EXPECT_EQ(config({{"HF_ENDPOINT", "http://mirror:8080/"}}).endpoint, "http://mirror:8080/");
  EXPECT_EQ(config({{"HF_TOKEN", " hf_x\n"}}).token, "hf_x");
  for (const char* yes : {"1", "true", "ON", "Yes"})
    EXPECT_TRUE(config({{"HF_HUB_OFFLINE", yes}}).offline) << yes;
  EXPECT_FALSE(config({{"HF_HUB_OFFLINE", "0"}}).offline);
  char folder[] = "/tmp/nextgate_hub_XXXXXX";
  const fs::path home = ::mkdtemp(folder);
  Write(home / "token", "hf_file\n");
  EXPECT_EQ(config({{"HF_HOME", home}}).token, "hf_file");
  EXPECT_EQ(config({{"HF_HOME", home}, {"HF_TOKEN", "hf_env"}}).token, "hf_env");
  EXPECT_EQ(config({{"HF_HOME", home}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}}).token, "");
  fs::remove_all(home);
}

TEST(HubProgressLine, SaysGigabytesSpeedAndTimeLeft) {
  EXPECT_EQ(FormatProgress({.bytes_done = 3'210'000'000,
                            .bytes_total = 162'700'000'000,
                            .files_done = 4,
                            .files_total = 51,
                            .bytes_per_s = 850'000'000}),
            "3.21 of 162.70 GB, 0.85 GB/s, 3 min 7 s remaining (4 of 51 files)");
  EXPECT_EQ(FormatProgress({.bytes_total = 1'000'000'000, .files_total = 1}),
            "0.00 of 1.00 GB, 0.00 GB/s (0 of 1 files)");
  EXPECT_NE(
      FormatProgress({.bytes_total = 9'000'000'000'000, .bytes_per_s = 1e9}).find("2 h 30 min"),
      std::string::npos);
}

}  // namespace
}  // namespace nextgate::gateway
