// An HTTP/1.1 server on one port: routes to handlers, bodies or streams back. cpp-httplib behind
// it, which only http_server.cc includes.
//
// Threads: one per open connection, started as needed and reused, so a handler may block. Handlers
// run concurrently. Invariants: (1) every reply to a failed request is a JSON error object; (2) a
// body over the limit is answered with 413 and its connection closed, so that it cannot be read as
// the next request; (3) after StopAccepting no new connection is accepted and open ones close after
// the reply in progress.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace nextgate::gateway {

struct ServerRequest {
  std::string method;
  std::string path;
  std::string body;
  std::string route;      // the path of the route it took; "" if none did
  std::string parameter;  // what the route's "*" stands for
  std::vector<std::pair<std::string, std::string>> query;  // decoded; a name may come twice
  std::string remote_address;
  std::function<std::string(const std::string& name)>
      header;                         // "" if absent; several lines joined by ", "
  std::function<bool()> client_left;  // the client closed the connection
};

// Where a streamed reply goes. Write returns false once the client has left.
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;
  virtual bool Write(std::string_view bytes) = 0;
  virtual bool ClientLeft() = 0;
};

struct ServerReply {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  // If set, the body is what this writes; it runs after status and headers were sent.
  std::function<void(StreamWriter&)> stream;
  // Runs when the last byte was sent or the client has left.
  std::function<void()> on_sent;
};

class HttpServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    int port = 0;  // 0: a free one
    int64_t body_bytes_max = 32 << 20;
    int connections_max = 8192;
    std::vector<std::string> allowed_origins;  // CORS; empty: off; "*": all
  };
  using Handler = std::function<void(const ServerRequest&, ServerReply&)>;

  explicit HttpServer(Options options);
  ~HttpServer();  // stops

  // `path` is exact, or ends with "/*". HEAD is answered as GET is, without a body. Before Start.
  void Route(std::string method, std::string path, Handler handler);

  // Is given what no route takes and what could not be read (a bad request line, too large a body): the
  // reply has its error already, and path and method may be empty. Before Start.
  void Otherwise(Handler handler);

  // Binds and begins to serve. Error names host and port.
  Status Start();
  int port() const;

  // Whether a server could listen there now, so that a wrong address is told before anything that takes
  // long.
  static Status CheckAddress(const std::string& host, int port);

  void StopAccepting();
  // Requests that are being answered.
  int in_flight() const;
  // Closes every connection and waits for the threads. Handlers must return soon: their clients
  // appear to have left.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nextgate::gateway
