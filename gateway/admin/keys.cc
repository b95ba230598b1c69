#include "gateway/admin/keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/sha256.h"
#include "cache/hmac.h"
#include "gateway/key_text.h"

namespace nextgate::gateway::admin {
namespace {

constexpr std::string_view kSpace = " \t\r";

Result<AdminKeys::Key> ParseLine(std::string_view line, size_t number) {
  const size_t space = line.find_first_of(kSpace);
  const std::string_view secret = line.substr(0, space);
  std::string_view label = space == std::string_view::npos ? "" : TrimSpace(line.substr(space));
  const size_t colon = secret.find(':');
  const auto role = ParseRole(secret.substr(0, colon));
  if (!role || colon == std::string_view::npos)
    return InvalidArgument("expected read:KEY or write:KEY, with a label behind it if you like");
  if (!IsPlainLabel(label)) return InvalidArgument(std::string(kPlainLabel));
  AdminKeys::Key key;
  std::string_view rest = secret.substr(colon + 1);
  constexpr std::string_view kHashed = "sha256:";
  if (rest.starts_with(kHashed)) {
    auto digest = DigestFromHex(rest.substr(kHashed.size()));
    if (!digest) return InvalidArgument("sha256: needs 64 lower-case hex digits");
    key.digest = std::move(*digest);
  } else {
    if (rest.size() < AdminKeys::kKeyBytesMin)
      return InvalidArgument(
          fmt::format("a key has at least {} characters; make one with: nextgate admin keys new",
                      AdminKeys::kKeyBytesMin));
    key.digest = Sha256(rest);
  }
  key.caller = {.label = label.empty() ? fmt::format("line-{}", number) : std::string(label),
                .role = *role};
  return key;
}

bool IsLoopback(std::string_view address) {
  return address.starts_with("127.") || address == "::1" || address.starts_with("::ffff:127.");
}

// The host of a Host header, without its port.
std::string_view HostOf(std::string_view header) {
  if (header.starts_with('[')) return header.substr(0, header.find(']') + 1);
  return header.substr(0, header.find(':'));
}

// A name that can only mean this machine. An address is never a name somebody else's DNS answers for.
bool IsOurs(std::string_view host) {
  const bool address =
      host.starts_with('[') || (!host.empty() && std::ranges::all_of(host, [](char c) {
        return (c >= '0' && c <= '9') || c == '.';
      }));
  return address || host == "localhost";
}

Status CheckKeyless(const ServerRequest& http) {
  const auto denied = [](std::string message) {
    return MakeError(ErrorCode::kPermissionDenied, std::move(message));
  };
  if (!IsLoopback(http.remote_address))
    return denied(
        "the admin API is open on the loopback only: start with --admin-api-key-file to use it "
        "from elsewhere");
  const std::string host = http.header("Host");
  if (!host.empty() && !IsOurs(HostOf(host)))
    return denied(
        "without --admin-api-key-file the admin API answers to localhost and addresses only, not "
        "to other host names");
  const std::string origin = http.header("Origin");
  if (!origin.empty() && origin != "http://" + host)
    return denied(
        "without --admin-api-key-file the admin API does not answer web pages of other origins");
  return {};
}

}  // namespace

std::string_view RoleName(Role role) { return role == Role::kRead ? "read" : "write"; }

Result<Role> ParseRole(std::string_view text) {
  if (text == "read") return Role::kRead;
  if (text == "write") return Role::kWrite;
  return InvalidArgument(fmt::format("expected the role read or write, got '{}'", text));
}

Result<AdminKeys> AdminKeys::Parse(std::string_view text) {
  std::vector<Key> keys;
  RETURN_IF_ERROR(ForEachKeyLine(text, [&](std::string_view line, size_t number) -> Status {
    ASSIGN_OR_RETURN(Key key, ParseLine(line, number));
    if (std::ranges::find(keys, key.digest, &Key::digest) != keys.end())
      return InvalidArgument("this key was given before");
    keys.push_back(std::move(key));
    return {};
  }));
  if (keys.empty()) return InvalidArgument("no key in it; make one with: nextgate admin keys new");
  return AdminKeys(std::move(keys));
}

Result<AdminCaller> AdminKeys::Identify(const ServerRequest& http) const {
  if (keys_.empty()) {
    RETURN_IF_ERROR(CheckKeyless(http));
    return AdminCaller{.label = "loopback", .role = Role::kWrite};
  }
  constexpr std::string_view kScheme = "Bearer ";
  const std::string header = http.header("Authorization");
  const std::string_view given =
      header.starts_with(kScheme) ? std::string_view(header).substr(kScheme.size()) : "";
  if (given.empty())
    return MakeError(ErrorCode::kUnauthenticated,
                     "no admin key: send it as \"Authorization: Bearer KEY\"");
  // Digests are compared, all of them: the time says nothing about any key.
  const std::string digest = Sha256(given);
  const Key* known = nullptr;
  for (const Key& key : keys_)
    if (cache::EqualDigests(key.digest, digest)) known = &key;
  if (known == nullptr) return MakeError(ErrorCode::kUnauthenticated, "unknown admin key");
  return known->caller;
}

Status AdminKeys::Require(const AdminCaller& caller, Role role) {
  if (role == Role::kRead || caller.role == Role::kWrite) return {};
  return MakeError(ErrorCode::kPermissionDenied,
                   fmt::format("this needs a key of role write; '{}' has role read", caller.label));
}

NewKey MakeKey(Role role, std::string_view label) {
  NewKey made{.key = RandomKey("nga_"), .line = {}};
  made.line = fmt::format("{}:sha256:{}{}{}", RoleName(role), cache::Hex(Sha256(made.key)),
                          label.empty() ? "" : " ", label);
  return made;
}

}  // namespace nextgate::gateway::admin
