#include "gateway/shared_limits.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace nextgate::gateway {

using cache::RedisCommand;
using cache::RedisReply;
using std::chrono::steady_clock;

namespace {

// KEYS: the key's hash, its running tickets. ARGV: what is asked, rpm, tpm, concurrency, tokens, ticket,
// lease (ms). Answers: what refused (0 nothing, 1 requests, 2 tokens, 3 concurrency), ms to wait,
// requests and tokens left. Redis' own clock, since those of the instances differ.
constexpr const char* kScript = R"(
local ask = ARGV[1]
local rpm, tpm, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local tokens, ticket, lease = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function left(name, whole)
  local v = redis.call('HMGET', KEYS[1], name, name .. 'at')
  if not v[1] or not v[2] then return whole end
  local grown = math.max(0, now - tonumber(v[2])) * whole / 60000
  return math.min(whole, tonumber(v[1]) + grown)
end
local function keep(name, value)
  redis.call('HSET', KEYS[1], name, string.format('%.6f', value), name .. 'at',
             string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], 3600000)
end
local r, t = left('r', rpm), left('t', tpm)
local refused, wait = 0, 0
if ask == 'begin' then
  if rpm > 0 and r < 1 then
    refused, wait = 1, (1 - r) * 60000 / rpm
  elseif most > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
    if redis.call('ZCARD', KEYS[2]) >= most then refused, wait = 3, 1000 end
  end
  if refused == 0 then
    if rpm > 0 then
      r = r - 1
      keep('r', r)
    end
    if most > 0 then
      redis.call('ZADD', KEYS[2], string.format('%.0f', now + lease), ticket)
      redis.call('PEXPIRE', KEYS[2], lease)
    end
  end
elseif ask == 'reserve' and tpm > 0 then
  local needed = math.min(tokens, tpm)
  if t < needed then
    refused, wait = 2, (needed - t) * 60000 / tpm
  else
    t = t - tokens
    keep('t', t)
  end
elseif ask == 'settle' then
  if tpm > 0 and tokens ~= 0 then
    t = math.min(tpm, t + tokens)
    keep('t', t)
  end
  redis.call('ZREM', KEYS[2], ticket)
end
return {refused, math.ceil(wait), math.floor(r), math.floor(t)}
)";

// KEYS: a key's running tickets. ARGV: lease (ms), then tickets. Those that are gone stay gone.
constexpr const char* kRenewScript = R"(
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ends = string.format('%.0f', now + tonumber(ARGV[1]))
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', ends, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return #ARGV - 1
)";

constexpr std::chrono::milliseconds kRenewBudget(1000);

}  // namespace

SharedLimits::SharedLimits(Options options, cache::RedisClient& client)
    : options_(std::move(options)), client_(client), keeper_([this] { Keep(); }) {}

SharedLimits::~SharedLimits() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  keeper_.join();
}

std::string SharedLimits::Key(const std::string& principal_id) const {
  return fmt::format("{{{}}}:limit:{}", options_.name_space, principal_id);
}

Result<LimitVerdict> SharedLimits::Begin(const Principal& principal, const std::string& ticket) {
  if (principal.limits.concurrency > 0) {
    const std::lock_guard lock(mutex_);
    tickets_[ticket] = principal.id;
  }
  auto verdict = Ask(principal, {.kind = "begin", .ticket = ticket, .budget = options_.budget});
  if (verdict && verdict->refused != Limit::kNone) {
    const std::lock_guard lock(mutex_);
    tickets_.erase(ticket);
  }
  return verdict;
}

Result<LimitVerdict> SharedLimits::Reserve(const Principal& principal, int64_t tokens) {
  return Ask(principal,
             {.kind = "reserve", .tokens = tokens, .ticket = {}, .budget = options_.budget});
}

Status SharedLimits::Settle(const Principal& principal, const std::string& ticket,
                            int64_t tokens_back) {
  {
    const std::lock_guard lock(mutex_);
    tickets_.erase(ticket);
  }
  if (tokens_back == 0 && principal.limits.concurrency == 0) return {};
  RETURN_IF_ERROR(Ask(principal, {.kind = "settle",
                                  .tokens = tokens_back,
                                  .ticket = ticket,
                                  .budget = options_.settle_budget}));
  return {};
}

Result<LimitVerdict> SharedLimits::Ask(const Principal& principal, const Question& question) {
  const KeyLimits& limits = principal.limits;
  const std::string key = Key(principal.id);
  const RedisCommand commands[] = {
      {"EVAL", kScript, "2", key, key + ":running", question.kind, std::to_string(limits.rpm),
       std::to_string(limits.tpm), std::to_string(limits.concurrency),
       std::to_string(question.tokens), question.ticket, std::to_string(options_.lease.count())}};
  ASSIGN_OR_RETURN(const auto replies,
                   client_.Run(commands, steady_clock::now() + question.budget));
  const RedisReply& reply = replies.front();
  RETURN_IF_ERROR(reply.ToStatus("EVAL"));
  const bool shaped =
      reply.elements.size() == 4 && std::ranges::all_of(reply.elements, [](const RedisReply& one) {
        return one.type == RedisReply::Type::kInteger;
      });
  if (!shaped || reply.elements[0].integer < 0 || reply.elements[0].integer > 3)
    return DataLoss("Redis answered the limits' script in another shape");
  return LimitVerdict{.refused = static_cast<Limit>(reply.elements[0].integer),
                      .wait_ms = reply.elements[1].integer,
                      .requests_left = reply.elements[2].integer,
                      .tokens_left = reply.elements[3].integer};
}

void SharedLimits::Keep() {
  pthread_setname_np(pthread_self(), "limits-keeper");
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, options_.lease / 3, [this] { return stopping_; })) {
    lock.unlock();
    Renew();
    lock.lock();
  }
}

void SharedLimits::Renew() {
  std::map<std::string, RedisCommand> by_key;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [ticket, id] : tickets_) {
      RedisCommand& command = by_key[id];
      if (command.empty())
        command = {"EVAL", kRenewScript, "1", Key(id) + ":running",
                   std::to_string(options_.lease.count())};
      command.push_back(ticket);
    }
  }
  std::vector<RedisCommand> commands;
  for (auto& [id, command] : by_key) commands.push_back(std::move(command));
  // Not answered: tried again before the leases end.
  if (!commands.empty()) (void)client_.Run(commands, steady_clock::now() + kRenewBudget);
}

}  // namespace nextgate::gateway
