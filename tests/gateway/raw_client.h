// One TCP connection to 127.0.0.1 that sends and receives bytes as they are: for what a
// well-behaved HTTP client would never send or hide.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace nextgate::gateway {

class RawClient {
 public:
  explicit RawClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval patience{.tv_sec = 20, .tv_usec = 0};  // a hanging server fails the test
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { Close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }

  RawClient& Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;  // the server has closed: what it said before can still be read
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return *this;
  }

  // Everything up to and with `mark`, or up to the end of the connection.
  std::string ReadUntil(std::string_view mark) {
    while (true) {
      if (const size_t at = read_.find(mark); !mark.empty() && at != std::string::npos) {
        std::string found = read_.substr(0, at + mark.size());
        read_.erase(0, found.size());
        return found;
      }
      char buffer[4096];
      const ssize_t got = ::recv(socket_, buffer, sizeof buffer, 0);
      if (got <= 0) return std::exchange(read_, {});
      read_.append(buffer, static_cast<size_t>(got));
    }
  }
  std::string ReadToEnd() { return ReadUntil(""); }

  void Close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

 private:
  int socket_;
  bool connected_ = false;
  std::string read_;
};

}  // namespace nextgate::gateway
