// Secrets come from files or the environment, never from the command line, where everybody on the
// machine can read them.
//
// Threads: pure but for reading.
#pragma once

#include <string>

#include "base/status.h"

namespace nextgate::gateway {

struct Secret {
  std::string value;
  std::string warning;  // everybody may read the file; else empty
};

// The file's text without the line break at its end. Errors name the file, never its contents.
Result<Secret> ReadSecretFile(const std::string& path);

// The variable's value; empty if it is not set.
std::string SecretFromEnvironment(const char* name);

}  // namespace nextgate::gateway
