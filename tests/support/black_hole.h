// A port of the loopback that answers no SYN, as an address behind a firewall that drops everything:
// nobody accepts, and the queue of those who wait to be accepted is full.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

namespace nextgate::test {

class BlackHole {
 public:
  BlackHole() {
    sockaddr_in address{.sin_family = AF_INET};
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const auto any = reinterpret_cast<sockaddr*>(&address);
    const int listening = sockets_.emplace_back(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(::bind(listening, any, sizeof address), 0);
    EXPECT_EQ(::listen(listening, 0), 0);
    EXPECT_EQ(::getsockname(listening, any, &size), 0);
    port_ = ::ntohs(address.sin_port);
    for (int i = 0; i < 4; ++i)  // one would do
      ::connect(sockets_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), any,
                sizeof address);
  }
  ~BlackHole() {
    for (const int socket : sockets_) ::close(socket);
  }
  BlackHole(const BlackHole&) = delete;
  BlackHole& operator=(const BlackHole&) = delete;

  int port() const { return port_; }

 private:
  std::vector<int> sockets_;
  int port_ = 0;
};

}  // namespace nextgate::test
