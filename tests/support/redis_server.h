// A real redis-server on a free port of the loopback, for one test. Its files lie in a directory of
// its own, which goes with it.
//
// Threads: one.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace nextgate::test {

class RedisServer {
 public:
  // Starts it with these further arguments ("--requirepass", "x") and waits until it answers or, if
  // it does not, fails the test.
  explicit RedisServer(std::vector<std::string> arguments = {});
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  int port() const { return port_; }
  const std::string& dir() const { return dir_; }

  void Pause();   // SIGSTOP: accepts connections (the kernel does) and says nothing
  void Resume();  // SIGCONT
  void Kill();    // SIGKILL
  void Start();   // again, on the same port

 private:
  std::vector<std::string> arguments_;
  std::string dir_;
  int port_ = 0;
  pid_t pid_ = -1;
};

// A directory with ca.pem, and server.pem + server.key signed by it for 127.0.0.1.
std::string MakeCertificates();

int FreePort();

}  // namespace nextgate::test
