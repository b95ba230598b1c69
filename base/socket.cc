#include "base/socket.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

namespace nextgate {
namespace {

std::unexpected<Error> Unavailable(std::string message) {
  return MakeError(ErrorCode::kUnavailable, std::move(message));
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
  if (context == nullptr) return Unavailable("TLS cannot be set up");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const int loaded = ca_file.empty()
                         ? SSL_CTX_set_default_verify_paths(context.get())
                         : SSL_CTX_load_verify_locations(context.get(), ca_file.c_str(), nullptr);
  if (loaded != 1)
    return InvalidArgument(fmt::format("{}: no certificates could be read", ca_file));
  return contexts.emplace(ca_file, std::move(context)).first->second.get();
}

int Clamped(size_t size) { return static_cast<int>(std::min<size_t>(size, 1 << 30)); }

}  // namespace

Status CheckTlsAuthorities(const std::string& ca_file) {
  RETURN_IF_ERROR(TlsContext(ca_file));
  return {};
}

struct Socket::Impl {
  int fd = -1;
  std::unique_ptr<SSL, FreeSsl> ssl;
  bool connected = false;
  bool handshaken = false;
  short wanted = POLLOUT;  // what Wait waits for

  ~Impl() {
    ssl.reset();
    if (fd >= 0) ::close(fd);
  }

  // True if the TLS call may be repeated after a wait.
  bool Again(int result) {
    const int error = SSL_get_error(ssl.get(), result);
    if (error == SSL_ERROR_WANT_READ) wanted = POLLIN;
    if (error == SSL_ERROR_WANT_WRITE) wanted = POLLOUT;
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
  }

  Status StartTls(const TlsPeer& peer) {
    ASSIGN_OR_RETURN(SSL_CTX * context, TlsContext(peer.ca_file));
    ssl.reset(SSL_new(context));
    if (ssl == nullptr) return Unavailable("TLS cannot be set up");
    // A host that is an address is looked for among the certificate's addresses.
    X509_VERIFY_PARAM* verify = SSL_get0_param(ssl.get());
    if (X509_VERIFY_PARAM_set1_ip_asc(verify, peer.host.c_str()) != 1) {
      SSL_set_tlsext_host_name(ssl.get(), peer.host.c_str());
      X509_VERIFY_PARAM_set1_host(verify, peer.host.c_str(), peer.host.size());
    }
    SSL_set_mode(ssl.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_fd(ssl.get(), fd);
    return {};
  }

  Result<bool> Connected() {
    pollfd entry{.fd = fd, .events = POLLOUT, .revents = 0};
    if (::poll(&entry, 1, 0) <= 0) return false;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Unavailable(std::strerror(error));
    connected = true;
    return true;
  }

  Result<bool> Handshaken() {
    ERR_clear_error();
    const int done = SSL_connect(ssl.get());
    if (done == 1) return handshaken = true;
    if (Again(done)) return false;
    if (const int64_t verdict = SSL_get_verify_result(ssl.get()); verdict != X509_V_OK)
      return MakeError(ErrorCode::kPermissionDenied,
                       fmt::format("its certificate is not trusted: {}",
                                   X509_verify_cert_error_string(verdict)));
    return Unavailable("the TLS handshake failed; does it speak TLS on this port?");
  }
};

Socket::Socket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Socket::~Socket() = default;

Result<std::unique_ptr<Socket>> Socket::Connect(const std::string& sockaddr_bytes,
                                                const std::optional<TlsPeer>& tls) {
  auto impl = std::make_unique<Impl>();
  const auto* address = reinterpret_cast<const sockaddr*>(sockaddr_bytes.data());
  impl->fd = ::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (impl->fd < 0) return Unavailable(std::strerror(errno));
  const int on = 1;
  ::setsockopt(impl->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(impl->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  if (::connect(impl->fd, address, static_cast<socklen_t>(sockaddr_bytes.size())) != 0 &&
      errno != EINPROGRESS)
    return Unavailable(std::strerror(errno));
  if (tls) RETURN_IF_ERROR(impl->StartTls(*tls));
  return std::unique_ptr<Socket>(new Socket(std::move(impl)));
}

Result<bool> Socket::Established() {
  if (!impl_->connected) {
    ASSIGN_OR_RETURN(const bool connected, impl_->Connected());
    if (!connected) return false;
  }
  if (impl_->ssl == nullptr || impl_->handshaken) return true;
  return impl_->Handshaken();
}

Result<size_t> Socket::Send(std::string_view bytes) {
  if (impl_->ssl != nullptr) {
    ERR_clear_error();
    const int sent = SSL_write(impl_->ssl.get(), bytes.data(), Clamped(bytes.size()));
    if (sent > 0) return static_cast<size_t>(sent);
    if (impl_->Again(sent)) return size_t{0};
    return Unavailable("the connection broke while sending");
  }
  const ssize_t sent = ::send(impl_->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<size_t>(sent);
  impl_->wanted = POLLOUT;
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return size_t{0};
  return Unavailable(fmt::format("while sending: {}", std::strerror(errno)));
}

Result<Socket::Received> Socket::Receive(std::span<char> buffer) {
  if (impl_->ssl != nullptr) {
    ERR_clear_error();
    const int got = SSL_read(impl_->ssl.get(), buffer.data(), Clamped(buffer.size()));
    if (got > 0) return Received{.size = static_cast<size_t>(got)};
    if (impl_->Again(got)) return Received{};
    // Without close_notify an end could be somebody's cut; only a length or a last chunk proves it.
    if (SSL_get_error(impl_->ssl.get(), got) == SSL_ERROR_ZERO_RETURN)
      return Received{.closed = true};
    return Unavailable("the TLS connection broke");
  }
  const ssize_t got = ::recv(impl_->fd, buffer.data(), buffer.size(), 0);
  if (got > 0) return Received{.size = static_cast<size_t>(got)};
  if (got == 0) return Received{.closed = true};
  impl_->wanted = POLLIN;
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return Received{};
  return Unavailable(std::strerror(errno));
}

bool Socket::Wait(Instant until, bool either_way) const {
  // Rounded up, so that a wait never spins on a remainder.
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  pollfd entry{.fd = impl_->fd, .revents = 0};
  entry.events = either_way ? static_cast<short>(POLLIN | POLLOUT) : impl_->wanted;
  return ::poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000))) > 0;
}

bool Socket::WaitReadable(std::chrono::milliseconds timeout) const {
  pollfd entry{.fd = impl_->fd, .events = POLLIN, .revents = 0};
  return (impl_->ssl != nullptr && SSL_pending(impl_->ssl.get()) > 0) ||
         ::poll(&entry, 1, static_cast<int>(timeout.count())) > 0;
}

}  // namespace nextgate
