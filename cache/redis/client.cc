#include "cache/redis/client.h"

#include <fmt/format.h>
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

constexpr int kRedirectionsMax = 4;
// Replies that say the server cannot serve at all, whatever the command.
constexpr std::array<std::string_view, 6> kUnfit = {"LOADING",     "READONLY", "MASTERDOWN",
                                                    "CLUSTERDOWN", "NOAUTH",   "BUSY "};
// Those of them that say that another one can.
bool NotTheMaster(std::string_view text) {
  return text.starts_with("READONLY") || text.starts_with("MASTERDOWN");
}

bool StartsWithOne(std::string_view text, std::span<const std::string_view> codes) {
  return std::ranges::any_of(codes, [&](std::string_view code) { return text.starts_with(code); });
}

}  // namespace

RedisClient::RedisClient(Options options)
    : options_(std::move(options)),
      locator_(options_.endpoint),
      retry_(options_.retry_first),
      keeper_([this] { Keep(); }) {
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
  RedisNode asked;
  ASSIGN_OR_RETURN(auto replies, RunOnce(commands, deadline, &asked));
  if (options_.endpoint.kind == RedisEndpoint::Kind::kCluster)
    RETURN_IF_ERROR(Redirect(commands, replies, std::move(asked), deadline));
  return replies;
}

// On the server that is ours as far as is known; says which one in `asked`.
Result<std::vector<RedisReply>> RedisClient::RunOnce(std::span<const RedisCommand> commands,
                                                     Deadline deadline, RedisNode* asked) {
  ASSIGN_OR_RETURN(Pooled pooled, Take(deadline));
  *asked = pooled.location->endpoint.node();
  auto replies = pooled.connection->Run(commands, deadline);
  if (!replies) {
    pooled.connection.reset();
    Fail(replies.error(), 1, /*elsewhere=*/false);
    return replies;
  }
  for (const RedisReply& reply : *replies) {
    const Status fit = Fitness(reply);
    if (fit) continue;
    pooled.connection.reset();
    Fail(fit.error(), 1, locator_.discovers() && NotTheMaster(reply.text));
    return std::unexpected(fit.error());
  }
  GiveBack(std::move(pooled));
  return replies;
}

// An error if the reply says that the server is not one for us.
Status RedisClient::Fitness(const RedisReply& reply) const {
  if (!reply.is_error()) return {};
  if (StartsWithOne(reply.text, kUnfit)) return reply.ToStatus(options_.endpoint.ToString());
  if (options_.endpoint.kind != RedisEndpoint::Kind::kCluster && reply.text.starts_with("MOVED "))
    return Unavailable(fmt::format("Redis: {}: this is a node of a cluster; say redis+cluster://",
                                   reply.text.substr(0, 100)));
  return {};
}

// Asks again, elsewhere, what was answered with a redirection. `asked` is who did.
Status RedisClient::Redirect(std::span<const RedisCommand> commands,
                             std::vector<RedisReply>& replies, RedisNode asked, Deadline deadline) {
  for (int i = 0; i < kRedirectionsMax; ++i) {
    std::optional<RedisRedirection> where;
    std::vector<size_t> which;
    std::vector<RedisCommand> again;
    for (size_t at = 0; at < replies.size(); ++at) {
      const auto to = ParseRedirection(replies[at], asked);
      if (!to) continue;
      if (!where) where = to;
      if (to->ask != where->ask || to->node != where->node) continue;  // the next time
      which.push_back(at);
      if (to->ask) again.push_back({"ASKING"});
      again.push_back(commands[at]);
    }
    if (!where) return {};
    auto location = locator_.At(where->node);
    Result<std::vector<RedisReply>> answers = Unavailable("");
    if (!location) {  // a name, which the keeper resolves
      if (!where->ask) Fail(location.error(), /*connections=*/0, /*elsewhere=*/true);
      return std::unexpected(location.error());
    }
    if (where->ask) {
      ASSIGN_OR_RETURN(
          const auto connection,
          RedisConnection::Open((*location)->endpoint, (*location)->addresses, deadline));
      answers = connection->Run(again, deadline);
    } else {
      MoveTo(std::move(*location));
      answers = RunOnce(again, deadline, &asked);
    }
    if (!answers) return std::unexpected(answers.error());
    for (size_t n = 0; n < which.size(); ++n)
      replies[which[n]] = std::move((*answers)[where->ask ? 2 * n + 1 : n]);
  }
  return {};
}

// The server that is asked from now on, whose connections are yet to be made.
void RedisClient::MoveTo(Location location) {
  std::vector<Pooled> idle;  // closed after the lock is released
  const RedisNode node = location->endpoint.node();
  {
    const std::lock_guard lock(mutex_);
    if (location_ != nullptr && location_->endpoint.node() == node) return;
    location_ = std::move(location);
    tried_ = node;
    ++stats_.moves;
    stats_.connections -= static_cast<int64_t>(idle_.size());
    idle.swap(idle_);
  }
  LogInfo("answer cache: {}: our keys are at {} now", options_.endpoint.ToString(),
          node.ToString());
}

