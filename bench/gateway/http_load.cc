#include "bench/gateway/http_load.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <deque>
#include <stdexcept>

namespace nextgate::bench {
namespace {

using std::chrono::duration;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

struct Connection {
  int socket = -1;
  bool waiting = false;  // for a reply
  steady_clock::time_point due;
  std::string got;
};

// The size of the whole reply, or 0 while its head is not there.
size_t ReplySize(const std::string& got) {
  const size_t head = got.find("\r\n\r\n");
  if (head == std::string::npos) return 0;
  const size_t at = got.find("Content-Length: ");
  size_t length = 0;
  if (at < head) std::from_chars(got.data() + at + 16, got.data() + head, length);
  return head + 4 + length;
}

void Send(int socket, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = ::send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) throw std::runtime_error("the server closed a connection");
    sent += static_cast<size_t>(n);
  }
}

}  // namespace

double LoadResult::Percentile(double p) const {
  if (latencies_us.empty()) return 0;
  const auto at = static_cast<size_t>(p / 100 * static_cast<double>(latencies_us.size()));
  return latencies_us[std::min(at, latencies_us.size() - 1)];
}

int ConnectTo(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error(fmt::format("nobody listens on port {}", port));
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

std::string PostRequest(const std::string& path, const std::string& body) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
      "{}\r\n\r\n{}",
      path, body.size(), body);
}

LoadResult RunLoad(const LoadOptions& options, const std::function<std::string(int64_t i)>& body,
                   const std::string& wanted) {
  ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  LoadResult result;
  std::vector<Connection> connections(static_cast<size_t>(options.connections));
  for (Connection& c : connections) c.socket = ConnectTo(options.port);
  const auto total = static_cast<int64_t>(options.requests_per_s * options.seconds);
  const auto period = nanoseconds(static_cast<int64_t>(1e9 / options.requests_per_s));
  std::deque<std::pair<steady_clock::time_point, std::string>> ready;  // due, and nobody free
  const auto began = steady_clock::now() + std::chrono::milliseconds(20);
  std::vector<pollfd> polled(connections.size());
  int64_t made = 0;
  int64_t answered = 0;
  std::string next = body(0);
  const auto give_up = began + duration<double>(options.seconds + 10);
  while (answered < total && steady_clock::now() < give_up) {
    while (made < total && began + made * period <= steady_clock::now()) {
      ready.emplace_back(began + made * period, PostRequest(options.path, next));
      if (++made < total) next = body(made);
    }
    for (Connection& c : connections) {
      if (ready.empty()) break;
      if (c.waiting) continue;
      c.waiting = true;
      c.due = ready.front().first;
      Send(c.socket, ready.front().second);
      ready.pop_front();
    }
    for (size_t i = 0; i < connections.size(); ++i)
      polled[i] = {.fd = connections[i].socket, .events = POLLIN, .revents = 0};
    const auto wait =
        std::max(nanoseconds(0), nanoseconds(began + made * period - steady_clock::now()));
    const timespec timeout{.tv_sec = made < total ? wait.count() / 1'000'000'000 : 1,
                           .tv_nsec = made < total ? wait.count() % 1'000'000'000 : 0};
    ::ppoll(polled.data(), polled.size(), &timeout, nullptr);
    for (size_t i = 0; i < connections.size(); ++i) {
      if ((polled[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
      Connection& c = connections[i];
      char buffer[65536];
      const ssize_t n = ::recv(c.socket, buffer, sizeof buffer, 0);
      if (n <= 0) throw std::runtime_error("the server closed a connection");
      c.got.append(buffer, static_cast<size_t>(n));
      const size_t size = ReplySize(c.got);
      if (size == 0 || c.got.size() < size) continue;
      result.latencies_us.push_back(
          duration<double, std::micro>(steady_clock::now() - c.due).count());
      if (!c.got.starts_with("HTTP/1.1 200")) ++result.failed;
      if (!wanted.empty() && c.got.find(wanted) == std::string::npos) ++result.unlike;
      c.got.clear();
      c.waiting = false;
      ++answered;
    }
  }
  result.failed += total - answered;
  for (const Connection& c : connections) ::close(c.socket);
  std::ranges::sort(result.latencies_us);
  return result;
}

}  // namespace nextgate::bench
