#include "gateway/chat_template_builtins.h"

#include <algorithm>
#include <ctime>
#include <limits>
#include <mutex>
#include <span>

#include "gateway/chat_template_limits.h"
#include "gateway/chat_template_text.h"

namespace nextgate::gateway {
namespace {

using jinja::func_args;
using jinja::is_val;
using jinja::mk_val;
using jinja::value;
using jinja::value_array;
using jinja::value_bool;
using jinja::value_float;
using jinja::value_int;
using jinja::value_none;
using jinja::value_object;
using jinja::value_string;
using jinja::value_undefined;

constexpr int64_t kMaxRange = 100'000;
constexpr int64_t kNoLimit = -1;

[[noreturn]] void Fail(const func_args& args, const std::string& what) {
  throw std::runtime_error(args.func_name + "(): " + what);
}

// The argument `name`, also accepted at `position` (0 is the text a method belongs to).
value Argument(const func_args& args, const std::string& name, size_t position) {
  return args.get_kwarg_or_pos(name, position);
}

bool Given(const value& argument) { return !argument->is_undefined() && !argument->is_none(); }

const jinja::string& Self(const func_args& args) {
  const value self = args.get_pos(0);
  if (!is_val<value_string>(self)) Fail(args, "expected a string, got " + self->type());
  return self->val_str;  // the value lives in args
}

std::string StringArgument(const func_args& args, const std::string& name, size_t position) {
  const value argument = Argument(args, name, position);
  if (!is_val<value_string>(argument)) Fail(args, name + " must be a string");
  return argument->val_str.str();
}

int64_t IntArgument(const func_args& args, const std::string& name, size_t position,
                    int64_t otherwise) {
  const value argument = Argument(args, name, position);
  if (!Given(argument)) return otherwise;
  if (!is_val<value_int>(argument)) Fail(args, name + " must be an integer");
  return argument->as_int();
}

value Text(const jinja::string& text) { return mk_val<value_string>(text); }

value Pieces(const jinja::string& text, const Ranges& ranges) {
  auto list = mk_val<value_array>();
  Slicer slicer(text);
  for (const auto& [begin, end] : ranges) list->push_back(Text(slicer.Slice(begin, end)));
  return list;
}

template <bool kLeft, bool kRight>
value StripText(const func_args& args) {
  const jinja::string& self = Self(args);
  const value chars = Argument(args, "chars", 1);
  const std::string text = self.str();
  const StripRange range = Given(chars)
                               ? Strip(text, kLeft, kRight, StringArgument(args, "chars", 1))
                               : Strip(text, kLeft, kRight);
  return Text(Slicer(self).Slice(range.begin, range.end));
}

template <bool kFromRight>
value SplitText(const func_args& args) {
  const jinja::string& self = Self(args);
  const std::string text = self.str();
  const int64_t limit = IntArgument(args, "maxsplit", 2, kNoLimit);
  if (!Given(Argument(args, "sep", 1))) {
    if (kFromRight && limit >= 0) Fail(args, "maxsplit needs a separator");
    return Pieces(self, SplitSpaces(text, limit));
  }
  const std::string separator = StringArgument(args, "sep", 1);
  if (separator.empty()) Fail(args, "empty separator");
  return Pieces(self, kFromRight ? RSplit(text, separator, limit) : Split(text, separator, limit));
}

value SplitLines(const func_args& args) {  // at \n, \r\n and \r; Python's rarer line ends are left
  const jinja::string& self = Self(args);
  const std::string text = self.str();
  Ranges ranges;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find_first_of("\r\n", begin);
    if (end == std::string::npos) end = text.size();
    ranges.emplace_back(begin, end);
    begin = end + (text.compare(end, 2, "\r\n") == 0 ? 2 : 1);
  }
  return Pieces(self, ranges);
}

value ReplaceText(const func_args& args) {
  const jinja::string& self = Self(args);
  const std::string text = self.str();
  const std::string old_text = StringArgument(args, "old", 1);
  const value new_value = Argument(args, "new", 2);
  if (!is_val<value_string>(new_value)) Fail(args, "new must be a string");
  int64_t left = IntArgument(args, "count", 3, kNoLimit);
  jinja::string out;
  Slicer slicer(self);
  const auto insert_new = [&] {
    for (const auto& part : new_value->val_str.parts) AppendMarked(out, part.val, part.is_input);
  };
  size_t at = 0;
  while (left != 0) {
    const size_t found = text.find(old_text, at);
    if (found == std::string::npos) break;
    slicer.Append(out, at, found);
    insert_new();
    --left;
    at = found + old_text.size();
    if (!old_text.empty()) continue;
    if (at == text.size()) return Text(out);  // "": before every code point and at the end
    const size_t next = at + CodePointLength(text, at);
    slicer.Append(out, at, next);
    at = next;
  }
  slicer.Append(out, at, text.size());
  return Text(out);
}

// Code points [start, stop) by step, as Python slices. The engine passes the length in bytes where
// the template left `stop` out, which is never less than the length in code points.
value SliceText(const func_args& args) {
  const jinja::string& self = Self(args);
  const std::string text = self.str();
  std::vector<size_t> starts;
  for (size_t at = 0; at < text.size(); at += CodePointLength(text, at)) starts.push_back(at);
  const auto count = static_cast<int64_t>(starts.size());
  const int64_t step = IntArgument(args, "step", 3, 1);
  if (step == 0) Fail(args, "slice step cannot be zero");
  int64_t start = IntArgument(args, "start", 1, step > 0 ? 0 : count - 1);
  int64_t stop = IntArgument(args, "stop", 2, step > 0 ? count : -1);
  const bool to_front = step < 0 && stop == -1;  // the engine's word for "left out" when going back
  if (start < 0) start = std::max<int64_t>(start + count, step > 0 ? 0 : -1);
  if (stop < 0 && !to_front) stop = std::max<int64_t>(stop + count, step > 0 ? 0 : -1);
  start = std::min(start, step > 0 ? count : count - 1);
  stop = std::min(stop, step > 0 ? count : count - 1);
  jinja::string out;
  Slicer slicer(self);
  for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) {
    const size_t begin = starts[static_cast<size_t>(i)];
    slicer.Append(out, begin, begin + CodePointLength(text, begin));
  }
  return Text(out);
}

