#include "gateway/secrets.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace nextgate::gateway {

Result<Secret> ReadSecretFile(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return InvalidArgument(fmt::format("{}: {}", path, std::strerror(errno)));
  std::ifstream file(path, std::ios::binary);
  if (!file || S_ISDIR(info.st_mode))
    return InvalidArgument(fmt::format("{}: cannot be read as a file", path));
  Secret secret{.value = std::string(std::istreambuf_iterator<char>(file), {})};
  while (secret.value.ends_with('\n') || secret.value.ends_with('\r')) secret.value.pop_back();
  if (secret.value.empty()) return InvalidArgument(fmt::format("{}: the file is empty", path));
  // A group may be meant to: orchestrators mount secrets for one.
  if ((info.st_mode & S_IROTH) != 0)
    secret.warning = fmt::format("{}: everybody may read this secret; chmod 600", path);
  return secret;
}

std::string SecretFromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace nextgate::gateway
