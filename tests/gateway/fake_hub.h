// A hub to download from, on two ports of 127.0.0.1: the hub itself (API, small files, redirects of
// large ones) and a storage host. It can misbehave in every way a test wants: break off, lie about
// sizes, serve other content, fail for a while. Raw sockets, so that a lie in a header goes out as
// it is.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace nextgate::gateway {

struct RawRequest {
  std::string method, target;
  std::map<std::string, std::string> headers;  // names in lower case
  bool from_storage = false;
};

// Accepts on a free port; every connection gets one answer, the bytes `handler` returns, then is
// closed.
class RawServer {
 public:
  explicit RawServer(std::function<std::string(const RawRequest&)> handler)
      : handler_(std::move(handler)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Accept(); });
  }
  ~RawServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    for (auto& connection : connections_) connection.join();
    ::close(listener_);
  }
  std::string Origin() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  void Accept() {
    while (true) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      connections_.emplace_back([this, connection] { Serve(connection); });
    }
  }
  void Serve(int connection) {
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t size = ::recv(connection, buffer, sizeof buffer, 0);
      if (size <= 0) break;
      text.append(buffer, static_cast<size_t>(size));
    }
    const std::string answer = handler_(Parse(text));
    for (size_t sent = 0; sent < answer.size();) {
      const ssize_t size =
          ::send(connection, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
      if (size <= 0) break;
      sent += static_cast<size_t>(size);
    }
    ::shutdown(connection, SHUT_WR);
    while (::recv(connection, buffer, sizeof buffer, 0) > 0) {
    }
    ::close(connection);
  }
  static RawRequest Parse(const std::string& text) {
    RawRequest request;
    request.method = text.substr(0, text.find(' '));
    const size_t target = request.method.size() + 1;
    request.target = text.substr(target, text.find(' ', target) - target);
    for (size_t at = text.find("\r\n") + 2; at < text.size();) {
      const size_t end = text.find("\r\n", at);
      const size_t colon = text.find(": ", at);
      if (end == at || colon == std::string::npos || colon > end) break;
      std::string name = text.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers[name] = text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return request;
  }

  const std::function<std::string(const RawRequest&)> handler_;
  const int listener_;
  int port_ = 0;
  std::vector<std::thread> connections_;  // touched by thread_ until it ends
  std::thread thread_;
};

inline std::string Digest(const EVP_MD* type, const std::string& bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, type, nullptr);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

class FakeHub {
 public:
  struct File {
    std::string content;
    bool lfs = false;
    // Misbehaviour
    std::string served;  // other bytes than `content`, if not empty
    std::optional<int64_t> listed_size;
    bool listed_bare = false;         // the listing gives neither size nor hash
    std::vector<size_t> break_after;  // the i-th answer with a body ends after so many bytes of it
    int fail_first = 0;               // so many 503 before the first answer
    bool ignore_range = false;
    bool no_length = false;   // end of connection is the end of the body
    std::string wrong_range;  // sent as Content-Range

    std::string Hash() const {
      if (lfs) return Digest(EVP_sha256(), content);
      return Digest(EVP_sha1(), "blob " + std::to_string(content.size()) + '\0' + content);
    }
  };

  std::string id = "org/tiny-model";
  std::string commit = "0123456789abcdef0123456789abcdef01234567";
  std::map<std::string, File> files;
  std::string extra_name;  // listed besides, as the hub would never do
  std::string required_token;
  int api_fail_first = 0;
  int api_status = 200;
  std::string api_error_code;
  bool relative_redirect_first = false;  // resolve → a path on the hub → storage

  FakeHub()
      : storage_([this](const RawRequest& r) { return OnStorage(r); }),
        hub_([this](const RawRequest& r) { return OnHub(r); }) {}

  std::string Endpoint() const { return hub_.Origin(); }
  std::vector<RawRequest> Requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  // How many requests for `name` carried a body answer or a failure.
  int CountFor(const std::string& name, const std::string& method = "GET") {
    int count = 0;
    for (const RawRequest& request : Requests())
      count += request.method == method && request.target.ends_with("/" + name);
    return count;
  }

 private:
  static std::string Head(int status, const std::string& headers) {
    return "HTTP/1.1 " + std::to_string(status) + " X\r\nConnection: close\r\n" + headers + "\r\n";
  }
  static std::string Empty(int status, const std::string& headers = "") {
    return Head(status, headers + "Content-Length: 0\r\n");
  }

