#include "cache/redis/cluster_stats.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "cache/hmac.h"
#include "cache/redis/catalogue.h"

namespace nextgate::cache {
namespace {

using Json = nlohmann::json;

constexpr size_t kEntryHitsMax = 65'536;
constexpr int64_t kForgetInstanceMs = 3'600'000;
constexpr size_t kFieldsAtOnce = 2000;

constexpr size_t kBatchesMax = 300;  // kept, in case Redis forgets them

// Redis keeps an instance's number for 25 hours after it was last heard of. One that was there within the
// last 24 and is not any more did not end: it was lost, and with it what it counted.
constexpr int64_t kNumberKeptMs = 90'000'000;
constexpr int64_t kNumberSureMs = 86'400'000;

// KEYS: this instance's sequence key, the generation, then what is added to. ARGV: the generation as
// known ('': any), the batch's number, '1' if batches before it may be missing, then for each key its end
// (unix ms, 0: never), the number of its fields, and field and increment for each; the field "" means
// that the key is a counter itself. Answers what it did, the generation, and the last number seen.
constexpr const char* kAddScript = R"(
local generation = redis.call('GET', KEYS[2]) or ''
if ARGV[1] ~= '' and ARGV[1] ~= generation then return {'other', generation, 0} end
local last, number = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[2])
if last >= number then return {'seen', generation, last} end
if last < number - 1 and ARGV[3] == '' then return {'gap', generation, last} end
redis.call('SET', KEYS[1], ARGV[2], 'EX', 90000)
local at = 4
for k = 3, #KEYS do
  local expires, fields = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, fields do
    if ARGV[at] == '' then
      redis.call('INCRBY', KEYS[k], ARGV[at + 1])
    else
      redis.call('HINCRBY', KEYS[k], ARGV[at], ARGV[at + 1])
    end
    at = at + 2
  end
  if expires ~= '0' then redis.call('PEXPIREAT', KEYS[k], expires) end
end
return {'added', generation, number}
)";

std::string FieldOf(const StatsDelta& delta) {
  const Json field = {delta.labels.model, delta.labels.route, delta.labels.name_space,
                      CounterName(delta.counter)};
  return field.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<int64_t> Number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct ParsedField {
  SeriesLabels labels;
  size_t counter;
};
struct FieldSum {
  std::optional<ParsedField> where;
  int64_t value = 0;
};

// Nothing for one that this version does not know.
std::optional<ParsedField> ParseField(const std::string& field) {
  const Json parts = Json::parse(field, nullptr, /*allow_exceptions=*/false);
  if (!parts.is_array() || parts.size() != 4) return std::nullopt;
  for (const Json& part : parts)
    if (!part.is_string()) return std::nullopt;
  const auto counter = FindCounter(parts[3].get_ref<const std::string&>());
  if (!counter) return std::nullopt;
  return ParsedField{.labels = {.model = parts[0], .route = parts[1], .name_space = parts[2]},
                     .counter = *counter};
}

std::optional<InstanceFigures> ParseInstance(const std::string& id, const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto number = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
  };
  const auto name = json.find("name");
  return InstanceFigures{
      .id = id,
      .name = name != json.end() && name->is_string() ? name->get<std::string>() : "",
      .entries = number("entries"),
      .bytes = number("bytes"),
      .evictions = number("evictions"),
      .live_requests = number("live_requests"),
      .seen_unix_ms = number("seen_unix_ms")};
}

}  // namespace

ClusterStats::ClusterStats(std::string name_space, RedisClient& client, const Clock& clock)
    : name_space_(std::move(name_space)),
      instance_id_(Hex(RandomBytes(8))),
      client_(client),
      clock_(clock) {}

std::string ClusterStats::BucketKey(size_t size_idx, int64_t number) const {
  return fmt::format("{{{}}}:stats:{}:{}", name_space_, kBucketSizes[size_idx].seconds, number);
}

void ClusterStats::Add(std::span<const StatsDelta> deltas, int64_t unix_ms) {
  if (deltas.empty()) return;
  std::vector<Increments*> targets = {&waiting_[fmt::format("{{{}}}:stats:total", name_space_)]};
  for (size_t i = 0; i < kBucketSizes.size(); ++i) {
    const auto [seconds, kept] = kBucketSizes[i];
    const int64_t number = unix_ms / 1000 / seconds;
    Increments& bucket = waiting_[BucketKey(i, number)];
    bucket.expires_unix_ms = (number + kept + 2) * seconds * 1000;
    targets.push_back(&bucket);
  }
  for (const StatsDelta& delta : deltas) {
    const std::string field = FieldOf(delta);
    for (Increments* target : targets) target->added[field] += delta.value;
  }
}

void ClusterStats::CountEntryHit(const Hash128& id, int64_t created_unix_ms,
                                 int64_t expires_unix_ms) {
  const std::lock_guard lock(hits_mutex_);
  const std::pair key{id, created_unix_ms};
  if (entry_hits_.size() >= kEntryHitsMax && !entry_hits_.contains(key)) return;
  EntryHits& hits = entry_hits_[key];
  ++hits.hits;
  hits.expires_unix_ms = expires_unix_ms;
}

