// An open loop of requests against one address of the loopback, over connections that are kept: requests
// are due at fixed times whatever the server does, and are timed from when they were due.
//
// Threads: one, which sleeps until something is due or comes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace nextgate::bench {

struct LoadOptions {
  int port = 0;
  std::string path = "/v1/chat/completions";
  int connections = 16;
  double requests_per_s = 1000;
  double seconds = 5;
};

struct LoadResult {
  std::vector<double> latencies_us;  // sorted
  int64_t failed = 0;                // not 200, or no answer
  int64_t unlike = 0;                // without the wanted words in the head
  double Percentile(double p) const;
};

// Throws std::runtime_error when the server closes a connection.
// `body` makes the i-th request's body. Every reply's head must have `wanted`, unless that is "".
LoadResult RunLoad(const LoadOptions& options, const std::function<std::string(int64_t i)>& body,
                   const std::string& wanted);

// A connected socket. Throws std::runtime_error when nobody listens there.
int ConnectTo(int port);
std::string PostRequest(const std::string& path, const std::string& body);

}  // namespace nextgate::bench
