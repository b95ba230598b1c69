#include "bench/gateway/servers.h"

#include <fmt/format.h>
#include <httplib.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <thread>

#include "cache/memory_store.h"
#include "gateway/chat_pipeline.h"
#include "gateway/routes.h"
#include "gateway/shared_flight.h"
#include "tests/support/redis_instance.h"

namespace nextgate::bench {
namespace {

using namespace gateway;
using std::chrono::milliseconds;

const std::vector<int32_t>& TokenIds() {
  static const std::vector<int32_t> ids = [] {
    std::vector<int32_t> made;
    for (int32_t i = 0; i < 24; ++i) made.push_back(1000 + i);
    return made;
  }();
  return ids;
}

class ReadySource final : public AnswerSource {
 public:
  bool Pump(milliseconds, const Listener& listener) override {
    if (listener.delta) listener.delta({.text = kAnswerText, .token_ids = TokenIds()});
    if (listener.finish) listener.finish(0, {.finish_reason = "stop"});
    return false;
  }
  Outcome Finish() const override {
    const cache::AnswerUsage usage{.prompt_tokens = 12, .completion_tokens = 24};
    return {.ending = {.choices = {{.finish_reason = "stop"}}, .usage = usage},
            .usage = usage,
            .complete = true,
            .finish_reasons = {"stop"}};
  }
  int32_t num_choices() const override { return 1; }
};

class ReadyGenerator final : public Generator {
 public:
  Result<std::unique_ptr<AnswerSource>> Start(std::shared_ptr<const openai::ApiRequest>,
                                              const std::string&) override {
    return std::make_unique<ReadySource>();
  }
  const std::string& fingerprint() const override { return fingerprint_; }

 private:
  const std::string fingerprint_ = "ready";
};

// All that a server's main wires together, without an engine.
struct Gateway {
  Gateway(int redis_port, size_t memory_bytes)
      : redis(redis_port == 0 ? nullptr : std::make_unique<test::RedisInstance>(redis_port)),
        store({.bytes_max = memory_bytes}),
        exact(store, redis ? &redis->store : nullptr, Clock::System(), &invalidations),
        shared(redis ? std::make_unique<SharedFlights>(redis->flight, exact, generator) : nullptr) {
    RegisterApiRoutes(server, context);
  }

  ReadyGenerator generator;
  std::unique_ptr<test::RedisInstance> redis;
  cache::MemoryStore store;
  cache::Invalidations invalidations;
  cache::ExactCache exact;
  std::unique_ptr<SharedFlights> shared;
  Flights flights;
  cache::Writer writer{exact};
  cache::CacheStats stats;
  cache::Partitioner partitioner{"secret"};
  Metrics metrics{"m"};
  LiveRequests live;
  ChatPipeline pipeline{{.generator = generator,
                         .exact = exact,
                         .flights = flights,
                         .shared_flights = shared.get(),
                         .writer = writer,
                         .stats = stats,
                         .policy = {},
                         .partitioner = partitioner,
                         .metrics = metrics,
                         .access_log = false,
                         .live = &live}};
  Auth auth{{}};
  Admission admission{metrics, nullptr};
  std::atomic<bool> ready = true;
  Recorder recorder{.metrics = metrics, .access_log = false};
  openai::ParseLimits limits{.vocab_size = 1 << 20, .model_default = "m"};
  std::vector<std::string> names = {"m"};
  RequestReader reader{.limits = limits, .model_names = names};
  RouteContext context{.pipeline = pipeline,
                       .metrics = metrics,
                       .recorder = recorder,
                       .cache_stats = stats,
                       .exact = exact,
                       .auth = auth,
                       .admission = admission,
                       .reader = reader,
                       .model_root = "m",
                       .ready = ready};
  HttpServer server{{}};
};

std::string BareBody() {
  return fmt::format(
      R"({{"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion","created":1700000000,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"logprobs":null,"finish_reason":"stop","stop_reason":null}}],"usage":{{"prompt_tokens":12,"completion_tokens":24,"total_tokens":36,"prompt_tokens_details":{{"cached_tokens":0}}}}}})",
      kAnswerText);
}

[[noreturn]] void ServeBare(int told) {
  httplib::Server server;
  server.set_tcp_nodelay(true);
  server.set_keep_alive_max_count(1'000'000);
  server.set_keep_alive_timeout(60);  // the load does not use all its connections all the time
  server.new_task_queue = [] { return new httplib::ThreadPool(32); };
  server.Post("/v1/chat/completions",
              [body = BareBody()](const httplib::Request&, httplib::Response& reply) {
                reply.set_content(body, "application/json");
              });
  const int port = server.bind_to_any_port("127.0.0.1");
  if (::write(told, &port, sizeof port) != sizeof port) ::_exit(1);
  server.listen_after_bind();
  ::_exit(0);
}

[[noreturn]] void ServeGateway(int told, Served served, int redis_port) {
  const size_t memory = served == Served::kFromRedis ? 0 : size_t{64} << 20;
  Gateway gateway(served == Served::kGateway ? 0 : redis_port, memory);
  if (!gateway.server.Start()) ::_exit(1);
  const int port = gateway.server.port();
  if (::write(told, &port, sizeof port) != sizeof port) ::_exit(1);
  while (true) ::pause();
}

}  // namespace

const std::string kAnswerText =
    "A sheltered place on the coast where ships may anchor or tie up and be safe from wind and "
    "waves.";

ServerProcess::ServerProcess(Served served, int redis_port) {
  int told[2];
  if (::pipe(told) != 0) std::exit(1);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (served == Served::kBare) ServeBare(told[1]);
    ServeGateway(told[1], served, redis_port);
  }
  if (::read(told[0], &port_, sizeof port_) != sizeof port_) port_ = 0;
  ::close(told[0]);
  ::close(told[1]);
}

ServerProcess::ServerProcess(const std::vector<std::string>& command, int port) : port_(port) {
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::vector<char*> arguments;
    for (const std::string& argument : command)
      arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    ::_exit(1);
  }
  httplib::Client client("127.0.0.1", port);
  for (int i = 0; i < 600; ++i) {
    if (const auto reply = client.Get("/ready"); reply && reply->status == 200) return;
    std::this_thread::sleep_for(milliseconds(50));
  }
  fmt::print(stderr, "{} is not ready\n", command.front());
  std::exit(1);
}

ServerProcess::~ServerProcess() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

double ServerProcess::ResidentMb() const {
  std::ifstream status(fmt::format("/proc/{}/status", pid_));
  for (std::string word; status >> word;)
    if (double kilobytes = 0; word == "VmRSS:" && status >> kilobytes) return kilobytes / 1024;
  return 0;
}

}  // namespace nextgate::bench
