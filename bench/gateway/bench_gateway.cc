// bench_gateway latency            what the gateway adds to a request, beside a bare cpp-httplib handler
// bench_gateway streams BINARY     thousands of server-sent event streams from one `nextgate serve`
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/gateway/http_load.h"
#include "bench/gateway/servers.h"
#include "tests/support/redis_server.h"

namespace nextgate::bench {
namespace {

using std::chrono::duration;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr int kRuns = 5;

std::string ChatBody(const std::string& text) {
  return fmt::format(
      R"({{"model":"m","messages":[{{"role":"user","content":"{}"}}],"temperature":0}})", text);
}

struct Case {
  std::string name;
  Served served;
  std::string wanted;  // in every reply's head
  bool distinct;       // every request is a new question
  std::vector<double> p50, p99;
};

std::string Spread(std::vector<double> values) {
  std::ranges::sort(values);
  return fmt::format("{:7.0f} [{:.0f}–{:.0f}]", values[values.size() / 2], values.front(),
                     values.back());
}
double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int Latency() {
  const test::RedisServer redis({"--save", ""});
  std::map<Served, std::unique_ptr<ServerProcess>> servers;
  for (const Served served :
       {Served::kBare, Served::kGateway, Served::kWithRedis, Served::kFromRedis})
    servers[served] = std::make_unique<ServerProcess>(served, redis.port());
  std::vector<Case> cases = {{"bare cpp-httplib", Served::kBare, "", false, {}, {}},
                             {"miss, no Redis", Served::kGateway, "X-Cache: MISS", true, {}, {}},
                             {"miss, Redis", Served::kWithRedis, "X-Cache: MISS", true, {}, {}},
                             {"hit in process", Served::kGateway, "X-Cache: HIT", false, {}, {}},
                             {"hit in Redis", Served::kFromRedis, "X-Cache: HIT", false, {}, {}}};
  int64_t bad = 0;
  int64_t question = 0;
  for (int run = 0; run < kRuns; ++run)
    for (Case& one : cases) {
      LoadOptions options{.port = servers[one.served]->port()};
      const auto body = [&](int64_t) {
        return ChatBody(one.distinct ? fmt::format("Question {}?", ++question) : "The question?");
      };
      LoadOptions first = options;
      first.seconds = 0.2;  // connections are opened, what is asked again is stored
      RunLoad(first, body, "");
      const LoadResult result = RunLoad(options, body, one.wanted);
      bad += result.failed + result.unlike;
      if (result.failed + result.unlike > 0)
        fmt::print(stderr, "{}: {} failed, {} not '{}'\n", one.name, result.failed, result.unlike,
                   one.wanted);
      one.p50.push_back(result.Percentile(50));
      one.p99.push_back(result.Percentile(99));
    }
  fmt::print(
      "1,000 requests/s, open loop, 16 kept connections; {} runs of 5 s each, in turn; µs, median "
      "[spread]\n\n"
      "| | p50 | p99 | p50 beyond bare | p99 beyond bare |\n|---|---|---|---|---|\n",
      kRuns);
  for (const Case& one : cases)
    fmt::print("| {} | {} | {} | {:.0f} | {:.0f} |\n", one.name, Spread(one.p50), Spread(one.p99),
               Median(one.p50) - Median(cases[0].p50), Median(one.p99) - Median(cases[0].p99));
  return bad == 0 ? 0 : 1;
}

// --- streams ---

struct Heard {
  int64_t events = 0;
  int64_t ended = 0;
  bool newline = false;  // the last byte was one
};

// Reads until `deadline` from all sockets, each with its own count of events.
void Hear(int epoll, std::vector<Heard>& heard, steady_clock::time_point deadline) {
  std::vector<epoll_event> events(1024);
  char buffer[65536];
  while (steady_clock::now() < deadline) {
    const int n = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 50);
    for (int i = 0; i < n; ++i) {
      const auto index = static_cast<size_t>(events[static_cast<size_t>(i)].data.u64 >> 32);
      const auto socket = static_cast<int>(events[static_cast<size_t>(i)].data.u64 & 0xffffffff);
      const ssize_t got = ::recv(socket, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got <= 0) {
        heard[index].ended += got == 0 ? 1 : 0;
        ::epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nullptr);
        continue;
      }
      for (ssize_t b = 0; b < got; ++b) {
        const bool newline = buffer[b] == '\n';
        heard[index].events += newline && heard[index].newline ? 1 : 0;
        heard[index].newline = newline;
      }
    }
  }
}

