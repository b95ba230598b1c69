#include "base/host_lookup.h"

#include <fmt/format.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace nextgate {
namespace {

using std::chrono::steady_clock;

std::unexpected<Error> Unavailable(std::string message) {
  return MakeError(ErrorCode::kUnavailable, std::move(message));
}

Result<SocketAddresses> AskSystem(const std::string& host, int port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0)
    return Unavailable(fmt::format("its name is not known: {}", ::gai_strerror(error)));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, &::freeaddrinfo);
  SocketAddresses addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next)
    addresses.emplace_back(reinterpret_cast<const char*>(one->ai_addr), one->ai_addrlen);
  if (addresses.empty()) return Unavailable("its name has no address");
  return addresses;
}

}  // namespace

Result<SocketAddresses> ResolveHost(const std::string& host, int port) {
  return AskSystem(host, port, 0);
}

Result<SocketAddresses> NumericAddress(const std::string& host, int port) {
  return AskSystem(host, port, AI_NUMERICHOST);
}

struct HostLookup::Answer {
  std::mutex mutex;
  std::condition_variable known;
  std::optional<Result<SocketAddresses>> addresses;  // guarded by mutex

  void Set(Result<SocketAddresses> found) {
    {
      const std::lock_guard lock(mutex);
      addresses = std::move(found);
    }
    known.notify_all();
  }
};

HostLookup::HostLookup(const std::string& host, int port, const Resolver& resolver) {
  if (auto numeric = NumericAddress(host, port)) {
    answer_ = std::make_shared<Answer>();
    answer_->addresses = std::move(*numeric);
  } else {
    answer_ = Ask(host, port, resolver);
  }
}

// The answer that is awaited for this host already, or that of a new thread.
std::shared_ptr<HostLookup::Answer> HostLookup::Ask(const std::string& host, int port,
                                                    const Resolver& resolver) {
  using Key = std::pair<std::string, int>;
  struct Awaited {
    std::mutex mutex;
    std::map<Key, std::shared_ptr<Answer>> answers;
  };
  static Awaited& awaited = *new Awaited;  // never destroyed: a thread may outlive main
  const std::lock_guard lock(awaited.mutex);
  const auto [at, is_new] = awaited.answers.try_emplace(Key(host, port));
  if (!is_new) return at->second;
  const auto answer = at->second = std::make_shared<Answer>();
  try {
    std::thread thread([answer, key = Key(host, port), resolver] {
      Result<SocketAddresses> found = resolver(key.first, key.second);
      {  // who asks from here on asks anew
        const std::lock_guard taken(awaited.mutex);
        awaited.answers.erase(key);
      }
      answer->Set(std::move(found));
    });
    pthread_setname_np(thread.native_handle(), "resolver");
    thread.detach();
  } catch (const std::system_error&) {
    awaited.answers.erase(at);
    answer->Set(Unavailable("there is no thread to look its name up"));
  }
  return answer;
}

std::optional<Result<SocketAddresses>> HostLookup::Wait(Instant until) {
  std::unique_lock lock(answer_->mutex);
  answer_->known.wait_until(lock, until, [this] { return answer_->addresses.has_value(); });
  return answer_->addresses;
}

steady_clock::time_point TryUntil(steady_clock::time_point deadline, size_t addresses_left) {
  const auto now = steady_clock::now();
  return now + (deadline - now) / static_cast<int64_t>(addresses_left);
}

}  // namespace nextgate
