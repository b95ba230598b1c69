#include "cache/redis/tail.h"

#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <compare>
#include <map>
#include <utility>

#include "base/log.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kReplyTimeout(1000);  // once its first byte is there
constexpr size_t kRecordsMax = 512;          // of each stream at once

struct StreamId {
  uint64_t milliseconds = 0;
  uint64_t number = 0;
  auto operator<=>(const StreamId&) const = default;
};

StreamId ParseId(std::string_view text) {
  StreamId id;
  const auto [dash, error] =
      std::from_chars(text.data(), text.data() + text.size(), id.milliseconds);
  if (error == std::errc() && dash != text.data() + text.size())
    std::from_chars(dash + 1, text.data() + text.size(), id.number);
  return id;
}

// One of XREAD's [id, [name, value, …]].
RedisTail::Record ToRecord(const RedisReply& reply) {
  RedisTail::Record record;
  if (reply.elements.size() != 2) return record;
  record.id = reply.elements[0].text;
  for (const RedisReply& field : reply.elements[1].elements) record.fields.push_back(field.text);
  return record;
}

}  // namespace

struct RedisTail::Stream {
  const std::string key;
  const milliseconds pace;
  std::string last_id;  // the thread's
  std::mutex mutex;     // held while the listener runs
  Listener listener;    // guarded by mutex; emptied at the end
  bool broken = false;  // the thread's: it is no stream

  void Lose(Loss loss) {
    const std::lock_guard lock(mutex);
    if (listener.lost) listener.lost(loss);
  }
};

RedisTail::RedisTail(Options options)
    : options_(std::move(options)), locator_(options_.endpoint), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "redis-tail");
}

RedisTail::~RedisTail() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::unique_ptr<RedisTail::Following> RedisTail::Follow(std::string key, std::string after_id,
                                                        Listener listener, milliseconds pace) {
  auto stream = std::make_shared<Stream>(std::move(key), pace, std::move(after_id));
  stream->listener = std::move(listener);
  {
    const std::lock_guard lock(mutex_);
    streams_.push_back(stream);
    ++followed_;
  }
  changed_.notify_all();
  return std::unique_ptr<Following>(new Following(*this, std::move(stream)));
}

RedisTail::Following::~Following() {
  {
    const std::lock_guard lock(tail_.mutex_);
    std::erase(tail_.streams_, stream_);
  }
  const std::lock_guard lock(stream_->mutex);  // waits for a listener that is running
  stream_->listener = {};
}

void RedisTail::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !streams_.empty(); });
    if (stopping_) return;
    Streams streams = streams_;
    const int64_t followed = followed_;
    lock.unlock();
    std::erase_if(streams, [](const auto& stream) { return stream->broken; });
    Loss loss = Loss::kBroken;
    const Status status = streams.empty() ? Status() : ReadOnce(streams, &loss);
    if (!status) {
      LogDebug("answer cache: the tail lost touch: {}", status.error().message);
      Disconnect();
      for (const auto& stream : streams) stream->Lose(loss);
    }
    streams.clear();
    lock.lock();
    // A stream that is new does not wait for the others' next turn.
    const milliseconds rest = !status ? options_.retry : more_ ? milliseconds(0) : Rest();
    changed_.wait_for(lock, rest, [&] { return stopping_ || followed_ > followed; });
  }
}

milliseconds RedisTail::Rest() const {
  milliseconds rest = options_.retry;
  for (const auto& stream : streams_)
    if (!stream->broken) rest = std::min(rest, stream->pace);
  return rest;
}

Status RedisTail::Connect() {
  Disconnect();
  if (location_ == nullptr) {
    ASSIGN_OR_RETURN(location_, locator_.Locate(options_.connect_timeout));
  }
  auto connection = RedisConnection::Open(location_->endpoint, location_->addresses,
                                          steady_clock::now() + options_.connect_timeout);
  if (!connection) {
    location_.reset();  // it may have moved
    locator_.Doubt();
    return std::unexpected(connection.error());
  }
  connection_ = std::move(*connection);
  return {};
}

void RedisTail::Disconnect() {
  connection_.reset();
  importing_.reset();
  if (locator_.discovers()) location_.reset();
}

