#include "gateway/chat_template_limits.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <ctime>
#include <string_view>
#include <typeinfo>
#include <vector>

#include "base/check.h"

namespace nextgate::gateway {
namespace {

using jinja::token;

// What must stay free below a step: the engine's frames between two steps and the throwing of an error.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kStackReserveBytes = 192 << 10;
#else
constexpr size_t kStackReserveBytes = 48 << 10;
#endif
constexpr int64_t kStepsBetweenClocks = 1024;
constexpr int kMaxTupleDepth = 64;

thread_local RenderBudget* current = nullptr;

const char* StackFloor() {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return nullptr;
  void* lowest = nullptr;
  size_t size = 0;
  pthread_attr_getstack(&attributes, &lowest, &size);
  pthread_attr_destroy(&attributes);
  return static_cast<const char*>(lowest) + kStackReserveBytes;
}

int64_t ThreadCpuMs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

bool IsWord(const token& at, std::string_view word) {
  return at.t == token::identifier && at.value == word;
}

// Follows the tokens as the parser will: which blocks are open, and how deep one tag's expression goes.
class NestingCheck {
 public:
  explicit NestingCheck(const std::vector<token>& tokens) : tokens_(tokens) {}

  Status Run() {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const token& at = tokens_[i];
      if (at.t == token::open_statement || at.t == token::open_expression) {
        chains_.assign(1, 0);
        chain_total_ = 0;
        if (at.t == token::open_statement && i + 1 < tokens_.size()) Tag(i + 1);
      } else {
        Expression(at);
      }
      if (blocks_.size() > kMaxTemplateBlocks) return Refused(kMaxTemplateBlocks, "blocks");
      if (chains_.size() > kMaxTemplateBrackets) return Refused(kMaxTemplateBrackets, "brackets");
      if (chain_total_ > kMaxTemplateChain)
        return Refused(kMaxTemplateChain, "operators of one expression");
    }
    return {};
  }

 private:
  static std::unexpected<Error> Refused(int limit, const char* what) {
    return InvalidArgument(fmt::format("more than {} {} inside each other", limit, what));
  }

  // A tag whose first word is tokens_[i] opens a block, closes some, or neither.
  void Tag(size_t i) {
    const std::string_view word = tokens_[i].value;
    if (word == "if" || word == "elif" || word == "for" || word == "macro" || word == "call" ||
        word == "filter") {
      blocks_.push_back(word);
    } else if (word == "set" && IsBlockSet(i)) {
      blocks_.push_back(word);
    } else if (word.starts_with("end")) {
      const std::string_view opened = word.substr(3);
      while (!blocks_.empty()) {
        const std::string_view last = blocks_.back();
        blocks_.pop_back();
        if (last == opened) break;
      }
    }
  }

  bool IsBlockSet(size_t i) const {
    for (; i < tokens_.size() && tokens_[i].t != token::close_statement; ++i)
      if (tokens_[i].t == token::equals) return false;
    return true;
  }

  void Expression(const token& at) {
    switch (at.t) {
      case token::open_paren:
      case token::open_square_bracket:
      case token::open_curly_bracket:
        Link();
        chains_.push_back(0);
        break;
      case token::close_paren:
      case token::close_square_bracket:
      case token::close_curly_bracket:
        if (chains_.size() > 1) {
          chain_total_ -= chains_.back();
          chains_.pop_back();
        }
        break;
      case token::comma:
      case token::colon:
        chain_total_ -= chains_.back();
        chains_.back() = 0;
        break;
      case token::dot:
      case token::pipe:
      case token::additive_binary_operator:
      case token::multiplicative_binary_operator:
      case token::comparison_binary_operator:
      case token::unary_operator:
        Link();
        break;
      default:
        for (const char* word : {"not", "and", "or", "in", "is", "if", "else"})
          if (IsWord(at, word)) Link();
    }
  }

  void Link() {
    ++chains_.back();
    ++chain_total_;
  }

  const std::vector<token>& tokens_;
  std::vector<std::string_view> blocks_;
  std::vector<int> chains_ = {0};  // of each open bracket: operators since the last comma
  int chain_total_ = 0;
};

int TupleDepth(const jinja::value& value, int depth) {
  if (depth > kMaxTupleDepth || !jinja::is_val<jinja::value_array>(value)) return depth;
  int deepest = depth;
  for (const jinja::value& item : value->val_arr)
    if (deepest <= kMaxTupleDepth) deepest = std::max(deepest, TupleDepth(item, depth + 1));
  return deepest;
}

}  // namespace

Status CheckNesting(const jinja::lexer_result& tokens) { return NestingCheck(tokens.tokens).Run(); }

RenderBudget::RenderBudget(size_t output_bytes_max)
    : output_bytes_max_(output_bytes_max),
      stack_floor_(StackFloor()),
      cpu_begin_ms_(ThreadCpuMs()) {
  CHECK(current == nullptr);
  current = this;
  jinja::on_step = OnStep;
}

RenderBudget::~RenderBudget() {
  jinja::on_step = nullptr;
  current = nullptr;
  for (const auto& changed : changed_)
    if (const jinja::value container = changed.lock()) {
      container->val_arr.clear();
      if (auto* object = dynamic_cast<jinja::value_object_t*>(container.get()))
        object->unordered.clear();
      container->val_obj.clear();
    }
}

void RenderBudget::ChargeText(size_t bytes) {
  if (current == nullptr) return;
  current->Step();
  current->Charge(bytes);
}

void RenderBudget::Changed(const jinja::value& container) {
  if (current != nullptr) current->changed_.push_back(container);
}

void RenderBudget::OnStep(const jinja::statement* done, const jinja::value* result) {
  if (done == nullptr) return current->Step();
  current->Made(*done, *result);
}

void RenderBudget::Step() {
  if (static_cast<const char*>(__builtin_frame_address(0)) < stack_floor_)
    Refuse("calls or nests itself too deeply");
  if (++steps_ > kMaxRenderSteps) Refuse("takes too many steps");
  if (steps_ % kStepsBetweenClocks == 0 && ThreadCpuMs() - cpu_begin_ms_ > kMaxRenderCpuMs)
    Refuse("takes too long");
}

// Names and literals hand out what is there; the others make something new.
void RenderBudget::Made(const jinja::statement& by, const jinja::value& result) {
  if (typeid(by) == typeid(jinja::identifier) || typeid(by) == typeid(jinja::member_expression))
    return;
  if (typeid(by) == typeid(jinja::set_statement)) {
    if (!result->is_undefined()) Changed(result);
  } else if (jinja::is_val<jinja::value_string>(result)) {
    const auto& parts = result->val_str.parts;
    const size_t bytes = result->val_str.length();
    if (bytes > output_bytes_max_) Refuse("makes too long a text");
    Charge(bytes + parts.size() * sizeof(parts[0]));
  } else if (jinja::is_val<jinja::value_array>(result)) {
    Charge(result->val_arr.size() * sizeof(jinja::value));
    if (typeid(by) == typeid(jinja::tuple_literal) && TupleDepth(result, 0) > kMaxTupleDepth)
      Refuse("nests tuples too deeply");
  }
}

void RenderBudget::Charge(size_t bytes) {
  work_ += static_cast<int64_t>(bytes);
  if (work_ > kMaxRenderWork) Refuse("makes too much text");
}

void RenderBudget::Refuse(const char* why) {
  refused_ = why;
  throw TemplateTooCostly(why);
}

}  // namespace nextgate::gateway