// An idle connection, or a new one while there may be more, or the next that comes back.
Result<RedisClient::Pooled> RedisClient::Take(Deadline deadline) {
  Location location;
  std::vector<Pooled> broken;  // closed after the lock is released
  {
    std::unique_lock lock(mutex_);
    while (true) {
      if (!stats_.available) {
        ++stats_.refusals;
        return Unavailable("Redis is away");
      }
      while (!idle_.empty()) {
        Pooled pooled = std::move(idle_.back());
        idle_.pop_back();
        if (pooled.connection->Usable()) return pooled;
        broken.push_back(std::move(pooled));
        --stats_.connections;
      }
      if (stats_.connections < static_cast<int64_t>(options_.connections_max)) break;
      if (returned_.wait_until(lock, deadline) == std::cv_status::timeout) {
        ++stats_.failures;
        return Unavailable("Redis: all connections are in use");
      }
    }
    ++stats_.connections;
    location = location_;
  }
  auto connection = RedisConnection::Open(location->endpoint, location->addresses, deadline);
  if (!connection) {
    Fail(connection.error(), 1, /*elsewhere=*/false);
    return std::unexpected(connection.error());
  }
  return Pooled{.connection = std::move(*connection), .location = std::move(location)};
}

void RedisClient::GiveBack(Pooled pooled) {
  {
    const std::lock_guard lock(mutex_);
    ++stats_.runs;
    const bool here = pooled.location->endpoint.node() == location_->endpoint.node();
    if (stats_.available && here) {
      failures_in_row_ = 0;
      retry_ = options_.retry_first;
      idle_.push_back(std::move(pooled));
    } else {
      // It outlived the breaker's opening, or a move; closed below, by the argument.
      --stats_.connections;
    }
  }
  returned_.notify_one();
}

// So many connections are gone because of `error`. `elsewhere`: another server can do what this one
// cannot.
void RedisClient::Fail(const Error& error, int connections, bool elsewhere) {
  std::vector<Pooled> idle;  // closed after the lock is released
  bool opened = false;
  {
    const std::lock_guard lock(mutex_);
    stats_.connections -= connections;
    ++stats_.failures;
    if (stats_.available && (++failures_in_row_ >= options_.failures_max || elsewhere)) {
      opened = true;
      elsewhere_ = elsewhere;
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

Result<RedisClient::Pooled> RedisClient::Probe() {
  ASSIGN_OR_RETURN(Location location, locator_.Locate(options_.locate_timeout));
  {
    const std::lock_guard lock(mutex_);
    tried_ = location->endpoint.node();
  }
  ASSIGN_OR_RETURN(ConnectionPtr connection,
                   RedisConnection::Open(location->endpoint, location->addresses,
                                         steady_clock::now() + options_.connect_timeout));
  std::vector<RedisCommand> probe = {{"PING"}};
  if (!options_.endpoint.key.empty()) probe.push_back({"GET", options_.endpoint.key});
  ASSIGN_OR_RETURN(const auto replies,
                   connection->Run(probe, steady_clock::now() + options_.probe_timeout));
  for (size_t i = 0; i < replies.size(); ++i) {
    RETURN_IF_ERROR(Fitness(replies[i]));
    const auto redirection = ParseRedirection(replies[i], location->endpoint.node());
    if (redirection && redirection->ask) continue;  // it is still the one to ask first
    RETURN_IF_ERROR(replies[i].ToStatus(probe[i].front()));
  }
  return Pooled{.connection = std::move(connection), .location = std::move(location)};
}

// Waits until a probe is due. Returns earlier if it is said that another server is ours now.
void RedisClient::AwaitTurn(std::unique_lock<std::mutex>& lock) {
  const auto due = steady_clock::now() + retry_;
  retry_ = std::min(2 * retry_, options_.retry_max);
  while (!stopping_ && steady_clock::now() < due) {
    const auto look = steady_clock::now() + options_.retry_first / 2;
    changed_.wait_until(lock, locator_.discovers() ? std::min(due, look) : due,
                        [&] { return stopping_; });
    if (!locator_.discovers() || stopping_) continue;
    lock.unlock();
    const auto located = locator_.Locate(options_.locate_timeout);
    lock.lock();
    if (!located || (*located)->endpoint.node() == tried_) continue;
    retry_ = options_.retry_first;
    return;
  }
}

void RedisClient::Keep() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (stats_.available) {
      changed_.wait(lock, [&] { return stopping_ || !stats_.available; });
    }
    // The first probe is at once; after that it is given time to come back.
    if (probed_ && !std::exchange(elsewhere_, false)) AwaitTurn(lock);
    if (stopping_) return;
    lock.unlock();
    auto probed = Probe();
    if (!probed) locator_.Doubt();
    lock.lock();
    const bool first = !std::exchange(probed_, true);
    std::string where = options_.endpoint.ToString();
    if (probed) {
      const RedisNode node = probed->location->endpoint.node();
      if (locator_.discovers()) where += fmt::format(", at {}", node.ToString());
      if (location_ != nullptr && location_->endpoint.node() != node) ++stats_.moves;
      location_ = probed->location;
      stats_.available = true;
      ++stats_.connections;
      failures_in_row_ = 0;
      idle_.push_back(std::move(*probed));
    }
    lock.unlock();
    changed_.notify_all();
    if (probed) {
      LogInfo("answer cache: shared through {}", where);
    } else if (first) {
      LogWarning("answer cache: {} is away, going on without it: {}", where,
                 probed.error().message);
    }
    lock.lock();
  }
}

}  // namespace nextgate::cache
