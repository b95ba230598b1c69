// A map of at most so many values: what was not touched for longest goes.
//
// Threads: none of its own; const methods may run at the same time.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <unordered_map>
#include <utility>

namespace nextgate::cache {

template <class Key, class Value, class Hash = std::hash<Key>>
class LruMap {
 public:
  using Entry = std::pair<Key, Value>;

  // The value of `key`, a fresh one if there is none; it is now the last to go.
  // REQUIRES: size_max > 0. The reference lives until it goes.
  Value& Touch(const Key& key, size_t size_max) {
    if (const auto found = places_.find(key); found != places_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
    while (entries_.size() >= size_max) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, Value());
    places_.emplace(key, entries_.begin());
    return entries_.front().second;
  }

  const Value* Find(const Key& key) const {
    const auto found = places_.find(key);
    return found == places_.end() ? nullptr : &found->second->second;
  }

  size_t size() const { return entries_.size(); }
  const std::list<Entry>& entries() const { return entries_; }  // the last touched first

 private:
  std::list<Entry> entries_;
  std::unordered_map<Key, typename std::list<Entry>::iterator, Hash> places_;
};

}  // namespace nextgate::cache