void ClusterStats::TakeEntryHits() {
  if (waiting_.size() >= kEntryHitsMax)
    return;  // Redis is away for long: they wait, and are bounded
  decltype(entry_hits_) taken;
  {
    const std::lock_guard lock(hits_mutex_);
    taken.swap(entry_hits_);
  }
  for (const auto& [key, hits] : taken) {
    Increments& counter = waiting_[HitsKey(name_space_, key.first, key.second)];
    counter.expires_unix_ms = hits.expires_unix_ms;
    counter.added[""] += hits.hits;
  }
}

// What would end at once need not be added: it bounds what waits while Redis is away.
void ClusterStats::DropExpired() {
  const auto expired = [now = clock_.UnixMs()](const auto& item) {
    return item.second.expires_unix_ms != 0 && item.second.expires_unix_ms <= now;
  };
  std::erase_if(waiting_, expired);
  std::erase_if(added_, expired);
}

std::string ClusterStats::SequenceKey() const {
  return fmt::format("{{{}}}:stats:seq:{}", name_space_, instance_id_);
}

RedisCommand ClusterStats::AddCommand(const NumberedBatch& batch) const {
  RedisCommand command = {"EVAL", kAddScript, std::to_string(2 + batch.batch.size()), SequenceKey(),
                          fmt::format("{{{}}}:generation", name_space_)};
  for (const auto& [key, increments] : batch.batch) command.push_back(key);
  command.push_back(generation_);
  command.push_back(std::to_string(batch.number));
  command.emplace_back(gap_known_ ? "1" : "");
  for (const auto& [key, increments] : batch.batch) {
    command.push_back(std::to_string(increments.expires_unix_ms));
    command.push_back(std::to_string(increments.added.size()));
    for (const auto& [field, value] : increments.added) {
      command.push_back(field);
      command.push_back(std::to_string(value));
    }
  }
  return command;
}

// Makes one of what waits, unless there is one that Redis has not acknowledged. False: nothing to send.
bool ClusterStats::NextBatch() {
  if (acknowledged_ < sequence_) return true;
  if (waiting_.empty()) return false;
  NumberedBatch next{.number = ++sequence_, .batch = {}};
  for (size_t fields = 0; !waiting_.empty() && fields < kFieldsAtOnce;) {
    auto node = waiting_.extract(waiting_.begin());
    fields += node.mapped().added.size();
    next.batch.insert(std::move(node));
  }
  for (const auto& [key, increments] : next.batch)
    if (!increments.added.contains("")) Merge({{key, increments}}, added_);
  batches_.push_back(std::move(next));
  if (batches_.size() > kBatchesMax) batches_.pop_front();
  return true;
}

void ClusterStats::Merge(const Batch& from, Batch& into) {
  for (const auto& [key, increments] : from) {
    Increments& target = into[key];
    target.expires_unix_ms = increments.expires_unix_ms;
    for (const auto& [field, value] : increments.added) target.added[field] += value;
  }
}

// What Redis did with the batch behind `acknowledged_`.
Status ClusterStats::Apply(const RedisReply& reply) {
  if (reply.elements.size() != 3)
    return DataLoss("Redis answered the statistics' script in another shape");
  const std::string& what = reply.elements[0].text;
  if (what == "other") {
    StartAgain();
  } else if (what == "gap") {
    GoBack(reply.elements[2].integer);
  } else {
    ++acknowledged_;
    gap_known_ = false;
    number_seen_unix_ms_ = clock_.UnixMs();
  }
  generation_ = reply.elements[1].text;
  return {};
}

// What follows `last` is sent again, as far as it is kept.
void ClusterStats::GoBack(int64_t last) {
  if (last == 0 && batches_.front().number > first_) return StartAgain();
  acknowledged_ = std::max(last, batches_.front().number - 1);
  gap_known_ = acknowledged_ > last;
}

// Redis knows nothing of us any more.
void ClusterStats::StartAgain() {
  Merge(std::exchange(added_, {}), waiting_);
  batches_.clear();
  acknowledged_ = sequence_;
  first_ = sequence_ + 1;
  gap_known_ = true;
}

