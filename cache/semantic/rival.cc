#include "cache/semantic/rival.h"

#include <numeric>

#include "cache/semantic/gates.h"

namespace nextgate::cache {
namespace {

float Cosine(const NearQuestion& a, const NearQuestion& b) {
  return std::inner_product(a.vector.begin(), a.vector.end(), b.vector.begin(), 0.0F);
}

}  // namespace

bool TextsMatch(std::string_view asked, std::string_view stored) {
  GateSet of_texts = GateSet::all();
  of_texts.erase(Gate::kMargin);
  return RefusedBy({.asked = asked, .stored = stored, .cosine = 1}, of_texts).empty();
}

std::optional<float> CosineOfRival(std::span<const NearQuestion> near) {
  if (near.empty()) return std::nullopt;
  const NearQuestion& best = near.front();
  for (const NearQuestion& other : near.subspan(1))
    if (other.answer != best.answer && Cosine(best, other) < kRivalBelow &&
        !TextsMatch(best.text, other.text))
      return other.cosine;
  return std::nullopt;
}

}  // namespace nextgate::cache
