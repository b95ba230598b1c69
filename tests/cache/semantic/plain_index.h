// What question_index.h promises, in the plainest way: a list of items, all of which are looked at.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "cache/semantic/question_index.h"

namespace nextgate::cache {

inline std::vector<float> RandomUnit(std::mt19937_64& random, int64_t dimension) {
  std::normal_distribution<float> normal;
  std::vector<float> vector(static_cast<size_t>(dimension));
  double squares = 0;
  for (float& value : vector) {
    value = normal(random);
    squares += static_cast<double>(value) * value;
  }
  for (float& value : vector) value = static_cast<float>(value / std::sqrt(squares));
  return vector;
}

class PlainIndex {
 public:
  using Neighbour = QuestionIndex::Neighbour;
  // A stored vector is rounded to half precision, so two cosines this close may change places.
  static constexpr float kTie = 1e-3F;

  explicit PlainIndex(int64_t entries_max) : entries_max_(entries_max) {}

  void Insert(const QuestionIndex::Item& item) {
    std::erase_if(items_,
                  [&](const Kept& kept) { return kept.id == item.id && kept.group == item.group; });
    items_.push_back({item.group,
                      item.id,
                      {item.vector.begin(), item.vector.end()},
                      item.expires_unix_ms,
                      item.position});
    while (size() > entries_max_)
      items_.erase(std::min_element(items_.begin(), items_.end(), [](const Kept& a, const Kept& b) {
        return a.position < b.position;
      }));
  }
  bool Erase(const Hash128& id) {
    return std::erase_if(items_, [&](const Kept& kept) { return kept.id == id; }) > 0;
  }
  int64_t EraseBefore(int64_t position) {
    return static_cast<int64_t>(
        std::erase_if(items_, [&](const Kept& kept) { return kept.position < position; }));
  }
  int64_t RemoveExpired(int64_t now_ms) {
    return static_cast<int64_t>(
        std::erase_if(items_, [&](const Kept& kept) { return now_ms >= kept.expires_unix_ms; }));
  }
  void Clear() { items_.clear(); }
  int64_t size() const { return static_cast<int64_t>(items_.size()); }

  std::vector<Neighbour> Search(const Hash128& group, std::span<const float> query, size_t k,
                                int64_t now_ms) const {
    std::vector<Neighbour> all;
    for (const Kept& kept : items_)
      if (kept.group == group && now_ms < kept.expires_unix_ms)
        all.push_back({kept.id, Cosine(kept, query)});
    std::sort(all.begin(), all.end(),
              [](const Neighbour& a, const Neighbour& b) { return a.cosine > b.cosine; });
    if (all.size() > k) all.resize(k);
    return all;
  }

  // How many of `found` are further away than what they stand in for, in `truth`; a neighbour that does not
  // exist, or whose cosine is not its own, counts as a thousand.
  int64_t CountWrong(const Hash128& group, std::span<const float> query,
                     const std::vector<Neighbour>& found, const std::vector<Neighbour>& truth,
                     int64_t now_ms) const {
    int64_t wrong = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      const auto item = std::find_if(items_.begin(), items_.end(), [&](const Kept& kept) {
        return kept.id == found[i].id && kept.group == group && now_ms < kept.expires_unix_ms;
      });
      if (item == items_.end() || std::abs(Cosine(*item, query) - found[i].cosine) > kTie) {
        wrong += 1000;
      } else if (found[i].cosine < truth[i].cosine - kTie) {
        ++wrong;
      }
      for (size_t j = 0; j < i; ++j)
        if (found[j].id == found[i].id || found[j].cosine < found[i].cosine) wrong += 1000;
    }
    return wrong;
  }

 private:
  struct Kept {
    Hash128 group;
    Hash128 id;
    std::vector<float> vector;
    int64_t expires_unix_ms;
    int64_t position;
  };
  static float Cosine(const Kept& kept, std::span<const float> query) {
    double sum = 0;
    for (size_t i = 0; i < query.size(); ++i) sum += static_cast<double>(kept.vector[i]) * query[i];
    return static_cast<float>(sum);
  }

  const int64_t entries_max_;
  std::vector<Kept> items_;
};

}  // namespace nextgate::cache
