#include "cache/redis/client.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace nextgate::cache {
namespace {

using std::chrono::steady_clock;

std::unexpected<Error> Unavailable(std::string message) {
  return MakeError(ErrorCode::kUnavailable, std::move(message));
}

// Replies that say the server cannot serve at all, whatever the command.
bool MeansUnfit(const RedisReply& reply) {
  constexpr std::array<std::string_view, 7> kCodes = {
      "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "TRYAGAIN", "BUSY "};
  return reply.is_error() && std::ranges::any_of(kCodes, [&](std::string_view code) {
           return reply.text.starts_with(code);
         });
}

}  // namespace

RedisClient::RedisClient(Options options)
    : options_(std::move(options)), retry_(options_.retry_first), keeper_([this] { Keep(); }) {
  pthread_setname_np(keeper_.native_handle(), "redis-keeper");
}

RedisClient::~RedisClient() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  keeper_.join();
}

bool RedisClient::WaitAvailable(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return probed_; });
  return stats_.available;
}

RedisClientStats RedisClient::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

Result<std::vector<RedisReply>> RedisClient::Run(std::span<const RedisCommand> commands,
                                                 Deadline deadline) {
  ASSIGN_OR_RETURN(ConnectionPtr connection, Take(deadline));
  auto replies = connection->Run(commands, deadline);
  if (!replies) {
    connection.reset();
    Drop(replies.error());
    return replies;
  }
  if (const auto unfit = std::ranges::find_if(*replies, MeansUnfit); unfit != replies->end()) {
    connection.reset();
    Error error = unfit->ToStatus(options_.endpoint.host).error();
    Drop(error);
    return std::unexpected(std::move(error));
  }
  GiveBack(std::move(connection));
  return replies;
}

// An idle connection, or a new one while there may be more, or the next that comes back.
Result<RedisClient::ConnectionPtr> RedisClient::Take(Deadline deadline) {
  std::shared_ptr<const RedisAddresses> addresses;
  std::vector<ConnectionPtr> broken;  // closed after the lock is released
  {
    std::unique_lock lock(mutex_);
    while (true) {
      if (!stats_.available) {
        ++stats_.refusals;
        return Unavailable("Redis is away");
      }
      while (!idle_.empty()) {
        ConnectionPtr connection = std::move(idle_.back());
        idle_.pop_back();
        if (connection->Usable()) return connection;
        broken.push_back(std::move(connection));
        --stats_.connections;
      }
      if (stats_.connections < static_cast<int64_t>(options_.connections_max)) break;
      if (returned_.wait_until(lock, deadline) == std::cv_status::timeout) {
        ++stats_.failures;
        return Unavailable("Redis: all connections are in use");
      }
    }
    ++stats_.connections;
    addresses = addresses_;
  }
  auto connection = RedisConnection::Open(options_.endpoint, *addresses, deadline);
  if (!connection) Drop(connection.error());
  return connection;
}

void RedisClient::GiveBack(ConnectionPtr connection) {
  {
    const std::lock_guard lock(mutex_);
    ++stats_.runs;
    if (stats_.available) {
      failures_in_row_ = 0;
      retry_ = options_.retry_first;
      idle_.push_back(std::move(connection));
    } else {
      --stats_.connections;  // it outlived the breaker's opening; closed below, by the argument
    }
  }
  returned_.notify_one();
}

// One connection is gone because of `error`.
void RedisClient::Drop(const Error& error) {
  std::vector<ConnectionPtr> idle;  // closed after the lock is released
  bool opened = false;
  {
    const std::lock_guard lock(mutex_);
    --stats_.connections;
    ++stats_.failures;
    if (stats_.available && ++failures_in_row_ >= options_.failures_max) {
      opened = true;
      stats_.available = false;
      ++stats_.openings;
      stats_.connections -= static_cast<int64_t>(idle_.size());
      idle.swap(idle_);
    }
  }
  returned_.notify_all();
  if (!opened) return;
  LogWarning("answer cache: {} is away, going on without it: {}", options_.endpoint.ToString(),
             error.message);
  changed_.notify_all();
}

Result<RedisClient::ConnectionPtr> RedisClient::Probe() {
  ASSIGN_OR_RETURN(RedisAddresses addresses, RedisAddresses::Resolve(options_.endpoint));
  auto shared = std::make_shared<const RedisAddresses>(std::move(addresses));
  ASSIGN_OR_RETURN(ConnectionPtr connection,
                   RedisConnection::Open(options_.endpoint, *shared,
                                         steady_clock::now() + options_.connect_timeout));
  const RedisCommand ping[] = {{"PING"}};
  ASSIGN_OR_RETURN(const auto replies,
                   connection->Run(ping, steady_clock::now() + options_.probe_timeout));
  RETURN_IF_ERROR(replies[0].ToStatus("PING"));
  const std::lock_guard lock(mutex_);
  addresses_ = std::move(shared);
  return connection;
}

void RedisClient::Keep() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (stats_.available) {
      changed_.wait(lock, [&] { return stopping_ || !stats_.available; });
    }
    // The first probe is at once; after that it is given time to come back.
    if (probed_) {
      changed_.wait_for(lock, retry_, [&] { return stopping_; });
      retry_ = std::min(2 * retry_, options_.retry_max);
    }
    if (stopping_) return;
    lock.unlock();
    auto connection = Probe();
    lock.lock();
    const bool first = !std::exchange(probed_, true);
    if (connection) {
      stats_.available = true;
      ++stats_.connections;
      failures_in_row_ = 0;
      idle_.push_back(std::move(*connection));
    }
    lock.unlock();
    changed_.notify_all();
    if (connection) {
      LogInfo("answer cache: shared through {}", options_.endpoint.ToString());
    } else if (first) {
      LogWarning("answer cache: {} is away, going on without it: {}", options_.endpoint.ToString(),
                 connection.error().message);
    }
    lock.lock();
  }
}

}  // namespace nextgate::cache
