#include "gateway/admin/reload.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "base/log.h"
#include "gateway/admin/config.h"
#include "gateway/flags.h"

namespace nextgate::gateway::admin {
namespace {

// Flags whose value, or whose file's secret, is another. The keys of a file that is named as before are
// reloaded and not among them.
std::vector<std::string> Different(const ServeOptions& a, const ServeOptions& b) {
  std::vector<std::string> names;
  const Json before = EffectiveFlags(a), now = EffectiveFlags(b);
  for (const auto& [name, value] : now.items())
    if (before.at(name) != value) names.push_back(name);
  const auto add = [&](const char* name, bool different) {
    if (different && std::ranges::find(names, name) == names.end()) names.emplace_back(name);
  };
  add("api-key", a.api_keys != b.api_keys);
  add("cache-secret-file", a.cache_secret != b.cache_secret);
  add("cache-password-file", a.cache_password != b.cache_password);
  add("cache-encryption-key-file", a.cache_encryption_keys != b.cache_encryption_keys);
  add("embedding-api-key-file", a.embedding_api_key != b.embedding_api_key);
  add("upstream-api-key-file", a.upstream_api_key != b.upstream_api_key);
  return names;
}

}  // namespace

Result<Reloader::Report> Reloader::Exchange() {
  ASSIGN_OR_RETURN(const ParsedServe now, ParseServeFlags(p_.args));
  const ServeOptions &o = p_.options, &n = now.options;
  Report report{.keys = {}, .needs_restart = Different(o, n)};
  // All are read before any is exchanged.
  std::shared_ptr<const ApiKeys> api_keys;
  std::shared_ptr<const AdminKeys> admin_keys;
  if (!o.api_key_file.empty() && o.api_key_file == n.api_key_file) {
    ASSIGN_OR_RETURN(ApiKeys keys, ApiKeys::Parse(n.api_key_records));
    api_keys = std::make_shared<const ApiKeys>(std::move(keys));
  }
  if (!o.admin_api_key_file.empty() && o.admin_api_key_file == n.admin_api_key_file) {
    ASSIGN_OR_RETURN(AdminKeys keys, AdminKeys::Parse(n.admin_api_keys));
    admin_keys = std::make_shared<const AdminKeys>(std::move(keys));
  }
  if (admin_keys != nullptr) {
    report.keys.emplace_back("admin-api-key-file", admin_keys->keys().size());
    p_.admin_keys.Exchange(std::move(admin_keys));
  }
  if (api_keys != nullptr) {
    report.keys.emplace_back("api-key-file", api_keys->size());
    p_.auth.Exchange(std::move(api_keys));
  }
  return report;
}

Result<Reloader::Report> Reloader::Reload(std::string_view who) {
  const std::lock_guard lock(mutex_);
  auto report = Exchange();
  if (!report) {
    LogError("audit who={} action=reload result=kept error=\"{}\"", who, report.error().message);
    return std::unexpected(Error{ErrorCode::kInvalidArgument,
                                 "nothing was changed: " + report.error().message,
                                 report.error().param});
  }
  size_t keys = 0;
  std::vector<std::string_view> files;
  for (const auto& [flag, count] : report->keys) {
    keys += count;
    files.emplace_back(flag);
  }
  LogInfo("audit who={} action=reload result=ok keys={} files={} needs_restart={}", who, keys,
          fmt::join(files, ","), fmt::join(report->needs_restart, ","));
  return report;
}

}  // namespace nextgate::gateway::admin
