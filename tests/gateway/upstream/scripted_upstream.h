// A server on a real socket of 127.0.0.1 that answers as a test's script says, byte by byte: breaks
// off, hangs, lies. One thread per connection; connections are kept as long as the script wants.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace nextgate::gateway {

// One request and the connection that it came on.
class Conversation {
 public:
  Conversation(int socket, std::string head, std::string body, int number)
      : head(std::move(head)), body(std::move(body)), number(number), socket_(socket) {}

  const std::string head;
  const std::string body;
  const int number;  // of all requests of this server, from 0

  // False once the client is gone.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // A response with a length.
  void Reply(int status, std::string_view json, std::string_view headers = "") {
    Send("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: application/json\r\n" +
         std::string(headers) + "Content-Length: " + std::to_string(json.size()) + "\r\n\r\n" +
         std::string(json));
  }
  void BeginStream(std::string_view headers = "") {
    Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n" +
         std::string(headers) + "Transfer-Encoding: chunked\r\n\r\n");
  }
  bool Piece(std::string_view bytes) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
    return Send(size + std::string(bytes) + "\r\n");
  }
  bool Event(std::string_view data) { return Piece("data: " + std::string(data) + "\n\n"); }
  void EndStream() {
    Event("[DONE]");
    Send("0\r\n\r\n");
  }
  // Waits until the client closes the connection. False if it has not after 20 s.
  bool WaitClosed() {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    char buffer[256];
    while (std::chrono::steady_clock::now() < until) {
      pollfd entry{.fd = socket_, .events = POLLIN, .revents = 0};
      if (::poll(&entry, 1, 100) > 0 && ::recv(socket_, buffer, sizeof buffer, 0) <= 0) return true;
    }
    return false;
  }

 private:
  const int socket_;
};

class ScriptedUpstream {
 public:
  // The script answers one request; false: the connection is closed.
  using Script = std::function<bool(Conversation&)>;

  explicit ScriptedUpstream(Script script)
      : script_(std::move(script)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Accept(); });
  }
  ~ScriptedUpstream() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  int connections() const { return connections_; }
  // Bodies of the requests that came.
  std::vector<std::string> Bodies() const {
    const std::lock_guard lock(mutex_);
    return bodies_;
  }
  std::string Head(size_t i) const {
    const std::lock_guard lock(mutex_);
    return heads_.at(i);
  }
  int requests() const { return static_cast<int>(Bodies().size()); }

 private:
  void Accept() {
    while (true) {
      const int socket = ::accept(listener_, nullptr, nullptr);
      if (socket < 0) return;
      ++connections_;
      const std::lock_guard lock(mutex_);
      sockets_.push_back(socket);
      threads_.emplace_back([this, socket] { Serve(socket); });
    }
  }
  void Serve(int socket) {
    std::string read;
    while (true) {
      size_t end = std::string::npos;
      while ((end = read.find("\r\n\r\n")) == std::string::npos)
        if (!ReadMore(socket, read)) return Close(socket);
      const std::string head = read.substr(0, end + 4);
      const size_t length_at = head.find("Content-Length: ");
      const size_t length =
          length_at == std::string::npos ? 0 : std::stoul(head.substr(length_at + 16));
      while (read.size() < head.size() + length)
        if (!ReadMore(socket, read)) return Close(socket);
      const std::string body = read.substr(head.size(), length);
      read.erase(0, head.size() + length);
      int number = 0;
      {
        const std::lock_guard lock(mutex_);
        number = static_cast<int>(bodies_.size());
        heads_.push_back(head);
        bodies_.push_back(body);
      }
      Conversation conversation(socket, head, body, number);
      if (!script_(conversation)) return Close(socket);
    }
  }
  static bool ReadMore(int socket, std::string& read) {
    char buffer[4096];
    const ssize_t got = ::recv(socket, buffer, sizeof buffer, 0);
    if (got > 0) read.append(buffer, static_cast<size_t>(got));
    return got > 0;
  }
  void Close(int socket) {
    const std::lock_guard lock(mutex_);
    std::erase(sockets_, socket);
    ::close(socket);
  }

  const Script script_;
  const int listener_;
  int port_ = 0;
  std::atomic<int> connections_ = 0;
  mutable std::mutex mutex_;
  std::vector<int> sockets_;
  std::vector<std::string> heads_, bodies_;
  std::list<std::thread> threads_;
  std::thread thread_;
};

// A port of 127.0.0.1 where nobody listens.
inline std::string NobodysUrl() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket);
  return "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

}  // namespace nextgate::gateway
