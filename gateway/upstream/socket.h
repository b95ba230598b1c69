// One TCP connection to an upstream, with TLS on it or without, that never blocks: what cannot be done
// at once is done after Wait. So one thread can watch several deadlines, and closing is immediate.
//
// Errors name no host: clients see them. Threads: one at a time. Sources: connect(2) on non-blocking sockets; SSL_get_error(3).
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gateway/http_client.h"

namespace nextgate::gateway {

// Bytes of a sockaddr each, in the resolver's order. Blocks as long as the resolver does.
Result<std::vector<std::string>> ResolveHost(const Url& url);

// Whether https can be checked against `ca_file`, or the system's authorities if it is empty.
Status CheckTlsAuthorities(const std::string& ca_file);

class Socket {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  // Begins to connect to `sockaddr`; TLS if the URL says https, with the authorities of `ca_file`, or
  // the system's if it is empty. kInvalidArgument if these cannot be read.
  static Result<std::unique_ptr<Socket>> Connect(const std::string& sockaddr, const Url& url,
                                                 const std::string& ca_file);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // Goes on connecting. True once bytes can be sent. Errors: kUnavailable, and kPermissionDenied for
  // a certificate that is not trusted.
  Result<bool> Established();

  // Bytes sent, 0 if none can be now. REQUIRES: established.
  Result<size_t> Send(std::string_view bytes);

  // Received bytes, 0 if there are none now; or the peer has closed.
  struct Received {
    size_t size = 0;
    bool closed = false;
  };
  Result<Received> Receive(std::span<char> buffer);

  // Waits until what could not be done may be possible, or with `either_way` any of both; no later than
  // `until`.
  void Wait(Instant until, bool either_way = false) const;

  // Nothing has come that nobody asked for, and the peer has not closed. For idle connections.
  bool Quiet() const;

 private:
  struct Impl;
  explicit Socket(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nextgate::gateway