value TextLength(const func_args& args) {
  return mk_val<value_int>(static_cast<int64_t>(CountCodePoints(Self(args).str())));
}

template <bool kAtStart>
value HasAffix(const func_args& args) {
  const std::string text = Self(args).str();
  const value affix = args.get_pos(1);
  const auto has = [&](const value& one) {
    if (!is_val<value_string>(one)) Fail(args, "expected a string or a tuple of strings");
    const std::string wanted = one->val_str.str();
    return kAtStart ? text.starts_with(wanted) : text.ends_with(wanted);
  };
  if (!is_val<value_array>(affix)) return mk_val<value_bool>(has(affix));
  const auto& all = affix->as_array();
  return mk_val<value_bool>(std::any_of(all.begin(), all.end(), has));
}

// A value as {{ value }} prints it.
jinja::string Printed(const value& item) {
  if (is_val<value_float>(item)) return jinja::string(PythonFloat(item->as_float()));
  if (item->is_undefined()) return {};
  return item->as_string();
}

value JoinItems(std::span<const value> items, const jinja::string& separator) {
  jinja::string out;
  const auto append = [&](const jinja::string& text) {
    for (const auto& part : text.parts) AppendMarked(out, part.val, part.is_input);
  };
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) append(separator);
    append(Printed(items[i]));
  }
  return Text(out);
}

value JoinArray(const func_args& args) {  // list | join(d, attribute)
  const value separator = Argument(args, "d", 1);
  const value attribute = Argument(args, "attribute", 2);
  std::vector<value> items = args.get_pos(0)->as_array();
  if (Given(attribute)) {
    value missing = mk_val<value_undefined>();
    for (value& item : items) {
      if (is_val<value_object>(item)) item = item->at(attribute, missing);
    }
  }
  return JoinItems(items, is_val<value_string>(separator) ? separator->val_str : jinja::string());
}

value JoinText(const func_args& args) {  // ', '.join(list), or text | join(d): its code points
  const jinja::string& self = Self(args);
  const value other = args.get_pos(1, mk_val<value_undefined>());
  if (is_val<value_array>(other)) return JoinItems(other->as_array(), self);
  const std::string text = self.str();
  Ranges ranges;
  for (size_t at = 0; at < text.size(); at += CodePointLength(text, at))
    ranges.emplace_back(at, at + CodePointLength(text, at));
  return JoinItems(Pieces(self, ranges)->as_array(),
                   is_val<value_string>(other) ? other->val_str : jinja::string());
}

value AppendItem(const func_args& args) {  // list.append(x)
  const value self = args.get_pos(0);
  if (args.count() != 2) Fail(args, "expected one argument");
  static_cast<jinja::value_array_t&>(*self).push_back(args.get_pos(1));
  RenderBudget::Changed(self);
  return self;
}

