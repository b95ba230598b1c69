#include "cache/semantic/reembed.h"

#include <fmt/format.h>
#include <pthread.h>

#include <memory>
#include <utility>

#include "base/log.h"

namespace nextgate::cache {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kPatience(2000);  // with Redis

}  // namespace

Reembedder::Reembedder(Options options, SemanticCache& semantic, RedisCatalogue& catalogue,
                       RedisClient& client)
    : options_(std::move(options)),
      semantic_(semantic),
      catalogue_(catalogue),
      client_(client),
      key_(fmt::format("{{{}}}:reembed:{}", options_.name_space, semantic.questions_log())),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "reembed");
}

Reembedder::~Reembedder() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

bool Reembedder::Stopped(milliseconds wait) {
  std::unique_lock lock(mutex_);
  return stop_.wait_for(lock, wait, [&] { return stopping_; });
}

void Reembedder::Run() {
  while (true) {
    const Turn turn = Take();
    if (turn == Turn::kDone) break;
    if (turn == Turn::kOurs) {
      if (Walk() && Say("done", /*for_good=*/true)) break;
      GiveUp();  // to whoever is next
    }
    if (Stopped(options_.retry)) return;
  }
  done_.store(true, std::memory_order_relaxed);
  if (told() > 0) LogInfo("answer cache: {} stored questions were embedded again", told());
}

Reembedder::Turn Reembedder::Take() {
  const RedisCommand take[] = {
      {"SET", key_, "at work", "NX", "PX", std::to_string(options_.lease.count())}, {"GET", key_}};
  const auto replies = client_.Run(take, steady_clock::now() + kPatience);
  if (!replies || replies->front().is_error()) return Turn::kUnknown;
  if (replies->front().type == RedisReply::Type::kStatus) return Turn::kOurs;
  return replies->back().text == "done" ? Turn::kDone : Turn::kAnothers;
}

void Reembedder::GiveUp() {
  const RedisCommand del[] = {{"DEL", key_}};
  (void)client_.Run(del, steady_clock::now() + kPatience);  // else the lease ends
}

bool Reembedder::Say(const char* what, bool for_good) {
  RedisCommand set = {"SET", key_, what};
  if (!for_good) {
    set.emplace_back("PX");
    set.push_back(std::to_string(options_.lease.count()));
  }
  const RedisCommand commands[] = {std::move(set)};
  const auto replies = client_.Run(commands, steady_clock::now() + kPatience);
  return replies && !replies->front().is_error();
}

// True if every entry was told.
bool Reembedder::Walk() {
  told_.store(0, std::memory_order_relaxed);
  auto renew_at = steady_clock::now() + options_.lease / 3;
  bool whole = true;
  const Status status = catalogue_.ForEachEntry(
      [&](const Hash128& id, const std::shared_ptr<const StoredAnswer>& entry) {
        if (Stopped(milliseconds(0))) return whole = false;
        // An embedder that is away ends the walk, which begins anew later.
        if (!semantic_.Remember(id, *entry)) return whole = false;
        told_.fetch_add(1, std::memory_order_relaxed);
        if (steady_clock::now() < renew_at) return true;
        renew_at = steady_clock::now() + options_.lease / 3;
        return whole = Say("at work", /*for_good=*/false);
      });
  return status && whole;
}

}  // namespace nextgate::cache
