// Errors of the world (client, file, network) as values. Three kinds of failure exist in nextgate
// and are never mixed: our own bugs abort through CHECK (base/check.h); the device aborts through
// CUDA_CHECK; everything a user or the world can cause is an Error in a Result.
//
// Threads: plain values, no shared state.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace nextgate {

// A handful of codes; gateway/openai/error.cc maps each to one HTTP status.
enum class ErrorCode {
  kInvalidArgument,    // the caller's input is wrong: 400
  kUnauthenticated,    // 401
  kPermissionDenied,   // 403
  kNotFound,           // 404
  kOutOfRange,         // more tokens than the model's context takes: 400
  kTooLarge,           // 413
  kResourceExhausted,  // a limit or a full queue; retry later: 429
  kCancelled,          // the client left
  kDeadlineExceeded,   // 504
  kUnavailable,        // shutting down, or a peer is away: 503
  kDataLoss,           // a file or a message is corrupt
  kUnimplemented,      // known, not supported yet: 400
  kInternal,           // 500
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // what was expected and what came; never prompt text, never a secret
  std::string param;    // the request field or flag at fault, empty if none
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> MakeError(ErrorCode code, std::string message,
                                        std::string param = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(param)});
}
inline std::unexpected<Error> InvalidArgument(std::string message, std::string param = {}) {
  return MakeError(ErrorCode::kInvalidArgument, std::move(message), std::move(param));
}
inline std::unexpected<Error> DataLoss(std::string message) {
  return MakeError(ErrorCode::kDataLoss, std::move(message));
}
inline std::unexpected<Error> NotFound(std::string message) {
  return MakeError(ErrorCode::kNotFound, std::move(message));
}

}  // namespace nextgate

#define NEXTGATE_CONCAT_INNER(a, b) a##b
#define NEXTGATE_CONCAT(a, b) NEXTGATE_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                                                                \
  do {                                                                                       \
    if (auto status_ = (expr); !status_) return std::unexpected(std::move(status_.error())); \
  } while (0)

// ASSIGN_OR_RETURN(auto x, F()): x = value of F(), or return its error.
#define ASSIGN_OR_RETURN(lhs, expr) \
  NEXTGATE_ASSIGN_OR_RETURN(NEXTGATE_CONCAT(result_, __LINE__), lhs, expr)
#define NEXTGATE_ASSIGN_OR_RETURN(tmp, lhs, expr)           \
  auto tmp = (expr);                                        \
  if (!tmp) return std::unexpected(std::move(tmp.error())); \
  lhs = std::move(*tmp)
