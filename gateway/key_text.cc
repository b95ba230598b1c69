#include "gateway/key_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "cache/hmac.h"

namespace nextgate::gateway {

std::optional<std::string> DigestFromHex(std::string_view hex) {
  constexpr size_t kDigestBytes = 32;
  if (hex.size() != 2 * kDigestBytes) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    int value = 0;
    for (const char c : hex.substr(i, 2)) {
      const bool digit = c >= '0' && c <= '9';
      if (!digit && (c < 'a' || c > 'f')) return std::nullopt;
      value = 16 * value + (digit ? c - '0' : c - 'a' + 10);
    }
    bytes += static_cast<char>(value);
  }
  return bytes;
}

std::string RandomKey(std::string_view prefix) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string key(prefix);
  for (const char c : cache::RandomBytes(43))
    key += kLetters[static_cast<unsigned char>(c) % kLetters.size()];
  return key;
}

bool IsPlainLabel(std::string_view label) {
  return label.size() <= 64 && std::ranges::all_of(label, [](char c) {
           return c > ' ' && c < 0x7f && c != '"' && c != '=';
         });
}

std::string_view TrimSpace(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const size_t from = text.find_first_not_of(kSpace);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kSpace) - from + 1);
}

Status ForEachKeyLine(std::string_view text,
                      const std::function<Status(std::string_view line, size_t number)>& read) {
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = TrimSpace(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.starts_with('#')) continue;
    if (const Status status = read(line, number); !status)
      return MakeError(status.error().code,
                       fmt::format("line {}: {}", number, status.error().message));
  }
  return {};
}

std::string_view BearerKey(std::string_view header) {
  constexpr std::string_view kScheme = "bearer ";
  const bool bearer =
      std::ranges::equal(header.substr(0, kScheme.size()), kScheme,
                         [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
  return bearer ? header.substr(kScheme.size()) : "";
}

}  // namespace nextgate::gateway
