// What has been said of an answer so far, and the same answer told once more from its beginning by
// somebody else: the part that is new goes on to the listener, the part that was said is compared and
// left out. So who changes from one teller to another says nothing twice and misses nothing, even if
// the second tells in other pieces.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/answer.h"
#include "gateway/generator.h"
#include "gateway/upstream/recorded.h"

namespace nextgate::gateway {

class Said {
 public:
  struct Choice {
    std::string text;
    std::vector<int32_t>
        token_ids;  // of the text, and of what is held back of it; empty if unknown
    std::optional<cache::AnswerChoice> end;
  };

  void Add(const cache::AnswerDelta& delta);
  void Finish(int32_t choice, const cache::AnswerChoice& end);

  bool empty() const { return record_.num_deltas() == 0 && endings_.empty(); }
  // A choice of which nothing was said is empty.
  const Choice& choice(int32_t index) const;
  int32_t num_choices() const { return static_cast<int32_t>(choices_.size()); }  // spoken of

  // All of it again, in order.
  void Tell(const AnswerSource::Listener& listener) const;

 private:
  struct Ending {
    size_t after = 0;  // deltas
    int32_t choice = 0;
  };
  Choice& At(int32_t index);
  cache::AnswerBuilder record_;
  std::vector<Ending> endings_;
  std::vector<Choice> choices_;
};

class Retelling {
 public:
  // `said` must outlive it; what is added to it later does not count.
  explicit Retelling(const Said& said);

  // Takes what is told, and says to `listener` what of it is new. False if it contradicts what was said.
  bool Delta(const cache::AnswerDelta& delta, const AnswerSource::Listener& listener);
  bool Finish(int32_t choice, const cache::AnswerChoice& end,
              const AnswerSource::Listener& listener);

  // Everything that was said has been told again.
  bool Covered() const;

 private:
  struct Place {
    size_t text = 0;
    size_t tokens = 0;  // known, or listed by an upstream's chunks
  };
  struct Choice {
    Place said;
    Place told;
    bool ended = false;
  };
  bool Covered(const Choice& choice) const;
  bool Tell(const cache::AnswerDelta& delta, size_t listed, const AnswerSource::Listener& listener);
  Choice& At(int32_t index);
  const Said& said_;
  ChunkReader reader_;
  std::vector<Choice> choices_;
  bool usage_said_ = false;   // in a chunk of its own
  bool body_said_ = false;    // all of the text at once
  bool opaque_said_ = false;  // chunks with more than text: what of them comes again can't be told
};

// `source` begins at the beginning; this one says what comes after `said`, and ends with an error if
// the two are not one answer. `said` must outlive it.
std::unique_ptr<AnswerSource> TellTheRest(std::unique_ptr<AnswerSource> source, const Said& said);

// Values joined by commas, without the first `count`. JSON values may hold commas of their own.
std::string_view DropJsonValues(std::string_view values, size_t count);

}  // namespace nextgate::gateway
