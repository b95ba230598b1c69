// What one instance tells the others of an answer in the making, as records of a stream in Redis:
//
//   record = body | 16 bytes of HMAC-SHA256(secret, stream, holder, number, body)
//   body   = events, or a box of them (cache/aead.h) if there are keys
//   event  = hello (digest of the key's material, number of choices) | delta | end of a choice
//          | end of the answer (choices, usage, extras) | given up
//
// The first event of a stream is its hello: who follows compares the digest with his own request's, so
// that neither a collision of hashes nor anybody without the secret can put words into an answer. A
// record counts only in its own stream, term and place.
//
// Threads: LiveBatch belongs to one thread; all else is const.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cache/aead.h"
#include "cache/answer.h"
#include "cache/wire.h"

namespace nextgate::cache {

// Events to publish together, in order.
class LiveBatch {
 public:
  // `position`: what the instance where the answer began knew of the invalidations.
  void Hello(std::string_view material_digest, int32_t num_choices, int64_t position = 0);
  void Delta(const AnswerDelta& delta);
  void Finish(int32_t choice, const AnswerChoice& end);
  void End(const AnswerBuilder::Ending& ending);
  void GiveUp();

  const std::string& bytes() const { return out_.bytes(); }
  bool empty() const { return bytes().empty(); }

 private:
  WireWriter out_;
};

// Who hears the events; views are valid during the call. Each may be null.
struct LiveListener {
  std::function<void(std::string_view material_digest, int32_t num_choices, int64_t position)>
      hello;
  std::function<void(const AnswerDelta&)> delta;
  std::function<void(int32_t choice, const AnswerChoice&)> finish;
  std::function<void(AnswerBuilder::Ending)> end;
  std::function<void()> given_up;
};

// Tells the events of a record. False at the first that is malformed.
bool TellEvents(std::string_view events, const LiveListener& listener);

// Where a record stands: in the stream of one term, whose holder nobody else is.
struct LivePlace {
  std::string_view stream;  // the key
  std::string_view holder;  // what the term's lock holds
  uint64_t number = 0;      // from 1 on
};

class LiveCodec {
 public:
  // REQUIRES: !secret.empty(). The keys of the digests are derived from it.
  // `keys` encrypts if it has keys, and must outlive the codec; what is not encrypted is read all the same.
  explicit LiveCodec(std::string_view secret, const Keyring& keys = Keyring::None());

  // 32 bytes that prove two materials equal and say nothing about them.
  std::string DigestOf(std::string_view material) const;

  std::string Seal(const LivePlace& place, std::string_view events) const;
  // The record's events; kDataLoss if it is not what an instance with the secret put there.
  Result<std::string> Open(const LivePlace& place, std::string_view record) const;

 private:
  std::string Sign(const LivePlace& place, std::string_view body) const;
  std::string record_key_;
  std::string material_key_;
  const Keyring& keys_;
};

}  // namespace nextgate::cache