value IndentText(const func_args& args) {  // Jinja's indent(width=4, first=False, blank=False)
  const jinja::string& self = Self(args);
  const value width = Argument(args, "width", 1);
  const bool first = Argument(args, "first", 2)->as_bool();
  const bool blank = Argument(args, "blank", 3)->as_bool();
  const int64_t spaces = is_val<value_int>(width) ? width->as_int() : 4;
  if (spaces < 0 || spaces > 1000) Fail(args, "width must be from 0 to 1000");
  jinja::string indentation(std::string(static_cast<size_t>(spaces), ' '));
  if (is_val<value_string>(width)) indentation = width->val_str;
  const std::string text = self.str();
  jinja::string out;
  Slicer slicer(self);
  bool first_line = true;
  for (const auto& [begin, end] : Split(text, "\n", kNoLimit)) {
    if (!first_line) AppendMarked(out, "\n", kTemplateMark);
    if (first_line ? first : (blank || begin != end))
      for (const auto& part : indentation.parts) AppendMarked(out, part.val, part.is_input);
    slicer.Append(out, begin, end);
    first_line = false;
  }
  return Text(out);
}

value ToJsonFilter(const func_args& args) {
  value self = args.get_pos(0);
  if (args.ctx.is_get_stats) jinja::value_t::stats_t::mark_used(self, true);
  JsonStyle style;
  style.ensure_ascii = Argument(args, "ensure_ascii", 1)->as_bool();
  style.indent = static_cast<int>(std::clamp<int64_t>(IntArgument(args, "indent", 2, -1), -1, 100));
  style.sort_keys = Argument(args, "sort_keys", 4)->as_bool();
  if (style.indent >= 0) style.item_separator = ",";  // as json.dumps has it
  const value separators = Argument(args, "separators", 3);
  if (is_val<value_array>(separators) && separators->as_array().size() == 2) {
    style.item_separator = separators->as_array()[0]->as_string().str();
    style.key_separator = separators->as_array()[1]->as_string().str();
  }
  return Text(ToJson(self, style));
}

value RaiseException(const func_args& args) {
  throw TemplateRaised(args.get_pos(0, mk_val<value_string>("raise_exception"))->as_string().str());
}

value StrftimeNow(const func_args& args) {
  const std::string format = Self(args).str();
  std::tm local{};
  localtime_r(&args.ctx.current_time, &local);
  char buffer[256];
  const size_t length = std::strftime(buffer, sizeof buffer, format.c_str(), &local);
  if (length == 0 && !format.empty()) Fail(args, "the formatted time is too long");
  return mk_val<value_string>(std::string(buffer, length));
}

value Range(const func_args& args) {
  const bool one = args.count() == 1;
  const int64_t start = one ? 0 : IntArgument(args, "start", 0, 0);
  const int64_t stop = IntArgument(args, "stop", one ? 0 : 1, 0);
  const int64_t step = IntArgument(args, "step", 2, 1);
  if (step == 0) Fail(args, "step must not be zero");
  auto list = mk_val<value_array>();
  for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) {
    if (static_cast<int64_t>(list->as_array().size()) == kMaxRange)
      Fail(args, "more than " + std::to_string(kMaxRange) + " numbers");
    list->push_back(mk_val<value_int>(i));
  }
  return list;
}

// The tables are function-local statics of the engine, made replaceable when scripts/deps.sh builds
// it.
jinja::func_builtins& Table(const jinja::value_t& of) {
  return const_cast<jinja::func_builtins&>(of.get_builtins());
}

void Install() {
  auto& global = const_cast<jinja::func_builtins&>(jinja::global_builtins());
  global["raise_exception"] = RaiseException;
  global["strftime_now"] = StrftimeNow;
  global["range"] = Range;
  global["tojson"] = ToJsonFilter;

  auto& text = Table(*mk_val<value_string>());
  text["strip"] = StripText<true, true>;
  text["lstrip"] = StripText<true, false>;
  text["rstrip"] = StripText<false, true>;
  text["split"] = SplitText<false>;
  text["rsplit"] = SplitText<true>;
  text["splitlines"] = SplitLines;
  text["replace"] = ReplaceText;
  text["slice"] = SliceText;
  text["length"] = TextLength;
  text["startswith"] = HasAffix<true>;
  text["endswith"] = HasAffix<false>;
  text["join"] = JoinText;
  text["indent"] = IndentText;

  Table(*mk_val<value_array>())["join"] = JoinArray;
  Table(*mk_val<value_array>())["append"] = AppendItem;
  const auto print = [](const func_args& args) { return Text(Printed(args.get_pos(0))); };
  for (const char* name : {"string", "safe"}) {
    Table(*mk_val<value_int>(0))[name] = print;
    Table(*mk_val<value_float>(0.0))[name] = print;
  }
  for (const value& of :
       {value(mk_val<value_int>(0)), value(mk_val<value_float>(0.0)),
        value(mk_val<value_bool>(false)), value(mk_val<value_string>()),
        value(mk_val<value_array>()), value(mk_val<value_object>()), value(mk_val<value_none>())})
    Table(*of)["tojson"] = ToJsonFilter;
}

}  // namespace

void InstallTemplateBuiltins() {
  static std::once_flag once;
  std::call_once(once, Install);
}

}  // namespace nextgate::gateway
