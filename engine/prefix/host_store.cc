// Host memory in cells of one block: a record takes one a block and as many as its state needs. On
// the CPU the device's pools are memory too, and this is a second pool beside them.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "engine/memory/lazy_buffer.h"
#include "engine/prefix/tier_store.h"

namespace nextgate::engine {

namespace {

class HostStore final : public TierStore {
 public:
  HostStore(const DevicePools& device, LazyBuffer memory, int64_t cells)
      : device_(device), memory_(std::move(memory)), cells_(cells) {
    free_.reserve(static_cast<size_t>(cells));
    for (int64_t cell = cells; cell-- > 0;) free_.push_back(cell);
  }

  const char* name() const override { return "host"; }
  int64_t RecordBytes(int32_t blocks) const override {
    return (StateCells() + blocks) * device_.block_bytes();
  }
  int64_t bytes_max() const override { return cells_ * device_.block_bytes(); }

  void Reserve(const TierRecord& record) override {
    std::vector<int64_t> cells;
    for (int64_t i = 0; i < StateCells() + record.blocks(); ++i) {
      CHECK(!free_.empty(), "the host tier has no room");
      cells.push_back(free_.back());
      free_.pop_back();
    }
    std::lock_guard lock(mutex_);
    CHECK(held_.emplace(&record, std::move(cells)).second);
  }

  void Free(const TierRecord& record) override {
    std::lock_guard lock(mutex_);
    const auto found = held_.find(&record);
    CHECK(found != held_.end());
    free_.insert(free_.end(), found->second.rbegin(), found->second.rend());
    held_.erase(found);
  }

  Status Write(const TierRecord& record, const DevicePlace& from, TierJob& job) override {
    const std::vector<int64_t> cells = CellsOf(record);
    if (cells.empty()) return NotFound("it was given up meanwhile");
    const auto device = job.Device();
    if (!device) return JobGivenUp();
    const std::byte* state = device_.checkpoints.at(from.slot);
    for (int64_t i = 0; i < StateCells(); ++i)
      std::memcpy(Cell(cells[static_cast<size_t>(i)]), state + i * device_.block_bytes(),
                  StateBytes(i));
    for (size_t i = 0; i < from.blocks.size() && job.Beat(); ++i)
      device_.ReadBlock(from.blocks[i], Cell(cells[static_cast<size_t>(StateCells()) + i]));
    return {};
  }

  Status Read(const TierRecord& record, const DevicePlace& to, TierJob& job) override {
    const std::vector<int64_t> cells = CellsOf(record);
    if (cells.empty()) return NotFound("it was given up meanwhile");
    const auto device = job.Device();
    if (!device) return JobGivenUp();
    for (int64_t i = 0; to.slot >= 0 && i < StateCells(); ++i)
      std::memcpy(device_.checkpoints.at(to.slot) + i * device_.block_bytes(),
                  Cell(cells[static_cast<size_t>(i)]), StateBytes(i));
    for (size_t i = 0; i < to.blocks.size() && job.Beat(); ++i)
      if (to.blocks[i] >= 0)
        device_.WriteBlock(to.blocks[i], Cell(cells[static_cast<size_t>(StateCells()) + i]));
    return {};
  }

 private:
  int64_t StateCells() const {
    return (device_.checkpoints.layout.Bytes() + device_.block_bytes() - 1) / device_.block_bytes();
  }
  // Of the state's i-th cell.
  size_t StateBytes(int64_t i) const {
    return static_cast<size_t>(std::min(
        device_.block_bytes(), device_.checkpoints.layout.Bytes() - i * device_.block_bytes()));
  }
  std::byte* Cell(int64_t cell) const {
    return reinterpret_cast<std::byte*>(memory_.floats()) + cell * device_.block_bytes();
  }
  std::vector<int64_t> CellsOf(const TierRecord& record) {
    std::lock_guard lock(mutex_);
    const auto found = held_.find(&record);
    return found == held_.end() ? std::vector<int64_t>() : found->second;
  }

  const DevicePools device_;
  const LazyBuffer memory_;
  const int64_t cells_;
  std::vector<int64_t> free_;  // a stack; engine thread
  std::mutex mutex_;
  std::unordered_map<const TierRecord*, std::vector<int64_t>> held_;  // GUARDED_BY(mutex_)
};

}  // namespace

Result<std::unique_ptr<TierStore>> OpenHostStore(const DevicePools& device, int64_t bytes) {
  const int64_t cells = bytes / device.block_bytes();
  ASSIGN_OR_RETURN(LazyBuffer memory,
                   LazyBuffer::Open(static_cast<size_t>(cells * device.block_bytes()),
                                    "the prefix cache's host tier"));
  return std::make_unique<HostStore>(device, std::move(memory), cells);
}

}  // namespace nextgate::engine
