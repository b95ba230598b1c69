// The prefix cache's lower tiers, through the engine: what comes from host memory or a disk gives what
// would be computed, and whatever happens to a file is a miss.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/engine_client.h"
#include "tests/support/fake_model.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class TempDir : public nextgate::testing::TempDir {
 public:
  std::vector<fs::path> files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(path()))
      if (entry.is_regular_file() && entry.path().extension() == ".prefix")
        files.push_back(entry.path());
    return files;
  }
};

// Room on the device for little more than one request.
EngineConfig Tight() {
  EngineConfig config = SmallConfig();
  config.max_model_len = 1024;
  config.max_num_batched_tokens = 512;
  config.kv_tokens = 16 * kBlockTokens;
  config.prefix_checkpoints = 12;
  return config;
}
EngineConfig WithDisk(const TempDir& dir) {
  EngineConfig config = Tight();
  config.prefix_disk_dir = dir.path();
  return config;
}

PrefixTierStats TierOf(const Engine& engine, const std::string& name) {
  for (const PrefixTierStats& tier : engine.Stats().prefix.tiers)
    if (tier.name == name) return tier;
  ADD_FAILURE() << "no tier " << name;
  return {};
}

// Copying down happens behind the answers.
void AwaitStored(const Engine& engine, const std::string& tier, uint64_t count) {
  for (int i = 0; i < 2'000 && TierOf(engine, tier).stored < count; ++i)
    std::this_thread::sleep_for(milliseconds(5));
  EXPECT_GE(TierOf(engine, tier).stored, count);
}

void PushOut(Engine& engine) {
  for (uint32_t i = 0; i < 4; ++i) CachedOf(engine, Greedy(Tokens(900 + i, 700), 2));
}

TEST(PrefixTiers, WhatTheDeviceGaveUpComesBackFromTheHost) {
  EngineConfig config = Tight();
  config.prefix_host_bytes = 1 << 20;
  const auto engine = Open(config);
  const GenerationRequest request = Greedy(Tokens(1, 700), 3);
  EXPECT_EQ(CachedOf(*engine, request), 0);
  AwaitStored(*engine, "host", 1);
  PushOut(*engine);
  EXPECT_EQ(CachedOf(*engine, request), 640);
  EXPECT_EQ(TierOf(*engine, "host").loaded, 1u);
}

TEST(PrefixTiers, ARestartFindsTheDiskAgainAndAnotherModelDoesNot) {
  const TempDir dir;
  const GenerationRequest request = Greedy(Tokens(1, 700), 3);
  {
    const auto engine = Open(WithDisk(dir));
    EXPECT_EQ(CachedOf(*engine, request), 0);
    AwaitStored(*engine, "disk", 1);
  }
  {
    const auto engine = Open(WithDisk(dir));
    EXPECT_GE(TierOf(*engine, "disk").discovered, 1u);
    GenerationRequest other = request;
    other.cache_salt = "another tenant";
    EXPECT_EQ(CachedOf(*engine, other), 0);
    EXPECT_EQ(CachedOf(*engine, request), 640);
  }
  EngineConfig config = WithDisk(dir);
  config.prefix_state_format = "fp32";  // the same by its name
  EXPECT_EQ(CachedOf(*Open(config), request), 640);
  fs::rename(dir.files().front().parent_path(), dir.path() + "/v1-another-model");
  EXPECT_EQ(CachedOf(*Open(WithDisk(dir)), request), 0);
}

TEST(PrefixTiers, InstancesThatSeeTheSameDirectoryShareIt) {
  const TempDir dir;
  const auto one = Open(WithDisk(dir));
  const auto two = Open(WithDisk(dir));
  const GenerationRequest request = Greedy(Tokens(1, 700), 3);
  EXPECT_EQ(CachedOf(*one, request), 0);
  AwaitStored(*one, "disk", 1);
  for (int i = 0; i < 400 && TierOf(*two, "disk").discovered < 1; ++i)
    std::this_thread::sleep_for(milliseconds(25));
  EXPECT_EQ(CachedOf(*two, request), 640);
}

// Every file, damaged in every way: a miss, right answers, and the tier goes on.
TEST(PrefixTiers, ADamagedOrForeignFileIsAMiss) {
  const auto damages = std::vector<std::pair<std::string, void (*)(const fs::path&)>>{
      {"none", [](const fs::path&) {}},
      {"cut", [](const fs::path& p) { fs::resize_file(p, fs::file_size(p) / 2); }},
      {"cut in the header", [](const fs::path& p) { fs::resize_file(p, 50); }},
      {"empty", [](const fs::path& p) { fs::resize_file(p, 0); }},
      {"longer", [](const fs::path& p) { std::ofstream(p, std::ios::app) << "more"; }},
      {"a bit of the payload",
       [](const fs::path& p) {
         std::fstream file(p, std::ios::in | std::ios::out | std::ios::binary);
         file.seekg(-7, std::ios::end);
         const auto byte = static_cast<char>(file.get() ^ 4);
         file.seekp(-7, std::ios::end);
         file.put(byte);
       }},
      {"a bit of the header",
       [](const fs::path& p) {
         std::fstream file(p, std::ios::in | std::ios::out | std::ios::binary);
         file.seekp(49);
         file.put('\x40');
       }},
      {"foreign", [](const fs::path& p) { std::ofstream(p) << std::string(5000, 'x'); }},
      {"gone", [](const fs::path& p) { fs::remove(p); }},
      {"a directory",
       [](const fs::path& p) {
         fs::remove(p);
         fs::create_directory(p);
       }},
      {"a fifo",
       [](const fs::path& p) {
         fs::remove(p);
         ::mkfifo(p.c_str(), 0600);
       }},
  };
  for (const bool while_running : {false, true})
    for (const auto& [what, damage] : damages) {
      SCOPED_TRACE(what + (while_running ? ", under a running engine" : ""));
      const TempDir dir;
      const GenerationRequest request = Greedy(Tokens(1, 700), 3);
      auto engine = Open(WithDisk(dir));
      EXPECT_EQ(CachedOf(*engine, request), 0);
      AwaitStored(*engine, "disk", 1);
      if (while_running) {
        PushOut(*engine);
      } else {
        engine.reset();
      }
      for (const fs::path& file : dir.files()) damage(file);
      if (!while_running) engine = Open(WithDisk(dir));
      EXPECT_EQ(CachedOf(*engine, request), what == "none" ? 640 : 0);
      EXPECT_EQ(CachedOf(*engine, request), 640) << "computed again";
      const PrefixTierStats tier = TierOf(*engine, "disk");
      EXPECT_TRUE(tier.works);
      if (while_running && what != "gone") {  // that may have been seen before
        EXPECT_EQ(tier.load_failures, what == "none" ? 0u : 1u);
      }
    }
}

TEST(PrefixTiers, ADirectoryThatGoesAwayStopsBeingUsed) {
  const TempDir dir;
  const auto engine = Open(WithDisk(dir));
  fs::remove_all(dir.path());
  for (uint32_t i = 0; i < 5; ++i) {
    const GenerationRequest request = Greedy(Tokens(i, 700), 3);
    EXPECT_EQ(CachedOf(*engine, request), 0);
    EXPECT_EQ(CachedOf(*engine, request), 640);
  }
  EXPECT_EQ(TierOf(*engine, "disk").stored, 0u);
  EXPECT_FALSE(TierOf(*engine, "disk").works);
}

TEST(PrefixTiers, KeepsWithinItsBytes) {
  const TempDir dir;
  EngineConfig config = WithDisk(dir);
  config.prefix_disk_bytes = 60'000;
  config.prefix_host_bytes = 40 * 1024;
  {
    const auto engine = Open(config);
    const auto moved = [&](const char* tier) { return TierOf(*engine, tier).evicted > 5; };
    for (uint32_t i = 0; i < 30 || (i < 3'000 && !(moved("disk") && moved("host"))); ++i)
      CachedOf(*engine, Greedy(Tokens(i, 300 + 10 * (i % 40)), 70));
    EXPECT_LE(TierOf(*engine, "disk").bytes, 60'000);
    EXPECT_LE(TierOf(*engine, "host").bytes, 40 * 1024);
    EXPECT_TRUE(moved("disk") && moved("host"));
  }
  uintmax_t bytes = 0;
  for (const fs::path& file : dir.files()) bytes += fs::file_size(file);
  EXPECT_LE(bytes, 60'000u);
  config.prefix_disk_bytes = 20'000;  // less than there is
  EXPECT_LE(TierOf(*Open(config), "disk").bytes, 20'000);
}

TEST(PrefixTiers, ADirectoryThatCannotBeHadIsAnErrorAtTheStart) {
  EngineConfig config = Tight();
  config.prefix_disk_dir = "/proc/nowhere";
  const auto engine = Engine::Open(config, std::make_unique<FakeModel>());
  ASSERT_FALSE(engine.has_value());
  EXPECT_EQ(engine.error().param, "--prefix-disk-dir");
}

// What a preempted sequence leaves is copied down at once and stays leased for that long: its blocks are not
// there yet for those who run.
TEST(PrefixTiers, SequencesInLockstepGoOnWhereBlocksAreBeingCopied) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    EngineConfig config = Tight();
    config.kv_tokens = 7 * kBlockTokens;
    config.max_model_len = 7 * kBlockTokens;
    config.prefix_host_bytes = 1 << 20;
    const auto engine = Open(config);
    std::vector<GenerationRequest> requests;
    std::vector<std::unique_ptr<Generation>> generations;
    for (uint32_t i = 0; i < 3; ++i) {
      requests.push_back(Greedy(Tokens(10 * seed + i, 100), 60));
      generations.push_back(Submit(*engine, requests.back()));
    }
    for (size_t i = 0; i < requests.size(); ++i)
      ExpectEqual(Collect(*generations[i]), Expected(requests[i]), requests[i]);
  }
}

TEST(PrefixTiers, AfterAResetNothingIsFoundInAnyTier) {
  const TempDir dir;
  EngineConfig config = WithDisk(dir);
  config.prefix_host_bytes = 1 << 20;
  const GenerationRequest request = Greedy(Tokens(1, 700), 3);
  const GenerationRequest other = Greedy(Tokens(2, 700), 3);
  {
    const auto engine = Open(config);
    EXPECT_EQ(CachedOf(*engine, request), 0);
    ASSERT_TRUE(engine->ResetPrefixCache().has_value());  // while it may still be copied down
    EXPECT_EQ(CachedOf(*engine, request), 0);
    const uint64_t stored = TierOf(*engine, "disk").stored;
    EXPECT_EQ(CachedOf(*engine, other), 0);
    AwaitStored(*engine, "disk", stored + 1);
    ASSERT_TRUE(engine->ResetPrefixCache().has_value());
    for (int i = 0; i < 400 && TierOf(*engine, "disk").records > 0; ++i)
      std::this_thread::sleep_for(milliseconds(25));
    EXPECT_EQ(TierOf(*engine, "disk").records, 0);
  }
  const auto again = Open(config);
  EXPECT_EQ(CachedOf(*again, request), 0);
  EXPECT_EQ(CachedOf(*again, other), 0);
}

// Branching conversations over pools that are far too small, so that everything moves all the time.
TEST(PrefixTiers, WhatMovesUnderLoadGivesWhatWouldBeComputed) {
  uint64_t loaded = 0;
  for (uint32_t seed = 0; seed < 24 || (loaded <= 30 && seed < 100); ++seed) {
    SCOPED_TRACE(seed);
    const TempDir dir;
    std::mt19937 random(seed);
    EngineConfig config = Tight();
    config.kv_tokens = static_cast<int64_t>(8 + random() % 8) * kBlockTokens;
    config.prefix_checkpoints = 1 + static_cast<int32_t>(random() % 8);
    config.max_num_seqs = 1 + static_cast<int32_t>(random() % 4);
    if (seed >= 12) {  // both in one memory
      config.kv_tokens = 0;
      config.prefix_checkpoints = -1;
      config.max_model_len = 512;
    }
    if (seed % 3 != 0) config.prefix_host_bytes = 1 << 18;
    if (seed % 3 != 1) config.prefix_disk_dir = dir.path();
    std::vector<std::vector<int32_t>> known = {Tokens(seed, 200)};
    for (int restart = 0; restart < 3; ++restart) {
      const auto engine = Open(config);
      for (int round = 0; round < 12; ++round) {
        std::vector<GenerationRequest> requests;
        std::vector<std::unique_ptr<Generation>> generations;
        for (size_t i = 0; i < 1 + random() % 4; ++i) {
          const auto& old = known[random() % known.size()];
          std::vector<int32_t> prompt(old.begin(),
                                      old.begin() + static_cast<int64_t>(random() % old.size()));
          const auto more = Tokens(static_cast<uint32_t>(random()), 1 + random() % 90);
          prompt.insert(prompt.end(), more.begin(), more.end());
          prompt.resize(std::min<size_t>(prompt.size(), 380));
          requests.push_back(Greedy(prompt, 1 + static_cast<int32_t>(random() % 80)));
          generations.push_back(Submit(*engine, requests.back()));
        }
        for (size_t i = 0; i < requests.size(); ++i) {
          if (random() % 8 == 0) {
            generations[i].reset();
            continue;
          }
          const Collected got = Collect(*generations[i]);
          ExpectEqual(got, Expected(requests[i]), requests[i]);
          known.push_back(requests[i].prompt);
          known.back().insert(known.back().end(), got.tokens.begin(), got.tokens.end());
        }
        std::this_thread::sleep_for(milliseconds(1));
      }
      for (const PrefixTierStats& tier : engine->Stats().prefix.tiers) {
        loaded += tier.loaded;
        EXPECT_EQ(tier.load_failures + tier.store_failures, 0u) << tier.name;
      }
    }
  }
  EXPECT_GT(loaded, 30u);
}

}  // namespace
}  // namespace nextgate::engine
