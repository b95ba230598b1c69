#include "cache/semantic/question_analyser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace nextgate::cache {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsInteger(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, IsDigit);
}

// Where the digits (and what joins them) of "5kg" end.
size_t DigitsEnd(std::string_view text) {
  size_t end = 0;
  while (end < text.size() &&
         (IsDigit(text[end]) || ((text[end] == '.' || text[end] == ':') && end + 1 < text.size() &&
                                 IsDigit(text[end + 1]))))
    ++end;
  return end;
}

// "1.5" times a power of ten, in digits; as it is if it would have to be rounded.
std::string Scale(std::string_view number, uint64_t factor) {
  size_t zeros = 0;
  for (; factor >= 10; factor /= 10) ++zeros;
  const size_t point = number.find('.');
  std::string digits(number.substr(0, point));
  std::string_view rest = point == std::string_view::npos ? "" : number.substr(point + 1);
  if (rest.find_first_not_of("0123456789") != std::string_view::npos) return std::string(number);
  while (zeros > 0) {
    digits.push_back(rest.empty() ? '0' : rest.front());
    if (!rest.empty()) rest.remove_prefix(1);
    --zeros;
  }
  return rest.empty() ? digits : digits + "." + std::string(rest);
}

}  // namespace

// The unit or currency at the next item, which is then taken; a factor was taken before.
std::string QuestionAnalyser::UnitAhead() {
  const QuestionItem* next = At(at_);
  if (next == nullptr) return {};
  if (next->kind == PieceKind::kHan && (next->text == "个" || next->text == "個")) {
    const std::string_view after = UnitOf(TextAt(at_ + 1));
    if (after.empty()) return {};
    at_ += 2;
    return std::string(after);
  }
  std::string_view unit = CurrencyOf(next->text);
  if (unit.empty()) unit = UnitOf(next->text);
  if (unit.empty()) return {};
  if (next->text == "in" || next->text == "do" || next->text == "a") return {};
  ++at_;
  return std::string(unit);
}

// `value` was read up to at_: with what follows it, and the currency before it.
void QuestionAnalyser::AddNumber(std::string value) {
  while (at_ < items_.size() && FactorWord(items_[at_].text) != 0) {
    value = Scale(value, FactorWord(items_[at_].text));
    ++at_;
  }
  const QuestionItem* next = At(at_);
  if (next != nullptr && next->kind == PieceKind::kHan && next->text == "月" && IsInteger(value) &&
      value.size() <= 2) {
    ++at_;
    out_.dates.push_back("m" + value);
    return;
  }
  std::string unit = UnitAhead();
  if (unit.empty() && !out_.numbers.empty() && out_.numbers.back().starts_with(' ')) {
    // "$5", "usd 5"
    unit = out_.numbers.back().substr(1);
    out_.numbers.pop_back();
  }
  out_.numbers.push_back(unit.empty() ? std::move(value) : value + " " + unit);
}

bool QuestionAnalyser::TakeNumber() {
  const QuestionItem& item = items_[at_];
  if (item.kind != PieceKind::kNumber) return false;
  const size_t end = DigitsEnd(item.text);
  std::string value = item.text.substr(0, end);
  const std::string rest = item.text.substr(end);
  ++at_;
  if (rest == "st" || rest == "nd" || rest == "rd" || rest == "th") {
    out_.numbers.push_back("#" + value);
  } else if (rest == "k") {
    AddNumber(Scale(value, 1000));
  } else if (rest.empty()) {
    AddNumber(std::move(value));
  } else if (!UnitOf(rest).empty() || !CurrencyOf(rest).empty()) {
    const std::string_view unit = UnitOf(rest).empty() ? CurrencyOf(rest) : UnitOf(rest);
    out_.numbers.push_back(value + " " + std::string(unit));
  } else {
    out_.numbers.push_back(item.text);  // "2fa", "1.2rc3"
  }
  return true;
}

