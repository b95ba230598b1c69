#include "gateway/http_server.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "gateway/connection_threads.h"
#include "gateway/openai/error.h"

namespace nextgate::gateway {
namespace {

constexpr int kKeepAliveS = 75;  // proxies hold connections for 60

// httplib's own pool counts an idle thread for every connection that comes before it wakes: all but the
// first of them then wait until another connection ends.
class ConnectionQueue final : public httplib::TaskQueue {
 public:
  explicit ConnectionQueue(size_t connections_max) : threads_({.threads_max = connections_max}) {}
  bool enqueue(std::function<void()> serve) override { return threads_.Run(std::move(serve)); }
  void shutdown() override { threads_.Stop(); }

 private:
  ConnectionThreads threads_;
};

class SinkWriter final : public StreamWriter {
 public:
  SinkWriter(httplib::DataSink& sink, const std::atomic<bool>& stopping)
      : sink_(sink), stopping_(stopping) {}
  bool Write(std::string_view bytes) override {
    left_ = left_ || stopping_.load() || !sink_.write(bytes.data(), bytes.size());
    return !left_;
  }
  bool ClientLeft() override {
    left_ = left_ || stopping_.load() || !sink_.is_writable();
    return left_;
  }

 private:
  httplib::DataSink& sink_;
  const std::atomic<bool>& stopping_;
  bool left_ = false;
};

struct RouteEntry {
  std::string method;
  std::string path;
  HttpServer::Handler handler;

  bool MatchesPath(const std::string& asked, std::string& parameter) const {
    if (!path.ends_with("/*")) return path == asked;
    const std::string_view prefix = std::string_view(path).substr(0, path.size() - 1);
    if (!asked.starts_with(prefix) || asked.size() == prefix.size()) return false;
    parameter = asked.substr(prefix.size());
    return true;
  }
};

}  // namespace

struct Ending;

struct HttpServer::Impl {
  explicit Impl(Options given) : options(std::move(given)) {}

  Options options;
  httplib::Server server;
  std::vector<RouteEntry> routes;
  Handler otherwise = [](const ServerRequest&, ServerReply&) {};
  std::thread listener;
  int port = 0;
  std::atomic<int> in_flight = 0;
  std::atomic<bool> stopping = false;

