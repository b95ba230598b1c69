#include "gateway/http_client.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <limits>

#include "base/ascii.h"

namespace nextgate::gateway {
namespace {

int DefaultPort(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

// "host", "host:port", "[v6]", "[v6]:port" into `url`. False if it is none of these.
bool ParseAuthority(std::string_view authority, Url& url) {
  const size_t host_end = authority.starts_with('[') ? authority.find(']') + 1 : 0;
  const size_t colon = authority.find(':', host_end);
  url.host = AsciiLower(authority.substr(0, colon));
  url.port = DefaultPort(url.scheme);
  if (url.host.empty()) return false;
  if (colon == std::string_view::npos) return true;
  const std::string_view digits = authority.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
  return error == std::errc() && end == digits.data() + digits.size() && url.port >= 1 &&
         url.port <= 65535;
}

std::unexpected<Error> TransportError(const Url& url, httplib::Error error) {
  if (error == httplib::Error::SSLServerVerification ||
      error == httplib::Error::SSLServerHostnameVerification ||
      error == httplib::Error::SSLLoadingCerts)
    return MakeError(ErrorCode::kPermissionDenied,
                     fmt::format("{}: the server's certificate is not trusted; is the package "
                                 "ca-certificates installed, or should SSL_CERT_FILE be set?",
                                 url.Origin()));
  return MakeError(ErrorCode::kUnavailable,
                   fmt::format("{}: {}", url.Origin(), httplib::to_string(error)));
}

HttpResponse Head(const httplib::Response& response) {
  HttpResponse head{.status = response.status, .headers = {}};
  for (const auto& [name, value] : response.headers) head.headers.emplace_back(name, value);
  return head;
}

// "%40" → "@"; what is no escape stays.
std::string PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// The message shows nothing of the value: it may hold a password.
Status SetProxy(std::string proxy, httplib::Client& client) {
  if (proxy.empty()) return {};
  const auto bad = [](std::string_view why) {
    return InvalidArgument(fmt::format(
        "the proxy of http_proxy, https_proxy or all_proxy cannot be used: {}; expected "
        "http://host:port or http://user:password@host:port",
        why));
  };
  if (proxy.find("://") == std::string::npos) proxy.insert(0, "http://");
  const size_t begin = proxy.find("://") + 3;
  const size_t at = std::string_view(proxy).substr(0, proxy.find_first_of("/?#", begin)).rfind('@');
  std::string user;
  if (at != std::string::npos && at >= begin) {
    user = proxy.substr(begin, at - begin);
    proxy.erase(begin, at + 1 - begin);
  }
  const auto url = ParseUrl(proxy);
  if (!url || url->scheme != "http") return bad(url ? "its scheme is not http" : "it is malformed");
  client.set_proxy(url->host, url->port);
  if (user.empty()) return {};
  const size_t colon = std::min(user.find(':'), user.size());
  client.set_proxy_basic_auth(
      PercentDecode(std::string_view(user).substr(0, colon)),
      PercentDecode(std::string_view(user).substr(std::min(colon + 1, user.size()))));
  return {};
}

Result<HttpResponse> Send(const HttpRequest& request) {
  httplib::Client client(request.url.Origin());
  if (!client.is_valid())
    return InvalidArgument(fmt::format("{}: cannot connect to such a URL", request.url.Origin()));
  client.set_follow_location(false);
  client.set_path_encode(false);
  client.set_decompress(false);
  client.set_keep_alive(false);
  client.set_payload_max_length(std::numeric_limits<size_t>::max());
  client.set_connection_timeout(std::chrono::milliseconds(request.connect_timeout_ms));
  client.set_read_timeout(std::chrono::milliseconds(request.read_timeout_ms));
  RETURN_IF_ERROR(SetProxy(request.proxy, client));

  httplib::Headers headers = {{"User-Agent", "nextgate"}, {"Accept-Encoding", "identity"}};
  for (const auto& [name, value] : request.headers) headers.emplace(name, value);

  if (request.method == "HEAD") {
    const httplib::Result result = client.Head(request.url.target, headers);
    if (!result) return TransportError(request.url, result.error());
    HttpResponse head = Head(*result);
    if (request.on_head) request.on_head(head);
    return head;
  }

  HttpResponse head;
  bool stopped = false;
  httplib::Request out;
  out.method = request.method;
  out.path = request.url.target;
  out.headers = std::move(headers);
  out.body = request.body;
  out.response_handler = [&](const httplib::Response& response) {
    head = Head(response);
    stopped = request.on_head && !request.on_head(head);
    return !stopped;
  };
  out.content_receiver = [&](const char* data, size_t size, size_t, size_t) {
    stopped = request.on_body && !request.on_body(std::string_view(data, size));
    return !stopped;
  };
  const httplib::Result result = client.send(out);
  if (!result && !stopped) return TransportError(request.url, result.error());
  return head;
}

}  // namespace

std::string Url::Origin() const { return fmt::format("{}://{}:{}", scheme, host, port); }

Result<Url> ParseUrl(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return InvalidArgument(fmt::format("not a usable URL ({}): '{}'", why, text.substr(0, 200)));
  };
  const bool clean = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
  if (!clean) return bad("it has spaces, control or non-ASCII characters");
  const size_t scheme_end = text.find("://");
  Url url;
  url.scheme = AsciiLower(text.substr(0, scheme_end == std::string_view::npos ? 0 : scheme_end));
  if (url.scheme != "http" && url.scheme != "https") return bad("expected http:// or https://");
  std::string_view rest = text.substr(scheme_end + 3);
  rest = rest.substr(0, rest.find('#'));
  const size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, authority_end);
  if (authority.find('@') != std::string_view::npos) {
    // Not shown: what stands before the @ is a secret.
    return InvalidArgument("URLs with a user name or password are not supported");
  }
  if (!ParseAuthority(authority, url)) return bad("host or port is malformed");
  url.target = rest.substr(authority_end);
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  return url;
}

Result<Url> ResolveLocation(const Url& base, std::string_view location) {
  if (location.starts_with("//")) return ParseUrl(base.scheme + ":" + std::string(location));
  const size_t scheme_end = location.find("://");
  if (scheme_end != std::string_view::npos && scheme_end < location.find_first_of("/?#"))
    return ParseUrl(location);
  if (location.starts_with('/')) return ParseUrl(base.Origin() + std::string(location));
  const std::string path = base.target.substr(0, base.target.find('?'));
  return ParseUrl(base.Origin() + path.substr(0, path.rfind('/') + 1) + std::string(location));
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string_view FindHeader(const HttpHeaders& headers, std::string_view name) {
  const std::string wanted = AsciiLower(name);
  for (const auto& [header, value] : headers)
    if (AsciiLower(header) == wanted) return value;
  return {};
}

Result<HttpResponse> SendHttp(const HttpRequest& request) {
  try {
    return Send(request);
  } catch (const std::exception& error) {
    return MakeError(ErrorCode::kUnavailable,
                     fmt::format("{}: {}", request.url.Origin(), error.what()));
  }
}

}  // namespace nextgate::gateway