Status ClusterStats::Flush(const InstanceFigures& own, Deadline deadline) {
  TakeEntryHits();
  DropExpired();
  const Json instance = {{"name", own.name},
                         {"entries", own.entries},
                         {"bytes", own.bytes},
                         {"evictions", own.evictions},
                         {"live_requests", own.live_requests},
                         {"seen_unix_ms", clock_.UnixMs()}};
  const RedisCommand commands[] = {
      {"HSET", fmt::format("{{{}}}:stats:instances", name_space_), instance_id_,
       instance.dump(-1, ' ', false, Json::error_handler_t::replace)},
      {"PEXPIRE", SequenceKey(), std::to_string(kNumberKeptMs)},  // as long as we live
      {"GET", fmt::format("{{{}}}:generation", name_space_)},
      {"GET", SequenceKey()}};
  ASSIGN_OR_RETURN(const auto known, client_.Run(commands, deadline));
  for (size_t i = 0; i < known.size(); ++i) RETURN_IF_ERROR(known[i].ToStatus(commands[i].front()));
  // Who has nothing new to say looks too whether what he said is still there.
  const int64_t last = Number(known[3].text).value_or(0);
  const int64_t now = clock_.UnixMs();
  if (last > 0) number_seen_unix_ms_ = now;
  if (!generation_.empty() && known[2].text != generation_) {
    StartAgain();
    generation_ = known[2].text;
  } else if (last == 0 && now - number_seen_unix_ms_ > kNumberSureMs) {
    gap_known_ = true;  // we were away for so long that only the number ended
  } else if (last < acknowledged_ && !batches_.empty()) {
    GoBack(last);
  }
  while (NextBatch()) {
    const RedisCommand add[] = {
        AddCommand(batches_[static_cast<size_t>(acknowledged_ + 1 - batches_.front().number)])};
    ASSIGN_OR_RETURN(const auto replies, client_.Run(add, deadline));
    RETURN_IF_ERROR(replies[0].ToStatus("EVAL"));
    RETURN_IF_ERROR(Apply(replies[0]));
  }
  return {};
}

void ClusterStats::Leave(Deadline deadline) {
  const RedisCommand leave[] = {
      {"HDEL", fmt::format("{{{}}}:stats:instances", name_space_), instance_id_}};
  (void)client_.Run(leave, deadline);  // else it is forgotten after kInstanceGoneMs
}

Result<StatsBySeries> ClusterStats::Read(StatsWindow window, Deadline deadline,
                                         StatsSteps* steps) const {
  std::vector<RedisCommand> commands;
  std::vector<StatsSnapshot*> step_of_command;  // null: nobody asked
  if (window == StatsWindow::kTotal) {
    commands.push_back({"HGETALL", fmt::format("{{{}}}:stats:total", name_space_)});
    step_of_command.push_back(nullptr);
  } else {
    const int64_t now = clock_.UnixMs();
    const BucketRange range = BucketsOf(window, now);
    if (steps != nullptr) *steps = EmptySteps(window, now);
    for (int64_t number = range.first; number <= range.last; ++number) {
      commands.push_back({"HGETALL", BucketKey(range.size_idx, number)});
      step_of_command.push_back(
          steps == nullptr ? nullptr
                           : &StepOf(*steps, number * kBucketSizes[range.size_idx].seconds));
    }
  }
  ASSIGN_OR_RETURN(const auto replies, client_.Run(commands, deadline));
  std::unordered_map<std::string, FieldSum> fields;
  const auto add = [&](const std::string& field, int64_t value, StatsSnapshot* step) {
    const auto [found, is_new] = fields.try_emplace(field);
    FieldSum& sum = found->second;
    if (is_new) sum.where = ParseField(field);
    sum.value += value;
    if (sum.where && step != nullptr) step->Add(sum.where->counter, value);
  };
  for (size_t i = 0; i < replies.size(); ++i) {
    RETURN_IF_ERROR(replies[i].ToStatus("HGETALL"));
    const auto& elements = replies[i].elements;
    for (size_t at = 0; at + 1 < elements.size(); at += 2)
      if (const auto value = Number(elements[at + 1].text))
        add(elements[at].text, *value, step_of_command[i]);
    const auto add_waiting = [&](const Batch& batch) {
      if (const auto found = batch.find(commands[i][1]); found != batch.end())
        for (const auto& [field, value] : found->second.added)
          add(field, value, step_of_command[i]);
    };
    add_waiting(waiting_);
    for (const NumberedBatch& one : batches_)
      if (one.number > acknowledged_) add_waiting(one.batch);
  }
  StatsBySeries sum;
  for (const auto& [field, one] : fields)
    if (one.where) sum[one.where->labels].Add(one.where->counter, one.value);
  return sum;
}

Result<std::vector<InstanceFigures>> ClusterStats::Instances(Deadline deadline) const {
  const std::string key = fmt::format("{{{}}}:stats:instances", name_space_);
  const RedisCommand get[] = {{"HGETALL", key}};
  ASSIGN_OR_RETURN(const auto replies, client_.Run(get, deadline));
  RETURN_IF_ERROR(replies[0].ToStatus("HGETALL"));
  std::vector<InstanceFigures> instances;
  RedisCommand forget = {"HDEL", key};
  const int64_t now = clock_.UnixMs();
  for (size_t at = 0; at + 1 < replies[0].elements.size(); at += 2) {
    const std::string& id = replies[0].elements[at].text;
    auto instance = ParseInstance(id, replies[0].elements[at + 1].text);
    const int64_t silent_ms = instance ? now - instance->seen_unix_ms : kForgetInstanceMs;
    if (silent_ms >= kForgetInstanceMs) forget.push_back(id);
    if (silent_ms < kInstanceGoneMs) instances.push_back(std::move(*instance));
  }
  if (forget.size() > 2) {
    const RedisCommand commands[] = {std::move(forget)};
    RETURN_IF_ERROR(client_.Run(commands, deadline));
  }
  return instances;
}

}  // namespace nextgate::cache
