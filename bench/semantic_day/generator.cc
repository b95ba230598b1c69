#include "bench/semantic_day/generator.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"

namespace nextgate::semantic_day {
namespace {

constexpr const char* kMenus[] = {"Payments", "Profile", "Security",  "Support",
                                  "Cards",    "Travel",  "Household", "Calendar",
                                  "Devices",  "Limits",  "Documents"};

}  // namespace

std::string AnswerText(const semantic_bench::LabelledQuestion& question, size_t wordings) {
  std::string topic = question.out_of_scope ? question.text : question.intent;
  const Hash128 truth = HashBytes(topic);
  topic = topic.substr(topic.find(':') + 1);
  std::ranges::replace(topic, '_', ' ');
  const std::string menu = kMenus[truth.low % std::size(kMenus)];
  const uint64_t steps = 2 + truth.high % 7, days = 10 + truth.low / 64 % 9000;
  switch (HashBytes(question.text).high % wordings) {
    case 0:
      return fmt::format(
          "For {0}, open {1} in the app and follow the {2} steps that are shown there. It is "
          "finished "
          "within {3} minutes, and you get a message as soon as it is done.",
          topic, menu, steps, days);
    case 1:
      return fmt::format(
          "You can take care of {0} yourself: go to {1} in the app and complete the {2} steps on "
          "the "
          "screen. Allow {3} minutes for it. A message tells you when it has finished.",
          topic, menu, steps, days);
    case 2:
      return fmt::format(
          "That is about {0}. In the app, the section {1} leads you through {2} steps. After {3} "
          "minutes at "
          "the latest everything is settled and we send you a message.",
          topic, menu, steps, days);
    default:
      return fmt::format(
          "Happy to help with {0}! Please open the app, choose {1} and work through all {2} steps. "
          "We "
          "need up to {3} minutes and will send a message afterwards.",
          topic, menu, steps, days);
  }
}

int32_t NumTokens(const std::string& text) {
  return static_cast<int32_t>((1 + std::ranges::count(text, ' ')) * 4 / 3);
}

std::shared_ptr<const cache::Answer> AnswerOf(const std::string& text) {
  cache::AnswerBuilder builder;
  builder.Append({.text = text});
  return builder.Finish(
      {.choices = {{.finish_reason = "stop"}}, .usage = {.completion_tokens = NumTokens(text)}});
}

}  // namespace nextgate::semantic_day
