// The question index as a file, so that a process that starts need not build it from the whole log: it
// loads the file and hears the records behind it. The file is a hint like the index: damaged, of another
// Redis or of another embedder, it is as good as none.
//
//   header = generation \n id of the last record \n embedder; then QuestionIndex::Save
//
// The vectors lie in it as they are: who can read the file learns roughly what was asked.
//
// Threads: one inside ("index-snapshot"), which saves; LoadSnapshot is to be called before the index is
// used.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "cache/redis/record_log.h"
#include "cache/semantic/question_index.h"

namespace nextgate::cache {

// Where the log is to be followed from; an empty place, and an empty index, if there is no file of this
// embedder (which is no error) or it is damaged (one log line).
RecordLog::Place LoadSnapshot(QuestionIndex& index, const std::string& path,
                              std::string_view embedder);

class SnapshotKeeper {
 public:
  // Saves every `interval` in which something was heard, and at the end. Both must outlive it.
  SnapshotKeeper(const QuestionIndex& index, const RecordLog& log, std::string path,
                 std::string embedder, std::chrono::seconds interval = std::chrono::seconds(300));
  ~SnapshotKeeper();
  SnapshotKeeper(const SnapshotKeeper&) = delete;
  SnapshotKeeper& operator=(const SnapshotKeeper&) = delete;

 private:
  void Run();
  void Save();

  const QuestionIndex& index_;
  const RecordLog& log_;
  const std::string path_, embedder_;
  const std::chrono::seconds interval_;
  std::string saved_;  // the last record of the file; the thread's, after the constructor
  std::mutex mutex_;   // guards stopping_
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when everything above exists
};

}  // namespace nextgate::cache
