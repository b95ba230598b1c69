#include "base/check.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace nextgate::internal {

void CheckFailed(const char* file, int line, const char* expr) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, expr);
  std::abort();
}

void CheckFailed(const char* file, int line, const char* expr, const char* format, ...) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s ", file, line, expr);
  va_list args;
  va_start(args, format);
  std::vfprintf(stderr, format, args);
  va_end(args);
  std::fputc('\n', stderr);
  std::abort();
}

}  // namespace nextgate::internal
