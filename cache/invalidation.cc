#include "cache/invalidation.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "cache/hmac.h"
#include "cache/key.h"

namespace nextgate::cache {
namespace {

using Json = nlohmann::json;

constexpr int kLocalBits = 10;
constexpr int kNumberBits = 10;
constexpr int64_t kNumberMax = (1 << kNumberBits) - 1;
constexpr uint64_t kMillisecondsMax = uint64_t{1} << 42;
constexpr int kVersion = 1;

bool BeginsWith(const Json& value, const std::string& prefix) {
  return value.is_string() && value.get_ref<const std::string&>().starts_with(prefix);
}

// A message's content, or a prompt: a text, or a list with texts in it.
bool TextBeginsWith(const Json& content, const std::string& prefix) {
  if (!content.is_array()) return BeginsWith(content, prefix);
  if (!content.empty() && content[0].is_object()) {  // parts of one text
    std::string text;
    for (const Json& part : content)
      if (part.is_object() && part.contains("text") && part["text"].is_string())
        text += part["text"].get_ref<const std::string&>();
    return text.starts_with(prefix);
  }
  return std::ranges::any_of(content, [&](const Json& one) { return BeginsWith(one, prefix); });
}

bool RequestBeginsWith(std::string_view material, const std::string& prefix) {
  const Json request = Json::parse(SplitMaterial(material).canonical, nullptr, false);
  if (!request.is_object()) return false;
  if (const auto prompt = request.find("prompt"); prompt != request.end())
    return TextBeginsWith(*prompt, prefix);
  const auto messages = request.find("messages");
  if (messages == request.end() || !messages->is_array()) return false;
  for (auto message = messages->rbegin(); message != messages->rend(); ++message) {
    if (!message->is_object() || message->value("role", Json()) != "user") continue;
    const auto content = message->find("content");
    return content != message->end() && TextBeginsWith(*content, prefix);
  }
  return false;
}

std::string PrefixPlace(std::string_view record_id) {
  return "invalidation prefix " + std::string(record_id);
}

// Entries keep the beginning of long labels only.
bool SameLabel(const std::optional<std::string>& wanted, const std::string& label) {
  return !wanted || wanted->compare(0, kLabelBytesMax, label, 0, kLabelBytesMax) == 0;
}

}  // namespace

int64_t PositionOf(std::string_view stream_id) {
  uint64_t milliseconds = 0, number = 0;
  const char* const end = stream_id.data() + stream_id.size();
  const auto [dash, error] = std::from_chars(stream_id.data(), end, milliseconds);
  if (error != std::errc() || milliseconds > kMillisecondsMax) return 0;
  if (dash != end) std::from_chars(dash + 1, end, number);
  const auto within = static_cast<int64_t>(std::min<uint64_t>(number, kNumberMax));
  return (static_cast<int64_t>(milliseconds) << (kNumberBits + kLocalBits)) |
         (within << kLocalBits);
}

int64_t PositionMs(int64_t position) { return position >> (kNumberBits + kLocalBits); }

int64_t SharedPosition(int64_t position) { return position & ~((int64_t{1} << kLocalBits) - 1); }

bool InvalidationPredicate::Matches(const InvalidationSubject& subject) const {
  const EntryOrigin& origin = subject.origin;
  if (id && *id != subject.id) return false;
  if (!SameLabel(tenant, origin.scope.tenant) || !SameLabel(team, origin.scope.team) ||
      !SameLabel(user, origin.scope.user) || !SameLabel(name_space, origin.scope.name_space) ||
      !SameLabel(model, origin.model) || !SameLabel(route, origin.route))
    return false;
  if (created_before_unix_ms &&
      (!subject.created_unix_ms || *subject.created_unix_ms >= *created_before_unix_ms))
    return false;
  return !prompt_prefix || RequestBeginsWith(subject.material, *prompt_prefix);
}

std::string InvalidationRecord::Pack(const Keyring& keys) const {
  Json json = {{"v", kVersion}, {"id", id}, {"instant", instant_unix_ms}};
  const auto put = [&](const char* name, const auto& part) {
    if (part) json[name] = *part;
  };
  put("tenant", predicate.tenant);
  put("team", predicate.team);
  put("user", predicate.user);
  put("namespace", predicate.name_space);
  put("model", predicate.model);
  put("route", predicate.route);
  if (keys.encrypts() && predicate.prompt_prefix) {
    json["sealed_prefix"] = Hex(keys.Seal(PrefixPlace(id), *predicate.prompt_prefix));
  } else {
    put("prompt_prefix", predicate.prompt_prefix);
  }
  put("created_before", predicate.created_before_unix_ms);
  if (predicate.id) json["entry"] = predicate.id->Hex();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

InvalidationRecord InvalidationRecord::Unpack(std::string_view bytes, const Keyring& keys) {
  const Json json = Json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  InvalidationRecord record;
  bool readable = json.is_object() && json.contains("v") && json["v"] == kVersion;
  const auto text = [&](const char* name, std::optional<std::string>& part) {
    if (!json.contains(name)) return;
    readable = readable && json[name].is_string();
    if (readable) part = json[name].get<std::string>();
  };
  const auto number = [&](const char* name, std::optional<int64_t>& part) {
    if (!json.contains(name)) return;
    readable = readable && json[name].is_number_integer();
    if (readable) part = json[name].get<int64_t>();
  };
  if (readable) {
    InvalidationPredicate& p = record.predicate;
    std::optional<std::string> id, entry, sealed;
    std::optional<int64_t> instant;
    text("tenant", p.tenant);
    text("team", p.team);
    text("user", p.user);
    text("namespace", p.name_space);
    text("model", p.model);
    text("route", p.route);
    text("prompt_prefix", p.prompt_prefix);
    text("sealed_prefix", sealed);
    text("entry", entry);
    text("id", id);
    number("created_before", p.created_before_unix_ms);
    number("instant", instant);
    if (entry) p.id = ParseHash128(*entry);
    readable = readable && id && instant && (!entry || p.id);
    record.id = id.value_or("");
    if (sealed) {
      auto prefix = keys.Open(PrefixPlace(record.id), FromHex(*sealed).value_or(""));
      if (prefix) p.prompt_prefix = std::move(*prefix);
    }
    record.instant_unix_ms = instant.value_or(0);
  }
  if (readable) return record;
  return {.id = HashBytes(bytes).Hex().substr(0, 24), .predicate = {}};
}

std::string CanonicalPrefix(const std::string& prefix) {
  const auto canonical = Canonicalise(Json{{"prompt", prefix}});
  if (!canonical) return prefix;
  return Json::parse(*canonical).value("prompt", prefix);
}

int64_t Invalidations::Floor(const InvalidationSubject& subject) const {
  if (position() == 0) return 0;  // there never was a record
  int64_t floor = 0;
  const std::lock_guard lock(mutex_);
  for (const InvalidationRecord& record : records_)
    if (record.position > floor && record.predicate.Matches(subject)) floor = record.position;
  return floor;
}

bool Invalidations::Kills(const Hash128& id, const StoredAnswer& entry) const {
  const int64_t revision = revision_.load(std::memory_order_acquire);
  if (entry.alive.revision() == revision) return false;
  const int64_t floor = Floor({.id = id,
                               .origin = entry.origin,
                               .material = entry.material,
                               .created_unix_ms = entry.created_unix_ms});
  if (entry.origin.position < floor) return true;
  entry.alive.Set(revision);
  return false;
}

// Keeps one record of each predicate, the last: it kills whatever the others do.
void Invalidations::Put(InvalidationRecord record) {
  const int64_t position = record.position;
  const auto covered = [&](const InvalidationRecord& known) {
    return known.position <= position &&
           (known.id == record.id || known.predicate == record.predicate);
  };
  std::erase_if(records_, covered);
  records_.push_back(std::move(record));
  // In this order: who sees the new revision must not see that there never was a record.
  if (position > position_.load(std::memory_order_relaxed))
    position_.store(position, std::memory_order_release);
  revision_.fetch_add(1, std::memory_order_release);
}

InvalidationRecord Invalidations::Issue(InvalidationPredicate predicate, int64_t now_unix_ms) {
  InvalidationRecord record{.id = Hex(RandomBytes(12)),
                            .predicate = std::move(predicate),
                            .instant_unix_ms = now_unix_ms};
  const std::lock_guard lock(mutex_);
  record.position = position_.load(std::memory_order_relaxed) + 1;
  Put(record);
  return record;
}

void Invalidations::Add(InvalidationRecord record) {
  record.shared = true;
  const std::lock_guard lock(mutex_);
  for (const InvalidationRecord& known : records_)
    if (known.id == record.id && known.shared && known.position >= record.position) return;
  Put(std::move(record));
}

void Invalidations::Forget(int64_t position_ms) {
  const std::lock_guard lock(mutex_);
  std::erase_if(records_, [&](const InvalidationRecord& record) {
    return record.instant_unix_ms < position_ms && PositionMs(record.position) < position_ms;
  });
}

std::vector<InvalidationRecord> Invalidations::List() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

int64_t Invalidations::Sweep(AnswerStore& store) {
  int64_t erased = 0;
  store.ForEach([&](const Hash128& id, const auto& entry) {
    if (Kills(id, *entry) && store.Erase(id)) ++erased;
  });
  erased_.fetch_add(erased, std::memory_order_relaxed);
  return erased;
}

InvalidationStats Invalidations::stats() const {
  const std::lock_guard lock(mutex_);
  return {.records = static_cast<int64_t>(records_.size()),
          .refused = refused_.load(std::memory_order_relaxed),
          .erased = erased_.load(std::memory_order_relaxed)};
}

}  // namespace nextgate::cache
