// A command line of `nextgate serve m` as options, or what is wrong with it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gateway/flags.h"

namespace nextgate::gateway {

inline ServeOptions OptionsOfModel(std::vector<std::string> args) {
  args.insert(args.begin(), "m");
  const auto parsed = ParseServeFlags(args);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? parsed->options : ServeOptions{};
}

inline std::string FlagErrorOfModel(std::vector<std::string> args) {
  args.insert(args.begin(), "m");
  const auto parsed = ParseServeFlags(args);
  return parsed ? "no error" : parsed.error().message;
}

}  // namespace nextgate::gateway
