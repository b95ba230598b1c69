#include "gateway/admin/transfer.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/log.h"
#include "gateway/admin/entries.h"
#include "gateway/admin/entry_json.h"
#include "gateway/json_limits.h"

namespace nextgate::gateway::admin {
namespace {

constexpr size_t kWriteBytes = 64 << 10;
constexpr size_t kErrorsShown = 10;
constexpr size_t kDepthMax = 8;

// Lines, gathered into larger writes.
class LineWriter {
 public:
  explicit LineWriter(StreamWriter& out) : out_(out) {}

  // False once the client has left.
  bool Line(std::string_view line) {
    buffer_ += line;
    buffer_ += '\n';
    return buffer_.size() < kWriteBytes || Flush();
  }
  bool Flush() {
    alive_ = alive_ && out_.Write(buffer_);
    buffer_.clear();
    return alive_;
  }

 private:
  StreamWriter& out_;
  std::string buffer_;
  bool alive_ = true;
};

void WriteExport(const AdminContext& c, bool cluster, StreamWriter& out) {
  LineWriter lines(out);
  lines.Line(R"({"nextgate_export":1})");
  int64_t written = 0, left_out = 0;
  const auto write = [&](const cache::StoredAnswer& entry) {
    const auto line = EntryLine(entry);
    ++(line ? written : left_out);
    return !line || lines.Line(*line);
  };
  Status status;
  if (cluster) {
    status =
        c.catalogue->ForEachEntry([&](const Hash128&, const auto& entry) { return write(*entry); });
  } else {
    bool going_on = true;
    c.exact.store().ForEach(
        [&](const Hash128&, const auto& entry) { going_on = going_on && write(*entry); });
  }
  Json end = {{"entries", written}, {"complete", status.has_value() && left_out == 0}};
  if (left_out > 0) end["not_utf8"] = left_out;
  if (!status) end["error"] = status.error().message;
  lines.Line(Dump({{"nextgate_export_end", std::move(end)}}));
  lines.Flush();
}

class Importer {
 public:
  explicit Importer(const AdminContext& c) : c_(c), now_(c.clock.UnixMs()) {}

  // An error is Redis': what came before it is imported.
  Status Line(std::string_view line) {
    ++number_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) return {};
    if (LookOverJson(line, kDepthMax) != JsonFault::kNone) {
      Reject("not a JSON object");
      return {};
    }
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      Reject("not a JSON object");
      return {};
    }
    if (json.contains("nextgate_export")) {
      if (json["nextgate_export"] != 1) Reject("an export of another version");
      return {};
    }
    if (const auto end = json.find("nextgate_export_end"); end != json.end()) {
      complete_ = end->is_object() && end->contains("complete") && (*end)["complete"] == true;
      return {};
    }
    auto entry = ParseEntryLine(json);
    if (!entry) {
      Reject(entry.error().message);
      return {};
    }
    return Put(std::move(*entry));
  }

  Json Report() const {
    return {{"imported", imported_},
            {"kept_newer", kept_newer_},
            {"expired", expired_},
            {"invalidated", invalidated_},
            {"rejected", rejected_},
            {"errors", errors_},
            {"end_of_export",
             complete_ ? Json(*complete_ ? "complete" : "incomplete") : Json("missing")}};
  }
  int64_t imported() const { return imported_; }
  int64_t rejected() const { return rejected_; }

 private:
  void Reject(std::string_view why) {
    ++rejected_;
    if (errors_.size() < kErrorsShown) errors_.push_back({{"line", number_}, {"message", why}});
  }

  Status Put(cache::StoredAnswer entry) {
    const cache::MaterialParts parts = cache::SplitMaterial(entry.material);
    if (parts.canonical.empty() ||
        !entry.material.starts_with(
            c_.partitioner.Partition(entry.origin.scope, parts.fingerprint) + '\n')) {
      Reject("the material is not of this scope under this server's secret");
      return {};
    }
    if (LookOverJson(parts.canonical, cache::kDepthMax) != JsonFault::kNone) {
      Reject("the material is not of a request");
      return {};
    }
    // No answer lives longer than the invalidations that are remembered for it.
    entry.expires_unix_ms =
        std::min(entry.expires_unix_ms, now_ + 1000 * c_.options.cache_ttl_max_s);
    if (now_ >= entry.expires_unix_ms) {
      ++expired_;
      return {};
    }
    const Hash128 id = HashBytes(entry.material);
    if (c_.exact.Dead(id, entry)) {
      ++invalidated_;
      return {};
    }
    entry.material.shrink_to_fit();
    const auto shared = std::make_shared<const cache::StoredAnswer>(std::move(entry));
    std::optional<Hash128> alias;
    if (c_.options.cache_normalised) alias = c_.exact.Alias(id, shared->material);
    bool put = false;
    if (c_.catalogue != nullptr) {
      ASSIGN_OR_RETURN(put, c_.catalogue->PutIfNewer(id, *shared, now_, alias));
    }
    const auto here = c_.exact.store().Peek(id);
    if (here == nullptr || here->created_unix_ms < shared->created_unix_ms)
      put = c_.exact.store().Put(id, shared) || put;
    else if (!put) {
      ++kept_newer_;
      return {};
    }
    if (put) {
      ++imported_;
      if (c_.semantic != nullptr) c_.semantic->cache().Remember(id, *shared);
    } else {
      Reject("larger than the answer cache takes");
    }
    return {};
  }

  const AdminContext& c_;
  const int64_t now_;
  int64_t number_ = 0, imported_ = 0, kept_newer_ = 0, expired_ = 0, invalidated_ = 0,
          rejected_ = 0;
  std::optional<bool> complete_;
  Json errors_ = Json::array();
};

}  // namespace

Status Export(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {"scope"});
  ASSIGN_OR_RETURN(const bool cluster, WantsCluster(c, query));
  reply.content_type = "application/x-ndjson";
  reply.stream = [&c, cluster](StreamWriter& out) { WriteExport(c, cluster, out); };
  return {};
}

Status Import(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  if (request.http.body.empty())
    return InvalidArgument("the body is empty; expected JSON lines as export writes them");
  Importer importer(c);
  Status status;
  std::string_view rest = request.http.body;
  while (status && !rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    status = importer.Line(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  LogInfo("audit who={} action=import imported={} rejected={} failed={}", request.caller.label,
          importer.imported(), importer.rejected(), !status);
  if (!status)
    return MakeError(status.error().code, fmt::format("after {} imported entries: {}",
                                                      importer.imported(), status.error().message));
  AnswerJson(reply, importer.Report());
  return {};
}

}  // namespace nextgate::gateway::admin
