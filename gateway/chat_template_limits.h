// What one chat template may cost. Templates come with downloaded checkpoints, so they are not trusted:
// one that nests, loops, recurses or multiplies text without end must end in an error and neither in a
// crash nor in a server that hangs or runs out of memory.
//
// Two bounds: CheckNesting before the Jinja engine's recursive parser sees the tokens, and RenderBudget
// while it executes (through jinja::on_step, which scripts/deps.sh adds to the engine).
//
// Threads: pure, and per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "jinja/lexer.h"
#include "jinja/runtime.h"

namespace nextgate::gateway {

// Of the syntax: if, for, macro, … inside each other (each elif counts); brackets inside each other in one
// tag; operators, filters, members and calls that hang together in one expression.
inline constexpr int kMaxTemplateBlocks = 200;
inline constexpr int kMaxTemplateBrackets = 100;
inline constexpr int kMaxTemplateChain = 1000;

// Of one render: nodes evaluated and pieces of text made by filters; bytes that operators, filters, calls
// and blocks make, all together; processor time.
inline constexpr int64_t kMaxRenderSteps = 3'000'000;
inline constexpr int64_t kMaxRenderWork = int64_t{512} << 20;
inline constexpr int64_t kMaxRenderCpuMs = 10'000;

// kInvalidArgument: the template nests deeper than the parser is let go.
Status CheckNesting(const jinja::lexer_result& tokens);

// The template did more than it may. Derived from the exception that the engine passes on unchanged.
struct TemplateTooCostly : jinja::rethrown_exception {
  using jinja::rethrown_exception::rethrown_exception;
};

// While one lives, what the Jinja engine does on this thread counts, and TemplateTooCostly is thrown
// where a limit is passed or the thread's stack comes to its end. When it ends it empties the lists and
// objects that were changed, so that those that hold themselves are freed: take the text out before. Not
// nested.
class RenderBudget {
 public:
  // `output_bytes_max`: of one text.
  explicit RenderBudget(size_t output_bytes_max);
  ~RenderBudget();
  RenderBudget(const RenderBudget&) = delete;
  RenderBudget& operator=(const RenderBudget&) = delete;

  // What the template did too much of, nullptr if nothing: the engine's own analysis of a template swallows
  // exceptions.
  const char* refused() const { return refused_; }

  // For our own filters, a step: text of `bytes` is about to be made. Nothing without a budget.
  static void ChargeText(size_t bytes);
  // A list or object was given another element: it may hold itself now.
  static void Changed(const jinja::value& container);

 private:
  static void OnStep(const jinja::statement* done, const jinja::value* result);
  void Step();
  void Made(const jinja::statement& by, const jinja::value& result);
  void Charge(size_t bytes);
  [[noreturn]] void Refuse(const char* why);

  const size_t output_bytes_max_;
  const char* stack_floor_;
  const int64_t cpu_begin_ms_;
  int64_t steps_ = 0;
  int64_t work_ = 0;
  const char* refused_ = nullptr;
  std::vector<std::weak_ptr<jinja::value_t>> changed_;
};

}  // namespace nextgate::gateway
