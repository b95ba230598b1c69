#include "cache/redis/connection.h"

#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "base/check.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;

std::unexpected<Error> Unavailable(std::string message) {
  return MakeError(ErrorCode::kUnavailable, std::move(message));
}

// Milliseconds left, for poll: rounded up, so that a wait never spins on a remainder.
int Left(Deadline deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1'000'000'000));
}

Status WaitFor(int socket, short events, Deadline deadline, std::string_view what) {
  while (true) {
    // Looked at even when it is late: what has come meanwhile is not refused because this thread slept.
    const int left = Left(deadline);
    pollfd entry{.fd = socket, .events = events, .revents = 0};
    const int ready = ::poll(&entry, 1, left);
    if (ready > 0) return {};
    if (ready == 0 && left == 0) return Unavailable(fmt::format("Redis: {} took too long", what));
    if (ready < 0 && errno != EINTR)
      return Unavailable(fmt::format("Redis: {}: {}", what, std::strerror(errno)));
  }
}

Result<int> Connect(const std::string& sockaddr_bytes, Deadline deadline) {
  const auto* address = reinterpret_cast<const sockaddr*>(sockaddr_bytes.data());
  const int fd = ::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Unavailable(fmt::format("Redis: socket: {}", std::strerror(errno)));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  Status status;
  if (::connect(fd, address, static_cast<socklen_t>(sockaddr_bytes.size())) != 0) {
    int error = errno;
    if (error == EINPROGRESS) {
      status = WaitFor(fd, POLLOUT, deadline, "connecting");
      socklen_t size = sizeof error;
      error = 0;
      ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (status && error != 0)
      status = Unavailable(fmt::format("Redis: connecting: {}", std::strerror(error)));
  }
  if (status) return fd;
  ::close(fd);
  return std::unexpected(status.error());
}

RedisReply ToReply(const redisReply& from) {
  RedisReply reply;
  switch (from.type) {
    case REDIS_REPLY_INTEGER:
    case REDIS_REPLY_BOOL:
      reply.type = RedisReply::Type::kInteger;
      reply.integer = from.integer;
      break;
    case REDIS_REPLY_ERROR:
      reply.type = RedisReply::Type::kError;
      break;
    case REDIS_REPLY_STATUS:
      reply.type = RedisReply::Type::kStatus;
      break;
    case REDIS_REPLY_NIL:
      return reply;
    case REDIS_REPLY_ARRAY:
    case REDIS_REPLY_SET:
    case REDIS_REPLY_MAP:
    case REDIS_REPLY_PUSH:
      reply.type = RedisReply::Type::kArray;
      reply.elements.reserve(from.elements);
      for (size_t i = 0; i < from.elements; ++i)
        reply.elements.push_back(ToReply(*from.element[i]));
      return reply;
    default:
      reply.type = RedisReply::Type::kString;
  }
  if (from.str != nullptr) reply.text.assign(from.str, from.len);
  return reply;
}

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

// The shared TLS settings of one CA file; made once, since reading the system's certificates takes
// milliseconds.
Result<SSL_CTX*> TlsContext(const std::string& ca_file) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<SSL_CTX, FreeSsl>> contexts;
  const std::lock_guard lock(mutex);
  if (const auto found = contexts.find(ca_file); found != contexts.end())
    return found->second.get();
  std::unique_ptr<SSL_CTX, FreeSsl> context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Unavailable("Redis: TLS cannot be set up");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const int loaded = ca_file.empty()
                         ? SSL_CTX_set_default_verify_paths(context.get())
                         : SSL_CTX_load_verify_locations(context.get(), ca_file.c_str(), nullptr);
  if (loaded != 1)
    return InvalidArgument(fmt::format("Redis: {}: no certificates could be read", ca_file));
  return contexts.emplace(ca_file, std::move(context)).first->second.get();
}

