// What one process of several that share a Redis has of it: for tests of what lies on top.
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "cache/redis/client.h"
#include "cache/redis/store.h"
#include "cache/redis/tail.h"
#include "cache/single_flight.h"

namespace nextgate::test {

using std::chrono::milliseconds;

// Patient, because a machine that runs tests may be busy; a test of impatience sets its own.
inline cache::RedisClient::Options PatientClient(int port) {
  return {.endpoint = {.host = "127.0.0.1", .port = port},
          .retry_first = milliseconds(5),
          .retry_max = milliseconds(20),
          .probe_timeout = milliseconds(2000)};
}

inline cache::SingleFlight::Options PatientFlight() {
  return {.name_space = "test",
          .lease = milliseconds(2000),
          .renew = milliseconds(100),
          .watch = milliseconds(20),
          .turn_budget = milliseconds(5000),
          .publish_budget = milliseconds(5000),
          .store_budget = milliseconds(5000)};
}

struct RedisInstance {
  explicit RedisInstance(int port, cache::SingleFlight::Options options = PatientFlight(),
                         const std::string& secret = "shared secret", int slices = 200,
                         int tail_port = 0)
      : client(PatientClient(port)),
        tail({.endpoint = {.host = "127.0.0.1", .port = tail_port == 0 ? port : tail_port},
              .slices = slices,
              .connect_timeout = milliseconds(slices > 100 ? 5000 : 45),
              .retry = milliseconds(10)}),
        codec(secret),
        live(secret),
        store({.name_space = "test", .read_budget = milliseconds(5000)}, client, codec),
        flight(std::move(options),
               {.client = client, .tail = tail, .store = store, .codec = live}) {
    client.WaitAvailable(milliseconds(20'000));
  }

  cache::RedisReply Run(cache::RedisCommand command) {
    const cache::RedisCommand commands[] = {std::move(command)};
    auto replies = client.Run(commands, std::chrono::steady_clock::now() + milliseconds(20'000));
    return replies ? replies->front()
                   : cache::RedisReply{.type = cache::RedisReply::Type::kError, .text = "nobody"};
  }

  cache::RedisClient client;
  cache::RedisTail tail;
  cache::EntryCodec codec;
  cache::LiveCodec live;
  cache::RedisStore store;
  cache::SingleFlight flight;
};

}  // namespace nextgate::test
