#include "gateway/auth.h"

#include <utility>

#include "base/check.h"
#include "base/sha256.h"
#include "cache/hmac.h"
#include "gateway/key_text.h"

namespace nextgate::gateway {

Auth::Auth(const std::vector<std::string>& keys, std::shared_ptr<const ApiKeys> file,
           const Clock& clock)
    : clock_(clock), file_(std::move(file)) {
  for (const std::string& key : keys) digests_.push_back(Sha256(key));
}

Result<PrincipalPtr> Auth::Identify(std::string_view header) const {
  std::shared_ptr<const ApiKeys> file;
  {
    const std::lock_guard lock(mutex_);
    file = file_;
  }
  if (digests_.empty() && file == nullptr) return Everybody();
  const std::string_view given = BearerKey(header);
  if (given.empty())
    return MakeError(ErrorCode::kUnauthenticated,
                     "no API key: send it as \"Authorization: Bearer KEY\"");
  const std::string digest = Sha256(given);
  bool known = false;
  for (const std::string& one : digests_) known |= cache::EqualDigests(one, digest);
  if (known) return Everybody();
  PrincipalPtr principal = file == nullptr ? nullptr : file->Find(digest);
  if (principal == nullptr) return MakeError(ErrorCode::kUnauthenticated, "incorrect API key");
  if (principal->expires_unix_s && clock_.UnixMs() / 1000 >= *principal->expires_unix_s)
    return MakeError(ErrorCode::kUnauthenticated, "this API key has expired");
  return principal;
}

void Auth::Exchange(std::shared_ptr<const ApiKeys> file) {
  CHECK(file != nullptr);
  const std::lock_guard lock(mutex_);
  file_ = std::move(file);
}

}  // namespace nextgate::gateway