// A socket, with TLS on it or without. Owns both.
class Channel {
 public:
  explicit Channel(int fd) : fd_(fd) {}
  ~Channel() {
    ssl_.reset();
    ::close(fd_);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  Status StartTls(const RedisEndpoint& endpoint, Deadline deadline) {
    ASSIGN_OR_RETURN(SSL_CTX * context, TlsContext(endpoint.ca_file));
    ssl_.reset(SSL_new(context));
    if (ssl_ == nullptr) return Unavailable("Redis: TLS cannot be set up");
    // A host that is an address is looked for among the certificate's addresses.
    X509_VERIFY_PARAM* verify = SSL_get0_param(ssl_.get());
    if (X509_VERIFY_PARAM_set1_ip_asc(verify, endpoint.host.c_str()) != 1) {
      SSL_set_tlsext_host_name(ssl_.get(), endpoint.host.c_str());
      X509_VERIFY_PARAM_set1_host(verify, endpoint.host.c_str(), endpoint.host.size());
    }
    SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_fd(ssl_.get(), fd_);
    while (true) {
      ERR_clear_error();
      const int done = SSL_connect(ssl_.get());
      if (done == 1) return {};
      const short wanted = Wanted(done);
      if (wanted == 0) break;
      RETURN_IF_ERROR(WaitFor(fd_, wanted, deadline, "the TLS handshake"));
    }
    if (const int64_t verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK)
      return MakeError(ErrorCode::kPermissionDenied,
                       fmt::format("Redis: the certificate of {} is not trusted: {}", endpoint.host,
                                   X509_verify_cert_error_string(verdict)));
    return Unavailable("Redis: the TLS handshake failed; does the server speak TLS on this port?");
  }

  // Sends all of it.
  Status Send(std::string_view bytes, Deadline deadline) {
    while (!bytes.empty()) {
      const int64_t sent =
          Transfer([&] { return SSL_write(ssl_.get(), bytes.data(), Clamped(bytes.size())); },
                   [&] { return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }, POLLOUT);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
      } else if (wanted_ == 0) {
        return Unavailable("Redis: the connection broke while sending");
      } else {
        RETURN_IF_ERROR(WaitFor(fd_, wanted_, deadline, "sending"));
      }
    }
    return {};
  }

  // At least one byte.
  Result<size_t> Receive(std::span<char> buffer, Deadline deadline) {
    while (true) {
      const int64_t got =
          Transfer([&] { return SSL_read(ssl_.get(), buffer.data(), Clamped(buffer.size())); },
                   [&] { return ::recv(fd_, buffer.data(), buffer.size(), 0); }, POLLIN);
      if (got > 0) return static_cast<size_t>(got);
      if (wanted_ == 0) return Unavailable("Redis: the server closed the connection");
      RETURN_IF_ERROR(WaitFor(fd_, wanted_, deadline, "an answer"));
    }
  }

  // False if nothing came within `timeout`.
  bool WaitReadable(milliseconds timeout) const {
    pollfd entry{.fd = fd_, .events = POLLIN, .revents = 0};
    return (ssl_ != nullptr && SSL_pending(ssl_.get()) > 0) ||
           ::poll(&entry, 1, static_cast<int>(timeout.count())) > 0;
  }

 private:
  static int Clamped(size_t size) { return static_cast<int>(std::min<size_t>(size, 1 << 30)); }

  // What TLS waits for, 0 if the connection is broken.
  short Wanted(int result) const {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ) return POLLIN;
    return error == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
  }

  // Bytes moved; or 0 or less, and `wanted_` says what to wait for, 0 if nothing helps.
  template <class Tls, class Plain>
  int64_t Transfer(Tls tls, Plain plain, short plain_waits_for) {
    if (ssl_ != nullptr) {
      ERR_clear_error();
      const int moved = tls();
      if (moved <= 0) wanted_ = Wanted(moved);
      return moved;
    }
    const ssize_t moved = plain();
    const bool again = moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (moved <= 0) wanted_ = again ? plain_waits_for : short{0};
    return moved;
  }

  const int fd_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  short wanted_ = 0;
};

// The commands in Redis' protocol.
std::string Wire(std::span<const RedisCommand> commands) {
  std::string bytes;
  for (const RedisCommand& command : commands) {
    std::vector<const char*> arguments;
    std::vector<size_t> sizes;
    for (const std::string& argument : command) {
      arguments.push_back(argument.data());
      sizes.push_back(argument.size());
    }
    char* formatted = nullptr;
    const int64_t size = redisFormatCommandArgv(&formatted, static_cast<int>(command.size()),
                                                arguments.data(), sizes.data());
    CHECK(size >= 0, "out of memory");
    bytes.append(formatted, static_cast<size_t>(size));
    redisFreeCommand(formatted);
  }
  return bytes;
}

}  // namespace

Status RedisReply::ToStatus(std::string_view what) const {
  if (!is_error()) return {};
  // Redis' first word is a code (NOAUTH, OOM, LOADING); the rest may name keys, which are hashes.
  return Unavailable(fmt::format("Redis: {}: {}", what, text.substr(0, 200)));
}