  std::string OnHub(const RawRequest& request) {
    std::lock_guard lock(mutex_);
    requests_.push_back(request);
    if (!required_token.empty()) {
      const auto found = request.headers.find("authorization");
      if (found == request.headers.end()) return Empty(401, "X-Error-Code: RepoNotFound\r\n");
      if (found->second != "Bearer " + required_token)
        return Empty(403, "X-Error-Code: GatedRepo\r\n");
    }
    if (request.target.starts_with("/api/models/")) return Api(request);
    const std::string moved = "/moved/" + commit + "/";
    const std::string resolve = "/" + id + "/resolve/" + commit + "/";
    const bool is_moved = request.target.starts_with(moved);
    if (!is_moved && !request.target.starts_with(resolve))
      return Empty(404, "X-Error-Code: EntryNotFound\r\n");
    const std::string name = request.target.substr(is_moved ? moved.size() : resolve.size());
    const auto found = files.find(name);
    if (found == files.end()) return Empty(404, "X-Error-Code: EntryNotFound\r\n");
    const File& file = found->second;
    if (!file.lfs) {
      if (request.method == "HEAD")
        return Head(200, "ETag: \"" + file.Hash() + "\"\r\nContent-Length: " +
                             std::to_string(file.content.size()) + "\r\n");
      return Content(request, name);
    }
    std::string location = storage_.Origin() + "/signed/" + name;
    if (relative_redirect_first && !is_moved) location = moved + name;
    return Empty(302, "Location: " + location + "\r\nX-Linked-Etag: \"" + file.Hash() +
                          "\"\r\nX-Linked-Size: " + std::to_string(file.content.size()) +
                          "\r\nX-Repo-Commit: " + commit + "\r\n");
  }

  std::string OnStorage(RawRequest request) {
    std::lock_guard lock(mutex_);
    request.from_storage = true;
    requests_.push_back(request);
    return Content(request, request.target.substr(request.target.rfind('/') + 1));
  }

  std::string Api(const RawRequest& request) {
    if (api_fail_first > 0) return --api_fail_first, Empty(503);
    if (api_status != 200)
      return Empty(api_status,
                   api_error_code.empty() ? "" : "X-Error-Code: " + api_error_code + "\r\n");
    if (!request.target.starts_with("/api/models/" + id + "/revision/")) return Empty(404);
    nlohmann::json siblings = nlohmann::json::array();
    for (const auto& [name, file] : files) {
      nlohmann::json entry = {{"rfilename", name}};
      const auto size = file.listed_size.value_or(static_cast<int64_t>(file.content.size()));
      if (!file.listed_bare && file.lfs)
        entry["lfs"] = {{"sha256", file.Hash()}, {"size", size}, {"pointerSize", 134}};
      if (!file.listed_bare) entry["size"] = size;
      if (!file.listed_bare) entry["blobId"] = file.lfs ? std::string(40, 'f') : file.Hash();
      siblings.push_back(entry);
    }
    if (!extra_name.empty()) siblings.push_back({{"rfilename", extra_name}});
    const std::string body =
        nlohmann::json{{"id", id}, {"sha", commit}, {"siblings", siblings}}.dump();
    return Head(200, "Content-Length: " + std::to_string(body.size()) + "\r\n") + body;
  }

  std::string Content(const RawRequest& request, const std::string& name) {
    File& file = files.at(name);
    if (file.fail_first > 0) return --file.fail_first, Empty(503);
    const std::string& all = file.served.empty() ? file.content : file.served;
    size_t from = 0;
    const auto range = request.headers.find("range");
    const bool partial = range != request.headers.end() && !file.ignore_range;
    if (partial) from = std::stoul(range->second.substr(std::string("bytes=").size()));
    if (partial && from >= all.size())
      return Empty(416, "Content-Range: bytes */" + std::to_string(all.size()) + "\r\n");
    std::string headers = "ETag: \"x\"\r\n";
    if (!file.no_length) headers += "Content-Length: " + std::to_string(all.size() - from) + "\r\n";
    if (partial)
      headers += "Content-Range: " +
                 (file.wrong_range.empty()
                      ? "bytes " + std::to_string(from) + "-" + std::to_string(all.size() - 1) +
                            "/" + std::to_string(all.size())
                      : file.wrong_range) +
                 "\r\n";
    std::string body = all.substr(from);
    if (!file.break_after.empty()) {
      body = body.substr(0, file.break_after.front());
      file.break_after.erase(file.break_after.begin());
    }
    return Head(partial ? 206 : 200, headers) + body;
  }

  std::mutex mutex_;
  std::vector<RawRequest> requests_;
  RawServer storage_;
  RawServer hub_;
};

}  // namespace nextgate::gateway
