#include "tests/support/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/check.h"

extern char** environ;

namespace nextgate::test {
namespace {

std::string TempDir() {
  std::string path = ::testing::TempDir() + "nextgate-redis-XXXXXX";
  CHECK(::mkdtemp(path.data()) != nullptr);
  return path;
}

bool Accepts(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool connected =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return connected;
}

}  // namespace

int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  socklen_t size = sizeof address;
  CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

RedisServer::RedisServer(std::vector<std::string> arguments)
    : arguments_(std::move(arguments)), dir_(TempDir()), port_(FreePort()) {
  Start();
}

RedisServer::~RedisServer() {
  Kill();
  std::filesystem::remove_all(dir_);
}

void RedisServer::Start() {
  std::vector<std::string> words = {
      "redis-server", "--bind", "127.0.0.1",   "--port", std::to_string(port_), "--dir",      dir_,
      "--save",       "",       "--daemonize", "no",     "--logfile",           dir_ + "/log"};
  words.insert(words.end(), arguments_.begin(), arguments_.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ASSERT_EQ(::posix_spawnp(&pid_, "redis-server", nullptr, nullptr, argv.data(), environ), 0)
      << "redis-server is not installed: run scripts/test_env.sh";
  for (int i = 0; i < 1000 && !Accepts(port_); ++i) {
    ASSERT_EQ(::waitpid(pid_, nullptr, WNOHANG), 0) << "redis-server ended, see " << dir_ << "/log";
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(Accepts(port_));
}

void RedisServer::Pause() { ::kill(pid_, SIGSTOP); }
void RedisServer::Resume() { ::kill(pid_, SIGCONT); }

void RedisServer::Kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

std::string MakeCertificates() {
  const std::string dir = TempDir();
  const std::string script =
      "cd '" + dir +
      "' && exec 2>/dev/null && "
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
      "-subj /CN=test-ca -keyout ca.key -out ca.pem && "
      "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis "
      "-keyout server.key -out server.csr && "
      "printf 'subjectAltName=IP:127.0.0.1' > san && "
      "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
      "-extfile san -out server.pem";
  EXPECT_EQ(std::system(script.c_str()), 0);
  return dir;
}

}  // namespace nextgate::test
