// One TCP connection to a server, with TLS on it or without, that never blocks: what cannot be done at
// once is done after Wait. So one thread can watch several deadlines, and closing is immediate.
//
// Errors name no host: clients see them. Threads: one at a time. Sources: connect(2) on non-blocking sockets; SSL_get_error(3).
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace nextgate {

// Whether certificates can be checked against `ca_file`, or the system's authorities if it is empty.
// kInvalidArgument if these cannot be read.
Status CheckTlsAuthorities(const std::string& ca_file);

// Who the server must prove to be.
struct TlsPeer {
  std::string host;     // a name, or an address without brackets
  std::string ca_file;  // PEM; empty: the system's authorities
};

class Socket {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  // Begins to connect to `sockaddr`, with TLS if there is a peer to prove itself. Errors: kUnavailable;
  // kInvalidArgument as CheckTlsAuthorities.
  static Result<std::unique_ptr<Socket>> Connect(const std::string& sockaddr,
                                                 const std::optional<TlsPeer>& tls);
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

  // Waits until what could not be done may be possible, or with `either_way` any of both; about as long
  // as until `until`, and a minute at most. Whether it is; looked at once however late it is.
  bool Wait(Instant until, bool either_way = false) const;

  // Waits for something to receive, or for the peer to close; false if neither came in time. An idle
  // connection on which it is so at once is of no further use.
  bool WaitReadable(std::chrono::milliseconds timeout) const;

 private:
  struct Impl;
  explicit Socket(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nextgate