// "two hundred and five", "twenty-one", 二十五. Chinese digits count before a unit or a factor only: most
// are parts of words.
bool QuestionAnalyser::TakeNumberWords() {
  const bool han = items_[at_].kind == PieceKind::kHan;
  size_t end = at_;
  uint64_t total = 0, current = 0;
  bool any = false, factor = false;
  std::string special;
  while (end < items_.size() && (items_[end].kind == PieceKind::kHan) == han) {
    const std::string_view text = items_[end].text;
    const std::string_view digits = NumberWord(text);
    uint64_t value = 0;
    const bool integer =
        IsInteger(digits) &&
        std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc{};
    if (const uint64_t f = FactorWord(text); f != 0) {
      if (!any && !han) break;
      factor = any = true;
      current = std::max<uint64_t>(current, 1);
      if (total > 1'000'000'000'000 || current > 1'000'000) break;
      if (f > 100 && !(han && f < 10000)) {
        total = (total + current) * f;
        current = 0;
      } else {
        // Of 二百五十 the factors belong to their own digits.
        const uint64_t low = han ? current % 10 : current;
        current = current - low + std::max<uint64_t>(low, 1) * f;
      }
    } else if (integer && current <= 1'000'000) {
      current += value;
      any = true;
    } else if (!digits.empty() && !any) {
      special = digits;
      ++end;
      break;
    } else if (!(text == "and" && factor && !NumberWord(TextAt(end + 1)).empty() && !han)) {
      break;
    }
    ++end;
  }
  if (end == at_) return false;
  const std::string_view next = TextAt(end);
  if (special == "#2" && Among(std::array<std::string_view, 3>{"a", "per", "each"}, Before()))
    return false;  // "per second"
  if (han && special.empty() && !factor && UnitOf(next).empty() && CurrencyOf(next).empty() &&
      next != "个" && next != "次" && next != "号" && next != "位" && next != "张" &&
      next != "岁" && next != "月" && next != "点" && next != "条" && next != "只" &&
      next != "件" && next != "种" && next != "名" && next != "人")
    return false;
  if (han && factor && end == at_ + 1 && UnitOf(next).empty() && CurrencyOf(next).empty())
    return false;
  at_ = end;
  if (special.starts_with('#'))
    out_.numbers.push_back(special);
  else
    AddNumber(special.empty() ? std::to_string(total + current) : special);
  return true;
}

// REQUIRES: at_ is behind it.
void QuestionAnalyser::AddCurrency(std::string_view code) {
  out_.numbers.push_back(" " + std::string(code));
  const Closed near = ClosedOf(Before(1)), far = ClosedOf(Before(2));  // "into AUD", "into my AUD"
  const auto direction = [](Closed c) { return c == Closed::kFrom || c == Closed::kTo; };
  const Closed role = direction(near) ? near : direction(far) ? far : Closed::kNone;
  if (role != Closed::kNone) out_.exchanges.emplace_back(code, role);
}

bool QuestionAnalyser::TakeCurrency() {
  const QuestionItem& item = items_[at_];
  // A unit of one letter or a word of its own counts after a number only.
  if (item.text == "one" || item.text == "a" || item.text == "an" || item.text == "一个") {
    const std::string_view next = TextAt(at_ + 1);
    const bool unit = !UnitOf(next).empty() && next != "in" && next.size() > 2;
    if (item.text != "one" || (!unit && FactorWord(next) == 0 && CurrencyOf(next).empty())) {
      if (FactorWord(next) == 0) return false;
    }
    ++at_;
    AddNumber("1");
    return true;
  }
  if (item.kind == PieceKind::kSign) {
    const std::string_view currency = CurrencyOf(item.text);
    ++at_;
    if (!currency.empty()) {
      AddCurrency(currency);
    } else if (item.text != "&") {
      out_.numbers.push_back(item.text);
    }
    return true;
  }
  const std::string_view currency = CurrencyOf(item.text);
  if (currency.empty()) return false;
  if (item.text == "块" || item.text == "元" || item.text == "try" || item.text == "won")
    return false;
  ++at_;
  AddCurrency(currency);
  return true;
}

bool QuestionAnalyser::TakeDate() {
  const QuestionItem& item = items_[at_];
  const std::string_view date = DateOf(item.text);
  if (date.empty()) return false;
  if (IsDoubtfulDate(item.text)) {
    static constexpr std::string_view kBeforeDate[] = {"in",    "on",   "of",    "since", "until",
                                                       "by",    "next", "last",  "this",  "from",
                                                       "early", "late", "every", "till",  "during"};
    const QuestionItem* next = At(at_ + 1);
    const bool number = (next != nullptr && next->kind == PieceKind::kNumber) ||
                        (at_ > 0 && items_[at_ - 1].kind == PieceKind::kNumber);
    static constexpr std::string_view kPersons[] = {"i", "we", "he", "she", "they", "you", "it"};
    if (item.text == "may" && Among(kPersons, TextAt(at_ + 1))) return false;
    const bool capital = !no_case_ && item.capital && !item.first;
    if (!number && !capital && !Among(kBeforeDate, Before())) return false;
  }
  ++at_;
  out_.dates.emplace_back(date);
  return true;
}

}  // namespace nextgate::cache
