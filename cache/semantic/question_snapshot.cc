// QuestionIndex::Save and Load. The file, all numbers little-endian:
//
//   "nextgqix", u32 version, u32 dimension, u64 length and bytes of the caller's header, u64 groups,
//   per group: its key, u32 rows, u8 graph?, per row {id, i64 position, i64 expires (kDead: not alive)},
//     [rows, width] halves, the graph (vector_graph.cc) with how many rows it is over,
//   the XXH3 of all that, 16 bytes.
//
// A group with a graph keeps its dead rows, which the graph walks over; of others only the living are written.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "base/file.h"
#include "cache/semantic/graph_builder.h"
#include "cache/semantic/half_vector.h"
#include "cache/semantic/question_index.h"
#include "cache/semantic/question_table.h"
#include "cache/semantic/vector_graph.h"

namespace nextgate::cache {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "nextgqix";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kRows = QuestionBlock::kRows;
constexpr size_t kHashBytes = 16;
constexpr size_t kRowBytes = kHashBytes + 2 * sizeof(int64_t);

// A file in the making, hashed as it is written; gone again unless it was kept.
class Draft {
 public:
  explicit Draft(const std::string& path)
      : path_(path),
        draft_(fmt::format("{}.{}.new", path, ::getpid())),
        file_(std::fopen(draft_.c_str(), "wbe")),
        errno_(file_ == nullptr ? errno : 0) {}
  ~Draft() {
    if (file_ != nullptr) (void)std::fclose(file_);
    if (!draft_.empty()) (void)::unlink(draft_.c_str());
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  void Bytes(std::string_view bytes) {
    hash_.Add(bytes);
    Raw(bytes);
  }
  template <class T>
  void Number(T value) {
    Bytes({reinterpret_cast<const char*>(&value), sizeof(value)});
  }
  void Hash(const Hash128& hash) {
    Number(hash.high);
    Number(hash.low);
  }

  Status Keep() {
    const Hash128 hash = hash_.hash();
    Raw({reinterpret_cast<const char*>(&hash.high), sizeof(hash.high)});
    Raw({reinterpret_cast<const char*>(&hash.low), sizeof(hash.low)});
    if (!failed_ && (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0 ||
                     ::rename(draft_.c_str(), path_.c_str()) != 0))
      Fail();
    if (failed_)
      return MakeError(ErrorCode::kUnavailable,
                       fmt::format("{}: the question index cannot be written: {}", path_,
                                   std::generic_category().message(errno_)));
    draft_.clear();
    return {};
  }

 private:
  void Raw(std::string_view bytes) {
    if (file_ == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
      Fail();
  }
  void Fail() {
    if (!failed_ && errno_ == 0) errno_ = errno;
    failed_ = true;
  }

  const std::string path_;
  std::string draft_;
  std::FILE* const file_;
  HashStream hash_;
  int errno_;
  bool failed_ = false;
};

void WriteGroup(Draft& draft, const Hash128& key, const GroupView& view, uint32_t size) {
  std::vector<uint32_t> rows;
  std::vector<bool> alive;
  for (uint32_t r = 0; r < size; ++r) {
    const bool lives = view.row(r).alive();
    if (!lives && view.graph == nullptr) continue;
    rows.push_back(r);
    alive.push_back(lives);
  }
  draft.Hash(key);
  draft.Number(static_cast<uint32_t>(rows.size()));
  draft.Number(static_cast<uint8_t>(view.graph != nullptr));
  for (size_t i = 0; i < rows.size(); ++i) {
    const QuestionRow& row = view.row(rows[i]);
    draft.Hash(row.id);
    draft.Number(row.position);
    draft.Number(alive[i] ? row.expires_unix_ms : QuestionTable::kDead);
  }
  for (const uint32_t r : rows)
    draft.Bytes({reinterpret_cast<const char*>(view.halves(r)), view.width * sizeof(uint16_t)});
  if (view.graph == nullptr) return;
  draft.Number(view.graph_rows);
  view.graph->Write([&](std::string_view bytes) { draft.Bytes(bytes); });
}

// Reads numbers off the front of bytes that nobody vouches for.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest(bytes) {}
  template <class T>
  T Number() {
    T value{};
    Copy(&value, sizeof(value));
    return value;
  }
  Hash128 Hash() {
    const auto high = Number<uint64_t>();
    return {.high = high, .low = Number<uint64_t>()};
  }
  // Zeros, and failed, if there are not so many.
  void Copy(void* to, size_t size) {
    if (size > rest.size()) {
      failed = true;
      rest = {};
      return;
    }
    std::memcpy(to, rest.data(), size);
    rest.remove_prefix(size);
  }
  std::string_view rest;
  bool failed = false;
};

bool AreComponents(std::span<const uint16_t> halves) {
  for (const uint16_t half : halves) {
    const unsigned magnitude = half & 0x7fffU;
    // Below 2 in magnitude, and nothing that ToHalves would have made 0.
    if (magnitude >= 0x4000U || (magnitude != 0 && magnitude < 0x0400U)) return false;
  }
  return true;
}

// One group of the file into `table`. False: it is none.
bool ReadGroup(Reader& in, size_t width, QuestionTable& table) {
  const Hash128 key = in.Hash();
  const auto size = in.Number<uint32_t>();
  const auto graph = in.Number<uint8_t>();
  if (in.failed || graph > 1 || size > in.rest.size() / (kRowBytes + width * sizeof(uint16_t)) ||
      table.Find(key).view != nullptr)
    return false;
  GroupView view = {.width = width};
  bool any_alive = false;
  for (uint32_t r = 0; r < size; ++r) {
    if (r % kRows == 0) {
      const uint32_t capacity = size < kRows ? size : kRows;
      view.blocks.push_back(std::make_shared<QuestionBlock>(capacity, width));
    }
    QuestionRow& row = view.blocks.back()->rows[r % kRows];
    row.id = in.Hash();
    row.position = in.Number<int64_t>();
    row.expires_unix_ms = in.Number<int64_t>();
    any_alive = any_alive || row.expires_unix_ms != QuestionTable::kDead;
  }
  for (uint32_t r = 0; r < size; ++r) {
    uint16_t* halves = view.blocks[r / kRows]->halves.data() + r % kRows * width;
    in.Copy(halves, width * sizeof(uint16_t));
    if (!AreComponents({halves, width})) return false;
  }
  if (graph != 0) {
    view.graph_rows = in.Number<uint32_t>();
    if (in.failed || view.graph_rows > size) return false;
    auto read = VectorGraph::Read(in.rest, view.graph_rows);
    if (!read) return false;
    view.graph = std::move(*read);
  }
  if (in.failed) return false;
  if (any_alive) table.Restore(key, std::move(view), size);
  return true;
}

}  // namespace

Status QuestionIndex::Save(const std::string& path, std::string_view header) const {
  std::shared_ptr<const QuestionTable> table;
  std::vector<Hash128> keys;
  {
    std::lock_guard lock(mutex_);
    table = table_;
    keys = table->GroupKeys();
  }
  Draft draft(path);
  draft.Bytes(kMagic);
  draft.Number(kVersion);
  draft.Number(static_cast<uint32_t>(options_.dimension));
  draft.Number(static_cast<uint64_t>(header.size()));
  draft.Bytes(header);
  draft.Number(static_cast<uint64_t>(keys.size()));
  for (const Hash128& key : keys) {
    QuestionTable::Found found;
    {
      std::lock_guard lock(mutex_);
      found = table->Find(key);
    }
    // A group that went meanwhile is written as one of no rows.
    static const GroupView kNothing;
    WriteGroup(draft, key, found.view != nullptr ? *found.view : kNothing, found.size);
  }
  return draft.Keep();
}

Result<std::string> QuestionIndex::Load(const std::string& path) {
  const auto broken = [&](std::string_view what) {
    return DataLoss(fmt::format("{}: not a question index: {}", path, what));
  };
  const size_t width = PaddedDimension(static_cast<size_t>(options_.dimension));
  // Twice what the entries take that may be there, with graphs of any kind, and a header.
  const int64_t bytes_max =
      (int64_t{64} << 20) +
      options_.entries_max * 2 * static_cast<int64_t>(width * sizeof(uint16_t) + 1'024);
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, bytes_max));
  if (bytes.size() < kMagic.size() + kHashBytes || !bytes.starts_with(kMagic))
    return broken("it does not begin like one");
  const std::string_view body = std::string_view(bytes).substr(0, bytes.size() - kHashBytes);
  if (Reader(std::string_view(bytes).substr(body.size())).Hash() != HashBytes(body))
    return broken("its checksum is not that of its bytes");
  Reader in(body.substr(kMagic.size()));
  if (const auto version = in.Number<uint32_t>(); version != kVersion)
    return broken(fmt::format("version {}, expected {}", version, kVersion));
  if (const auto dimension = in.Number<uint32_t>(); dimension != options_.dimension)
    return broken(fmt::format("dimension {}, expected {}", dimension, options_.dimension));
  const auto header_bytes = in.Number<uint64_t>();
  if (in.failed || header_bytes > in.rest.size()) return broken("its header ends early");
  std::string header(in.rest.substr(0, header_bytes));
  in.rest.remove_prefix(header_bytes);
  auto table = std::make_shared<QuestionTable>(options_);
  for (auto left = in.Number<uint64_t>(); left > 0; --left)
    if (!ReadGroup(in, width, *table)) return broken("a group's rows or links are damaged");
  if (in.failed || !in.rest.empty()) return broken("it is longer or shorter than it says");
  table->RemoveOldest();
  std::lock_guard lock(mutex_);
  table->InheritCounters(*table_);
  table_.swap(table);
  builder_->Cancel();
  Step();
  return header;
}

}  // namespace nextgate::cache
