// The servers that are measured, each in a process of its own: a bare cpp-httplib handler, and the gateway
// over a generator that has its answer at once, so that what is timed is the gateway.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace nextgate::bench {

// The answer of all of them: a body as the endpoint gives it, of some 450 bytes.
extern const std::string kAnswerText;

enum class Served {
  kBare,       // httplib, which parses nothing and says one body
  kGateway,    // ChatPipeline with the answer cache in process
  kWithRedis,  // and with a Redis, single flight across instances included
  kFromRedis,  // the same with nothing kept in process: what is stored comes from Redis
};

class ServerProcess {
 public:
  // Forks: before this process has threads. `redis_port` 0: none is needed.
  ServerProcess(Served served, int redis_port);
  // A program of its own, asked at `port` until it is ready.
  ServerProcess(const std::vector<std::string>& command, int port);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  int port() const { return port_; }
  double ResidentMb() const;

 private:
  pid_t pid_ = -1;
  int port_ = 0;
};

}  // namespace nextgate::bench
