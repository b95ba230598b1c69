// Follows streams in Redis as they grow: one connection per process, outside the pool, for all of
// them. One XREAD asks for every followed stream at once, and what comes is handed out in this process.
// Streams and not pub/sub: who reconnects goes on where he was.
//
// It asks every few milliseconds, as often as the hastiest of the streams wants, and not at all while
// there is none. XREAD does not BLOCK: a Redis with nothing else to do looks at the time-outs of blocked
// clients every 100 ms only, so a new stream would wait that long for its turn, and a Redis that hangs
// would look the same.
//
// A follower that must not wait for a Redis that is away is told when touch was lost: at once if the
// connection broke, after `slices` waits of `slice` each if Redis says nothing. The waits are counted,
// not timed by the clock: on a machine so busy that this thread sleeps, Redis gets as much longer to
// answer as this thread needs to notice. The tail itself keeps trying, and goes on from the last record.
//
// A connection that broke is made again to the server that is ours then: of a cluster, or of those that
// Sentinels watch over, perhaps another one. While a cluster moves our keys from one node to another each
// stream is asked for by itself, where it is.
//
// Threads: all methods may be called from any thread; one thread inside ("redis-tail"), on which the
// listeners run: they must be quick, and must not destroy a Following.
// Invariants: (1) a listener gets every record behind `after_id` once, in order, as long as Redis keeps
// it; (2) it is not called any more once its Following is destroyed; (3) a key that holds no stream
// is given up alone (kBroken, for good), and holds up no other.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "cache/redis/connection.h"
#include "cache/redis/locator.h"

namespace nextgate::cache {

class RedisTail {
 public:
  struct Record {
    std::string id;                   // "milliseconds-number", as Redis has it
    std::vector<std::string> fields;  // name, value, name, value, …
  };
  enum class Loss {
    kBroken,  // no connection, or none any more
    kSilent,  // there is one, and nobody answers on it
  };
  struct Listener {
    std::function<void(std::vector<Record>)> records;
    std::function<void(Loss)> lost;  // may be null; may be called again and again
    // Redis has answered, and nothing more was there. May be null.
    std::function<void()> caught_up = {};
    // The connection is a new one: what comes next may be another server's, or that of one which was
    // restarted, and has forgotten what this one heard last. May be null.
    std::function<void()> connected = {};
  };
  struct Options {
    RedisEndpoint endpoint;
    std::chrono::milliseconds slice{5};
    int slices = 8;
    std::chrono::milliseconds connect_timeout{45};
    std::chrono::milliseconds retry{100};
  };

  // Starts the thread; the connection is made when there is something to follow.
  explicit RedisTail(Options options);
  ~RedisTail();
  RedisTail(const RedisTail&) = delete;
  RedisTail& operator=(const RedisTail&) = delete;

  struct Stream;
  // A stream is followed as long as this lives. The tail must outlive it.
  class Following {
   public:
    ~Following();
    Following(const Following&) = delete;
    Following& operator=(const Following&) = delete;

   private:
    friend class RedisTail;
    Following(RedisTail& tail, std::shared_ptr<Stream> stream)
        : tail_(tail), stream_(std::move(stream)) {}
    RedisTail& tail_;
    const std::shared_ptr<Stream> stream_;
  };
  // Everything in the stream `key` behind the record `after_id` ("0": all of it), now and later. The
  // stream need not exist yet. `pace`: how old news may be.
  std::unique_ptr<Following> Follow(std::string key, std::string after_id, Listener listener,
                                    std::chrono::milliseconds pace = std::chrono::milliseconds(5));

 private:
  using Streams = std::vector<std::shared_ptr<Stream>>;

  void Run();
  Status ReadOnce(const Streams& streams, Loss* loss);
  Status ReadEach(const Streams& streams, Loss* loss);
  Result<RedisReply> Ask(RedisConnection& connection, const RedisCommand& command, Loss* loss);
  Result<RedisReply> AskThere(const RedisNode& node, const RedisCommand& command, Loss* loss);
  Status Connect();
  void Disconnect();
  void HandOut(const Streams& streams, const RedisReply& reply);
  std::chrono::milliseconds Rest() const;

  const Options options_;
  RedisLocator locator_;
  std::unique_ptr<RedisConnection> connection_;    // the thread's
  std::shared_ptr<const RedisLocation> location_;  // the thread's, as what follows
  std::unique_ptr<RedisConnection> importing_;     // to the node that our keys are moved to
  RedisNode importer_;
  bool more_ = false;  // the thread's: the last reply was cut short
  std::mutex mutex_;   // guards everything below
  std::condition_variable changed_;
  Streams streams_;
  int64_t followed_ = 0;  // ever
  bool stopping_ = false;
  std::thread thread_;  // last: starts when everything above exists
};

}  // namespace nextgate::cache