  void SetUp();
  void AnswerRequest(const httplib::Request& request, httplib::Response& response);
  void Refuse(const httplib::Request& request, httplib::Response& response);
  ServerRequest OursOf(const httplib::Request& request) const;
  void Send(ServerReply reply, const std::shared_ptr<Ending>& ending, httplib::Response& response);
  void AddCors(const httplib::Request& request, httplib::Response& response) const;
};

// httplib's own router is not used: it would answer a wrong method with 404 and hide the path's
// methods.
void HttpServer::Impl::SetUp() {
  server.new_task_queue = [this] {
    return new ConnectionQueue(static_cast<size_t>(options.connections_max));
  };
  server.set_tcp_nodelay(true);
  // Not httplib's SO_REUSEPORT: a port that is taken is an error, not a port shared with a
  // stranger.
  server.set_socket_options(
      [](socket_t socket) { httplib::set_socket_opt(socket, SOL_SOCKET, SO_REUSEADDR, 1); });
  server.set_keep_alive_timeout(kKeepAliveS);
  server.set_keep_alive_max_count(1'000'000);
  server.set_payload_max_length(static_cast<size_t>(options.body_bytes_max));
  // A body that is over the limit by little is read to its end, so that every client sees the
  // answer; one that claims much more is refused before its first byte.
  server.set_pre_routing_handler(
      [this](const httplib::Request& request, httplib::Response& response) {
        if (request.get_header_value_u64("Content-Length") <=
            2 * static_cast<uint64_t>(options.body_bytes_max))
          return httplib::Server::HandlerResponse::Unhandled;
        response.status = 413;
        return httplib::Server::HandlerResponse::Handled;
      });
  const auto answer = [this](const httplib::Request& request, httplib::Response& response) {
    AnswerRequest(request, response);
  };
  server.Get(".*", answer);
  server.Post(".*", answer);
  server.Put(".*", answer);
  server.Delete(".*", answer);
  server.Patch(".*", answer);
  server.Options(".*", [this](const httplib::Request& request, httplib::Response& response) {
    response.status = 204;
    AddCors(request, response);
  });
  server.set_error_handler([this](const httplib::Request& request, httplib::Response& response) {
    if (response.content_provider_ || !response.body.empty())
      return httplib::Server::HandlerResponse::Unhandled;  // a reply of ours
    Refuse(request, response);
    return httplib::Server::HandlerResponse::Handled;
  });
  server.set_exception_handler(
      [](const httplib::Request& request, httplib::Response& response, const std::exception_ptr&) {
        LogError("method={} error=\"a handler threw\"", request.method);
        response.status = 500;
        response.set_content(openai::ErrorBody({ErrorCode::kInternal, "internal error", ""}),
                             "application/json");
      });
}

// What httplib refuses by itself (bad request lines, bodies over the limit) becomes our error object too.
void HttpServer::Impl::Refuse(const httplib::Request& request, httplib::Response& response) {
  Error error{ErrorCode::kInvalidArgument, "the request could not be read as HTTP/1.1", ""};
  if (response.status == 413) {
    error = {ErrorCode::kTooLarge,
             fmt::format("the body is larger than the limit of {} bytes", options.body_bytes_max),
             ""};
    response.set_header("Connection", "close");
  } else if (response.status == 414) {
    error.message = "the request's path is too long";
  } else if (response.status == 415) {
    error.message = "a body with a Content-Encoding is not taken: send it plain";
  } else if (response.status == 416) {
    error.message = "the Range header can't be satisfied: leave it out";
  }
  ServerReply reply{.status = response.status, .body = openai::ErrorBody(error)};
  otherwise(OursOf(request), reply);
  for (const auto& [name, value] : reply.headers) response.set_header(name, value);
  response.set_content(reply.body, reply.content_type);
  response.status = reply.status;
  if (reply.on_sent) reply.on_sent();
}

void HttpServer::Impl::AddCors(const httplib::Request& request, httplib::Response& response) const {
  const std::string origin = request.get_header_value("Origin");
  const auto& allowed = options.allowed_origins;
  const bool any = std::ranges::find(allowed, "*") != allowed.end();
  if (origin.empty() || (!any && std::ranges::find(allowed, origin) == allowed.end())) return;
  response.set_header("Access-Control-Allow-Origin", any ? "*" : origin);
  response.set_header("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
  // Whatever the client wants to send: the official JavaScript client has a dozen headers of its own.
  const std::string asked = request.get_header_value("Access-Control-Request-Headers");
  response.set_header("Access-Control-Allow-Headers",
                      asked.empty() ? "Authorization, Content-Type" : asked);
  response.set_header(
      "Access-Control-Expose-Headers",
      "X-Request-Id, X-Cache, X-Cache-Tier, X-Cache-Reason, X-Cache-Entry, Age, "
      "Cache-Status, Retry-After, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
      "x-ratelimit-reset-requests, x-ratelimit-limit-tokens, "
      "x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens");
  response.set_header("Vary", "Origin, Access-Control-Request-Headers");
}

// Of the URL alone: the library adds the fields of a body that passes for a form, as curl's -d does.
decltype(ServerRequest::query) QueryOf(const httplib::Request& request) {
  httplib::Params params;
  const size_t mark = request.target.find('?');
  if (mark != std::string::npos)
    httplib::detail::parse_query_text(request.target.substr(mark + 1), params);
  return {params.begin(), params.end()};
}

ServerRequest HttpServer::Impl::OursOf(const httplib::Request& request) const {
  return {.method = request.method,
          .path = request.path,
          .body = request.body,
          .query = QueryOf(request),
          .remote_address = request.remote_addr,
          .header =
              [&request](const std::string& name) {
                std::string all;
                for (size_t i = 0; i < request.get_header_value_count(name); ++i)
                  all += (i > 0 ? ", " : "") + request.get_header_value(name, "", i);
                return all;
              },
          .client_left = [this,
                          &request] { return stopping.load() || request.is_connection_closed(); }};
}

void HttpServer::Impl::AnswerRequest(const httplib::Request& request, httplib::Response& response) {
  ServerRequest ours = OursOf(request);
  ServerReply reply;
  const auto ending = std::make_shared<Ending>(in_flight);
  AddCors(request, response);
  const RouteEntry* found = nullptr;
  std::string methods;
  for (const RouteEntry& route : routes) {
    std::string parameter;
    if (!route.MatchesPath(request.path, parameter)) continue;
    methods += (methods.empty() ? "" : ", ") + route.method;
    if (route.method != (request.method == "HEAD" ? "GET" : request.method)) continue;
    found = &route;
    ours.route = route.path;
    ours.parameter = std::move(parameter);
    break;
  }
  if (found == nullptr) {
    const Error error =
        methods.empty()
            ? Error{ErrorCode::kNotFound, fmt::format("there is no {}", request.path), ""}
            : Error{ErrorCode::kInvalidArgument,
                    fmt::format("{} takes {}, not {}", request.path, methods, request.method), ""};
    reply.status = methods.empty() ? 404 : 405;
    reply.body = openai::ErrorBody(error);
    if (!methods.empty()) reply.headers.emplace_back("Allow", methods);
    otherwise(ours, reply);
  } else {
    found->handler(ours, reply);
  }
  Send(std::move(reply), ending, response);
}

// What happens when the reply has been sent or the client has left, however the connection ends.
struct Ending {
  std::atomic<int>& in_flight;
  std::function<void()> on_sent;
  explicit Ending(std::atomic<int>& counter) : in_flight(counter) { ++in_flight; }
  ~Ending() {
    if (on_sent) on_sent();
    --in_flight;
  }
};

void HttpServer::Impl::Send(ServerReply reply, const std::shared_ptr<Ending>& ending,
                            httplib::Response& response) {
  response.status = reply.status;
  for (const auto& [name, value] : reply.headers) response.set_header(name, value);
  ending->on_sent = std::move(reply.on_sent);
  if (!reply.stream) {
    const size_t size = reply.body.size();
    response.set_content_provider(
        size, reply.content_type,
        [body = std::move(reply.body)](size_t offset, size_t length, httplib::DataSink& sink) {
          return sink.write(body.data() + offset, length);
        },
        [ending](bool) {});
    return;
  }
  response.set_header("X-Accel-Buffering", "no");
  response.set_chunked_content_provider(
      reply.content_type,
      [this, stream = std::move(reply.stream)](size_t, httplib::DataSink& sink) {
        SinkWriter writer(sink, stopping);
        ConnectionThreads::ReleaseStack();  // thousands of streams
        stream(writer);
        if (writer.ClientLeft()) return false;
        sink.done();
        return true;
      },
      [ending](bool) {});
}

HttpServer::HttpServer(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpServer::~HttpServer() { Stop(); }

void HttpServer::Route(std::string method, std::string path, Handler handler) {
  impl_->routes.push_back({std::move(method), std::move(path), std::move(handler)});
}

void HttpServer::Otherwise(Handler handler) { impl_->otherwise = std::move(handler); }

Status HttpServer::Start() {
  impl_->SetUp();
  const auto& [host, port] = std::tie(impl_->options.host, impl_->options.port);
  errno = 0;
  const bool bound = port == 0 ? (impl_->port = impl_->server.bind_to_any_port(host)) > 0
                               : impl_->server.bind_to_port(host, port);
  if (!bound)
    return MakeError(
        ErrorCode::kUnavailable,
        fmt::format("cannot listen on {}:{}: {}", host, port,
                    errno != 0 ? std::strerror(errno) : "this machine has no such address"));
  if (port != 0) impl_->port = port;
  impl_->listener = std::thread([impl = impl_.get()] { impl->server.listen_after_bind(); });
  impl_->server.wait_until_ready();
  return {};
}

Status HttpServer::CheckAddress(const std::string& host, int port) {
  HttpServer probe({.host = host, .port = port});
  return probe.Start();
}

int HttpServer::port() const { return impl_->port; }
int HttpServer::in_flight() const { return impl_->in_flight.load(); }
void HttpServer::StopAccepting() { impl_->server.stop(); }

void HttpServer::Stop() {
  impl_->stopping = true;
  impl_->server.stop();
  if (impl_->listener.joinable()) impl_->listener.join();
}

}  // namespace nextgate::gateway
