#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/cpu_quota.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/queue.h"
#include "base/status.h"

namespace nextgate {
namespace {

using std::chrono::milliseconds;

Result<int> Half(int x) {
  if (x % 2 != 0) return InvalidArgument("x must be even, got an odd one", "x");
  return x / 2;
}

Result<int> Quarter(int x) {
  ASSIGN_OR_RETURN(int half, Half(x));
  RETURN_IF_ERROR(Half(half));
  return half / 2;
}

TEST(Status, MacrosReturnTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(3).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Quarter(6).error().param, "x");
}

TEST(Queue, KeepsOrderRefusesWhenFullAndDrainsAfterClose) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_FALSE(queue.TryPush(3));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(4));
  EXPECT_EQ(queue.Pop(milliseconds(0)), 1);
  EXPECT_EQ(queue.TryPop(), 2);
  EXPECT_EQ(queue.Pop(milliseconds(0)), std::nullopt);
}

TEST(Queue, PopWaitsForAProducer) {
  BoundedQueue<int> queue(1);
  std::jthread producer([&] { ASSERT_TRUE(queue.TryPush(7)); });
  EXPECT_EQ(queue.Pop(std::chrono::seconds(30)), 7);
}

TEST(Hash, IsXxh3AndPrintsHighFirst) {
  // The reference value of XXH3_128bits("") from the xxHash specification.
  EXPECT_EQ(HashBytes("").Hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_NE(HashBytes("a"), HashBytes("b"));
  std::string bytes(100'000, 'x');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i % 251);
  HashStream stream;
  for (size_t at = 0, piece = 1; at < bytes.size(); at += piece, piece = piece * 3 % 7001)
    stream.Add(std::string_view(bytes).substr(at, piece));
  EXPECT_EQ(stream.hash(), HashBytes(bytes));
}

class Files : public testing::Test {
 protected:
  Files() {
    char folder[] = "/tmp/nextgate_base_XXXXXX";
    dir_ = ::mkdtemp(folder);
  }
  ~Files() override { std::filesystem::remove_all(dir_); }
  void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }
  std::string Path(const std::string& name) const { return (dir_ / name).string(); }
  std::filesystem::path dir_;
};

TEST_F(Files, RegularOnesAreReadWholeUpToALimit) {
  const std::string bytes("a\0b\n", 4);
  Write("file", bytes);
  std::filesystem::create_symlink("file", dir_ / "link");
  EXPECT_EQ(*ReadFile(Path("file"), 4), bytes);
  EXPECT_EQ(*ReadFile(Path("link"), 100), bytes);
  const auto large = ReadFile(Path("file"), 3);
  ASSERT_FALSE(large.has_value());
  EXPECT_EQ(large.error().code, ErrorCode::kDataLoss);
  EXPECT_NE(large.error().message.find("4 bytes, at most 3"), std::string::npos);
  EXPECT_EQ(ReadFile(Path("none"), 3).error().code, ErrorCode::kNotFound);
}

TEST_F(Files, PipesFoldersAndDevicesAreErrorsAtOnce) {
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0600), 0);
  std::filesystem::create_directory(dir_ / "folder");
  std::filesystem::create_symlink("loop", dir_ / "loop");
  for (const auto& [path, kind] :
       {std::pair(Path("pipe"), "a pipe"), std::pair(Path("folder"), "a directory"),
        std::pair(std::string("/dev/zero"), "a device")}) {
    const auto read = ReadFile(path, 100);
    ASSERT_FALSE(read.has_value()) << path;
    EXPECT_EQ(read.error().code, ErrorCode::kDataLoss);
    EXPECT_NE(read.error().message.find(path + ": expected a regular file, it is " + kind),
              std::string::npos)
        << read.error().message;
  }
  EXPECT_FALSE(ReadFile(Path("loop"), 100).has_value());
}

TEST_F(Files, AControlGroupsQuotaLimitsTheProcessors) {
  const int all = UsableProcessors(Path("no-such-group"));
  EXPECT_GE(all, 1);
  EXPECT_EQ(ProcessorQuota(Path("no-such-group")), 0);
  struct Row {
    const char* text;
    int quota;
  };
  for (const Row& row : {Row{"150000 100000\n", 2}, Row{"100000 100000\n", 1},
                         Row{"5000 100000\n", 1}, Row{"max 100000\n", 0}, Row{"", 0},
                         Row{"6400000 100000", 64}, Row{"0 0\n", 0}, Row{"-1 100000\n", 0}}) {
    Write("v2/cpu.max", row.text);
    EXPECT_EQ(ProcessorQuota(Path("v2")), row.quota) << row.text;
  }
  Write("v2/cpu.max", "100000 100000\n");
  EXPECT_EQ(UsableProcessors(Path("v2")), 1);
  Write("v1/cpu/cpu.cfs_quota_us", "-1\n");
  Write("v1/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(ProcessorQuota(Path("v1")), 0);
  EXPECT_EQ(UsableProcessors(Path("v1")), all);
  Write("v1/cpu/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(ProcessorQuota(Path("v1")), 3);
}

TEST(ManualClock, MovesOnlyWhenTold) {
  ManualClock clock(1000);
  const int64_t before = clock.MonotonicNs();
  clock.AdvanceMs(5);
  EXPECT_EQ(clock.UnixMs(), 1005);
  EXPECT_EQ(clock.MonotonicNs() - before, 5'000'000);
}

}  // namespace
}  // namespace nextgate
