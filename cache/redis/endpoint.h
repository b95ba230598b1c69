// Where a Redis or Valkey is and how to log in.
//
// Threads: values.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace nextgate::cache {

struct RedisEndpoint {
  std::string host;
  int port = 6379;
  int database = 0;
  bool tls = false;
  std::string user;      // ACL user; empty: the default one
  std::string password;  // empty: none. Never logged
  std::string ca_file;   // PEM, for tls; empty: the system's

  // "redis://host:port/database": no user, no secret.
  std::string ToString() const;
};

// redis://[USER@]HOST[:PORT][/DATABASE], rediss:// with TLS. A password in the URL is refused, since
// command lines are read by everybody on the machine.
Result<RedisEndpoint> ParseRedisUrl(std::string_view url);

}  // namespace nextgate::cache