int64_t EventsOf(const std::vector<Heard>& heard) {
  int64_t events = 0;
  for (const Heard& one : heard) events += one.events;
  return events;
}

// Has a long answer generated, as a stream, and stored; the request for it.
std::string StoreLongAnswer(int port) {
  const std::string request = PostRequest(
      "/v1/completions",
      R"({"model":"dictionary","prompt":"harbour","temperature":0,"max_tokens":3000,"min_tokens":3000,"ignore_eos":true,"stream":true})");
  const int socket = ConnectTo(port);
  ::send(socket, request.data(), request.size(), MSG_NOSIGNAL);
  char buffer[65536];
  std::string got;
  for (ssize_t n = 1; n > 0 && got.find("[DONE]") == std::string::npos;) {
    n = ::recv(socket, buffer, sizeof buffer, 0);
    got.append(buffer, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  }
  ::close(socket);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // it is stored after the last byte
  return request;
}

int Streams(const std::string& binary, int clients) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  constexpr int kTokensPerS = 8;
  const int model_port = test::FreePort();
  const int port = test::FreePort();
  const std::vector<std::string> quiet = {"--admin-port", "0", "--disable-access-log"};
  const auto command = [&](std::vector<std::string> arguments, int at) {
    arguments.insert(arguments.begin(), {binary, "serve"});
    arguments.insert(arguments.end(), {"--port", std::to_string(at)});
    arguments.insert(arguments.end(), quiet.begin(), quiet.end());
    return arguments;
  };
  const ServerProcess model(
      command({NEXTGATE_SOURCE_DIR "/models/dictionary", "--served-model-name", "dictionary"},
              model_port),
      model_port);
  const ServerProcess server(command({"--upstream", fmt::format("http://127.0.0.1:{}", model_port),
                                      "--cache-replay-tokens-per-s", std::to_string(kTokensPerS)},
                                     port),
                             port);
  const std::string request = StoreLongAnswer(port);
  const double before = server.ResidentMb();
  const int epoll = ::epoll_create1(0);
  std::vector<Heard> heard(static_cast<size_t>(clients));
  for (int i = 0; i < clients; ++i) {
    const int socket = ConnectTo(port);
    ::send(socket, request.data(), request.size(), MSG_NOSIGNAL);
    epoll_event event{
        .events = EPOLLIN,
        .data = {.u64 = (static_cast<uint64_t>(i) << 32) | static_cast<uint32_t>(socket)}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
    if (i % 50 == 49) Hear(epoll, heard, steady_clock::now() + std::chrono::milliseconds(20));
  }
  Hear(epoll, heard, steady_clock::now() + seconds(3));
  const int64_t first = EventsOf(heard);
  const auto began = steady_clock::now();
  double resident = 0;
  for (int i = 0; i < 10; ++i) {
    Hear(epoll, heard, steady_clock::now() + seconds(1));
    resident = std::max(resident, server.ResidentMb());
  }
  const double took = duration<double>(steady_clock::now() - began).count();
  const double rate = static_cast<double>(EventsOf(heard) - first) / took;
  const auto silent = std::ranges::count_if(heard, [](const Heard& one) { return one.events < 2; });
  const auto ended = std::ranges::count_if(heard, [](const Heard& one) { return one.ended > 0; });
  fmt::print(
      "{} streams at {} tokens/s each: {:.0f} events/s in {:.0f} s; resident {:.0f} MB ({:.0f} "
      "before); "
      "{} silent, {} ended\n",
      clients, kTokensPerS, rate, took, resident, before, silent, ended);
  return silent == 0 && ended == 0 ? 0 : 1;
}

}  // namespace
}  // namespace nextgate::bench

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  try {
    if (what == "latency" && argc == 2) return nextgate::bench::Latency();
    if (what == "streams" && (argc == 3 || argc == 4))
      return nextgate::bench::Streams(argv[2], argc == 4 ? std::atoi(argv[3]) : 4000);
  } catch (const std::exception& error) {  // the servers were stopped on the way here
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  fmt::print(stderr, "usage: bench_gateway latency | streams BINARY [CLIENTS]\n");
  return 2;
}
