// The requests that are being answered now, for operators: which model and route, whose key, since when,
// how, and how far the answer is. Nothing that was asked or said.
//
// Threads: all methods from any thread. A request's own handle is told of by who answers it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace nextgate::gateway {

class LiveRequests {
 public:
  enum class Phase : uint8_t { kLookup, kReplay, kFollow, kGenerate };

  struct Request {
    std::string id;
    std::string route;
    std::string model;
    std::string key;  // label of the API key; "" if it has none
    bool stream = false;
    int64_t began_ns = 0;  // monotonic
    Phase phase = Phase::kLookup;
    int64_t tokens = 0;  // of the answer so far, about; stored answers are not counted
  };

  // A request's place in the list, until it is destroyed.
  class Handle {
   public:
    Handle(LiveRequests& home, Request request);
    ~Handle();
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

    void SetPhase(Phase phase) { phase_.store(phase, std::memory_order_relaxed); }
    void SetTokens(int64_t tokens) { tokens_.store(tokens, std::memory_order_relaxed); }

   private:
    friend class LiveRequests;
    LiveRequests& home_;
    const Request request_;
    std::atomic<Phase> phase_;
    std::atomic<int64_t> tokens_;
    uint64_t number_ = 0;
  };

  // Must outlive the handle. `request.phase` and `request.tokens` are where it begins.
  std::unique_ptr<Handle> Enter(Request request);

  int64_t size() const;
  // At most `most` of them, those that have waited longest first.
  std::vector<Request> Oldest(size_t most) const;

 private:
  mutable std::mutex mutex_;  // guards what is below, but not what it leads to
  std::map<uint64_t, const Handle*> handles_;
  uint64_t next_ = 0;
};

std::string_view PhaseName(LiveRequests::Phase phase);  // "lookup", "replay", "follow", "generate"

}  // namespace nextgate::gateway
