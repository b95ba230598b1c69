// CHECK(cond) / CHECK(cond, "fmt", args…): our own bug. On in every build; prints file:line, the
// expression and the message, then aborts. DCHECK is the same in debug and sanitizer builds only,
// for hot loops. Never for input: input errors are values (base/status.h).
#pragma once

#include <string_view>

namespace nextgate::internal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* expr);
[[noreturn]] void CheckFailed(const char* file, int line, const char* expr, const char* format, ...)
    __attribute__((format(printf, 4, 5)));
}  // namespace nextgate::internal

#define CHECK(cond, ...)                        \
  (__builtin_expect(static_cast<bool>(cond), 1) \
       ? static_cast<void>(0)                   \
       : ::nextgate::internal::CheckFailed(__FILE__, __LINE__, #cond __VA_OPT__(, ) __VA_ARGS__))

#ifdef NDEBUG
#define DCHECK(cond, ...) static_cast<void>(0)
#else
#define DCHECK(cond, ...) CHECK(cond __VA_OPT__(, ) __VA_ARGS__)
#endif
