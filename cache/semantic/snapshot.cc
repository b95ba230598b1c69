#include "cache/semantic/snapshot.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace nextgate::cache {

RecordLog::Place LoadSnapshot(QuestionIndex& index, const std::string& path,
                              std::string_view embedder) {
  const auto header = index.Load(path);
  if (!header) {
    if (header.error().code != ErrorCode::kNotFound)
      LogWarning("answer cache: the index is built from the log, not from its file: {}",
                 header.error().message);
    return {};
  }
  const std::string_view text = *header;
  const size_t first = std::min(text.find('\n'), text.size());
  const size_t second = std::min(text.find('\n', first + 1), text.size());
  if (second == text.size() || text.substr(second + 1) != embedder) {
    index.Clear();
    return {};
  }
  LogInfo("answer cache: {} questions from the index' file", index.stats().entries);
  return {.generation = std::string(text.substr(0, first)),
          .last_id = std::string(text.substr(first + 1, second - first - 1))};
}

SnapshotKeeper::SnapshotKeeper(const QuestionIndex& index, const RecordLog& log, std::string path,
                               std::string embedder, std::chrono::seconds interval)
    : index_(index),
      log_(log),
      path_(std::move(path)),
      embedder_(std::move(embedder)),
      interval_(interval),
      saved_(log.place().last_id),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "index-snapshot");
}

SnapshotKeeper::~SnapshotKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void SnapshotKeeper::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    stop_.wait_for(lock, interval_, [&] { return stopping_; });
    lock.unlock();
    Save();
    lock.lock();
  }
}

void SnapshotKeeper::Save() {
  // The place first: what is heard meanwhile is heard again, which changes nothing.
  const RecordLog::Place place = log_.place();
  if (place.generation.empty() || place.last_id.empty() || place.last_id == saved_) return;
  const Status status =
      index_.Save(path_, fmt::format("{}\n{}\n{}", place.generation, place.last_id, embedder_));
  if (status) {
    saved_ = place.last_id;
  } else {
    LogWarning("answer cache: the index is not saved: {}", status.error().message);
  }
}

}  // namespace nextgate::cache
