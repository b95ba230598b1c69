#include "cache/redis/connection.h"

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <array>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/socket.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::unexpected<Error> Unavailable(std::string message) {
  return MakeError(ErrorCode::kUnavailable, std::move(message));
}

// Of a socket, which names no one.
std::unexpected<Error> OfRedis(const Error& error) {
  return MakeError(error.code, "Redis: " + error.message);
}

Status WaitFor(const Socket& socket, Deadline deadline, std::string_view what) {
  while (true) {
    // Looked at even when it is late: what has come meanwhile is not refused because this thread slept.
    const bool late = steady_clock::now() >= deadline;
    if (socket.Wait(deadline)) return {};
    if (late) return Unavailable(fmt::format("Redis: {} took too long", what));
  }
}

Result<std::unique_ptr<Socket>> Connect(const RedisEndpoint& endpoint, const std::string& sockaddr,
                                        Deadline deadline) {
  std::optional<TlsPeer> tls;
  if (endpoint.tls) tls = {.host = endpoint.host, .ca_file = endpoint.ca_file};
  auto socket = Socket::Connect(sockaddr, tls);
  if (!socket) return OfRedis(socket.error());
  while (true) {
    const auto established = (*socket)->Established();
    if (!established) return OfRedis(established.error());
    if (*established) return socket;
    RETURN_IF_ERROR(WaitFor(**socket, deadline, "connecting"));
  }
}

// Sends all of it.
Status SendAll(Socket& socket, std::string_view bytes, Deadline deadline) {
  while (true) {
    const auto sent = socket.Send(bytes);
    if (!sent) return OfRedis(sent.error());
    bytes.remove_prefix(*sent);
    if (bytes.empty()) return {};
    if (*sent == 0) RETURN_IF_ERROR(WaitFor(socket, deadline, "sending"));
  }
}

// At least one byte.
Result<size_t> ReceiveSome(Socket& socket, std::span<char> buffer, Deadline deadline) {
  while (true) {
    const auto received = socket.Receive(buffer);
    if (!received) return OfRedis(received.error());
    if (received->closed) return Unavailable("Redis: the server closed the connection");
    if (received->size > 0) return received->size;
    RETURN_IF_ERROR(WaitFor(socket, deadline, "an answer"));
  }
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

Result<SocketAddresses> ResolveRedis(const RedisEndpoint& endpoint, Deadline deadline) {
  const auto addresses = HostLookup(endpoint.host, endpoint.port).Wait(deadline);
  if (!addresses)
    return Unavailable(fmt::format("Redis: {}: looking its name up took too long", endpoint.host));
  if (!*addresses)
    return MakeError(addresses->error().code,
                     fmt::format("Redis: {}: {}", endpoint.host, addresses->error().message));
  return *addresses;
}

struct FreeReader {
  void operator()(redisReader* reader) const { redisReaderFree(reader); }
};

struct RedisConnection::Impl {
  std::unique_ptr<Socket> socket;
  std::unique_ptr<redisReader, FreeReader> reader{redisReaderCreate()};
};

RedisConnection::RedisConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RedisConnection::~RedisConnection() = default;

Result<std::unique_ptr<RedisConnection>> RedisConnection::Open(const RedisEndpoint& endpoint,
                                                               const SocketAddresses& addresses,
                                                               Deadline deadline) {
  Result<std::unique_ptr<Socket>> socket =
      Unavailable(fmt::format("Redis: {} has no address", endpoint.host));
  for (size_t i = 0; i < addresses.size() && !socket; ++i)
    socket = Connect(endpoint, addresses[i], TryUntil(deadline, addresses.size() - i));
  if (!socket) return std::unexpected(socket.error());
  std::unique_ptr<RedisConnection> connection(
      new RedisConnection(std::make_unique<Impl>(std::move(*socket))));
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
  return SendAll(*impl_->socket, Wire(commands), deadline);
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
    ASSIGN_OR_RETURN(const size_t size, ReceiveSome(*impl_->socket, buffer, deadline));
    redisReaderFeed(reader, buffer.data(), size);
  }
}

bool RedisConnection::WaitReadable(milliseconds timeout) const {
  return impl_->socket->WaitReadable(timeout);
}

bool RedisConnection::Usable() const { return !WaitReadable(milliseconds(0)); }

}  // namespace nextgate::cache