Result<RedisAddresses> RedisAddresses::Resolve(const RedisEndpoint& endpoint, bool numeric_only) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  if (numeric_only) hints.ai_flags = AI_NUMERICHOST;
  addrinfo* list = nullptr;
  const int error =
      ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &list);
  if (error != 0)
    return Unavailable(fmt::format("Redis: {}: {}", endpoint.host, ::gai_strerror(error)));
  RedisAddresses addresses;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next)
    addresses.sockaddrs_.emplace_back(reinterpret_cast<const char*>(at->ai_addr), at->ai_addrlen);
  ::freeaddrinfo(list);
  return addresses;
}

struct FreeReader {
  void operator()(redisReader* reader) const { redisReaderFree(reader); }
};

struct RedisConnection::Impl {
  explicit Impl(int fd) : channel(fd), reader(redisReaderCreate()) {}
  Channel channel;
  std::unique_ptr<redisReader, FreeReader> reader;
};

RedisConnection::RedisConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RedisConnection::~RedisConnection() = default;

Result<std::unique_ptr<RedisConnection>> RedisConnection::Open(const RedisEndpoint& endpoint,
                                                               const RedisAddresses& addresses,
                                                               Deadline deadline) {
  Result<int> fd = Unavailable(fmt::format("Redis: {} has no address", endpoint.host));
  for (const std::string& sockaddr_bytes : addresses.sockaddrs())
    if (fd = Connect(sockaddr_bytes, deadline); fd) break;
  if (!fd) return std::unexpected(fd.error());
  auto impl = std::make_unique<Impl>(*fd);
  if (endpoint.tls) RETURN_IF_ERROR(impl->channel.StartTls(endpoint, deadline));
  std::unique_ptr<RedisConnection> connection(new RedisConnection(std::move(impl)));
  std::vector<RedisCommand> login;
  if (!endpoint.user.empty()) {
    login.push_back({"AUTH", endpoint.user, endpoint.password});
  } else if (!endpoint.password.empty()) {
    login.push_back({"AUTH", endpoint.password});
  }
  if (endpoint.database != 0) login.push_back({"SELECT", std::to_string(endpoint.database)});
  login.push_back({"PING"});  // NOAUTH and LOADING are seen here
  const bool must_be_master = endpoint.kind == RedisEndpoint::Kind::kSentinel;
  if (must_be_master) login.push_back({"ROLE"});
  ASSIGN_OR_RETURN(const auto replies, connection->Run(login, deadline));
  for (size_t i = 0; i < replies.size(); ++i)
    if (Status status = replies[i].ToStatus(login[i][0]); !status)
      return MakeError(replies[i].text.starts_with("LOADING") ? ErrorCode::kUnavailable
                                                              : ErrorCode::kPermissionDenied,
                       status.error().message);
  const auto& role = replies.back().elements;
  if (must_be_master && (role.empty() || role[0].text != "master"))
    return Unavailable(fmt::format("Redis: {} is no master", endpoint.node().ToString()));
  return connection;
}

Result<std::vector<RedisReply>> RedisConnection::Run(std::span<const RedisCommand> commands,
                                                     Deadline deadline) {
  RETURN_IF_ERROR(Send(commands, deadline));
  std::vector<RedisReply> replies;
  replies.reserve(commands.size());
  while (replies.size() < commands.size()) {
    ASSIGN_OR_RETURN(RedisReply reply, Receive(deadline));
    replies.push_back(std::move(reply));
  }
  return replies;
}

Status RedisConnection::Send(std::span<const RedisCommand> commands, Deadline deadline) {
  return impl_->channel.Send(Wire(commands), deadline);
}

Result<RedisReply> RedisConnection::Receive(Deadline deadline) {
  redisReader* reader = impl_->reader.get();
  std::array<char, 16384> buffer;
  while (true) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader, &reply) != REDIS_OK)
      return Unavailable(fmt::format("Redis: {}", reader->errstr));
    if (reply != nullptr) {
      const std::unique_ptr<void, decltype(&freeReplyObject)> owner(reply, freeReplyObject);
      return ToReply(*static_cast<const redisReply*>(reply));
    }
    ASSIGN_OR_RETURN(const size_t size, impl_->channel.Receive(buffer, deadline));
    redisReaderFeed(reader, buffer.data(), size);
  }
}

bool RedisConnection::WaitReadable(milliseconds timeout) const {
  return impl_->channel.WaitReadable(timeout);
}

bool RedisConnection::Usable() const { return !WaitReadable(milliseconds(0)); }

}  // namespace nextgate::cache