Result<RedisReply> RedisTail::Ask(RedisConnection& connection, const RedisCommand& command,
                                  Loss* loss) {
  RETURN_IF_ERROR(
      connection.Send(std::span(&command, 1), steady_clock::now() + options_.connect_timeout));
  int slices = options_.slices;
  while (slices > 0 && !connection.WaitReadable(options_.slice)) --slices;
  if (slices == 0) {
    *loss = Loss::kSilent;
    return MakeError(ErrorCode::kUnavailable, "Redis says nothing");
  }
  return connection.Receive(steady_clock::now() + kReplyTimeout);
}

Status RedisTail::ReadOnce(const Streams& streams, Loss* loss) {
  if (connection_ == nullptr || !connection_->Usable()) {
    RETURN_IF_ERROR(Connect());
    for (const auto& stream : streams) {
      const std::lock_guard lock(stream->mutex);
      if (stream->listener.connected) stream->listener.connected();
    }
  }
  // A key that is followed twice is asked for from the earlier place on.
  std::map<std::string_view, std::string_view> from;
  for (const auto& stream : streams) {
    const auto [at, is_new] = from.emplace(stream->key, stream->last_id);
    if (!is_new && ParseId(stream->last_id) < ParseId(at->second)) at->second = stream->last_id;
  }
  RedisCommand command = {"XREAD", "COUNT", std::to_string(kRecordsMax), "STREAMS"};
  for (const auto& [key, id] : from) command.emplace_back(key);
  for (const auto& [key, id] : from) command.emplace_back(id);
  ASSIGN_OR_RETURN(const RedisReply reply, Ask(*connection_, command, loss));
  if (reply.is_error()) return ReadEach(streams, loss);
  more_ = false;
  HandOut(streams, reply);
  return {};
}

// Redis refused the command: for the sake of one key, because the keys are at two nodes at the moment,
// or whatever was asked.
Status RedisTail::ReadEach(const Streams& streams, Loss* loss) {
  more_ = false;
  for (const auto& stream : streams) {
    const RedisCommand command = {"XREAD",   "COUNT",     std::to_string(kRecordsMax),
                                  "STREAMS", stream->key, stream->last_id};
    ASSIGN_OR_RETURN(RedisReply reply, Ask(*connection_, command, loss));
    if (const auto to = ParseRedirection(reply, location_->endpoint.node()); to && to->ask) {
      ASSIGN_OR_RETURN(reply, AskThere(to->node, command, loss));
    }
    if (reply.text.starts_with("WRONGTYPE")) {
      stream->broken = true;
      stream->Lose(Loss::kBroken);
      continue;
    }
    RETURN_IF_ERROR(reply.ToStatus("XREAD"));
    HandOut(Streams{stream}, reply);
  }
  return {};
}

// Of the node to which our keys are being moved.
Result<RedisReply> RedisTail::AskThere(const RedisNode& node, const RedisCommand& command,
                                       Loss* loss) {
  if (importing_ == nullptr || importer_ != node || !importing_->Usable()) {
    ASSIGN_OR_RETURN(const auto location, locator_.At(node));
    ASSIGN_OR_RETURN(importing_,
                     RedisConnection::Open(location->endpoint, location->addresses,
                                           steady_clock::now() + options_.connect_timeout));
    importer_ = node;
  }
  ASSIGN_OR_RETURN(const RedisReply asking, Ask(*importing_, {"ASKING"}, loss));
  RETURN_IF_ERROR(asking.ToStatus("ASKING"));
  return Ask(*importing_, command, loss);
}

void RedisTail::HandOut(const Streams& streams, const RedisReply& reply) {
  for (const RedisReply& one : reply.elements) {
    if (one.elements.size() != 2) continue;
    more_ = more_ || one.elements[1].elements.size() >= kRecordsMax;
    for (const auto& stream : streams) {
      if (stream->key != one.elements[0].text) continue;
      std::vector<Record> records;
      const StreamId last = ParseId(stream->last_id);
      for (const RedisReply& entry : one.elements[1].elements)
        if (Record record = ToRecord(entry); ParseId(record.id) > last)
          records.push_back(std::move(record));
      if (records.empty()) continue;
      stream->last_id = records.back().id;
      const std::lock_guard lock(stream->mutex);
      if (stream->listener.records) stream->listener.records(std::move(records));
    }
  }
  if (more_) return;
  for (const auto& stream : streams) {
    const std::lock_guard lock(stream->mutex);
    if (!stream->broken && stream->listener.caught_up) stream->listener.caught_up();
  }
}

}  // namespace nextgate::cache
