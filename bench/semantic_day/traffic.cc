#include "bench/semantic_day/traffic.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace nextgate::semantic_day {
namespace {

std::discrete_distribution<size_t> Zipf(size_t count, double exponent) {
  std::vector<double> weights(count);
  for (size_t i = 0; i < count; ++i) weights[i] = std::pow(static_cast<double>(i + 1), -exponent);
  return {weights.begin(), weights.end()};
}

struct Intent {
  std::vector<size_t> questions;  // the one that is asked most first
  std::discrete_distribution<size_t> which;
};

}  // namespace

std::vector<Asked> MakeDay(const std::vector<semantic_bench::LabelledQuestion>& questions,
                           const DaySettings& settings) {
  std::mt19937_64 random(settings.seed);
  std::map<std::string, Intent> by_name;
  Intent strange;
  for (size_t i = 0; i < questions.size(); ++i)
    (questions[i].out_of_scope ? strange : by_name[questions[i].intent]).questions.push_back(i);
  std::vector<Intent> intents;
  for (auto& [name, intent] : by_name) intents.push_back(std::move(intent));
  std::ranges::shuffle(intents, random);
  const auto finish = [&](Intent& intent) {
    std::ranges::shuffle(intent.questions, random);
    intent.which = Zipf(intent.questions.size(), settings.zipf_questions);
  };
  for (Intent& intent : intents) finish(intent);
  finish(strange);

  auto which = Zipf(intents.size(), settings.zipf_intents);
  std::discrete_distribution<size_t> tenant(settings.tenants.begin(), settings.tenants.end());
  std::bernoulli_distribution out(strange.questions.empty() ? 0 : settings.out_of_scope);
  std::vector<Asked> day(settings.requests);
  for (Asked& asked : day) {
    Intent& intent = out(random) ? strange : intents[which(random)];
    asked = {.question = intent.questions[intent.which(random)], .tenant = tenant(random)};
  }
  return day;
}

}  // namespace nextgate::semantic_day
