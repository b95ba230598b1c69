#include "engine/tokenizer/unicode.h"

#include <algorithm>
#include <array>
#include <span>
#include <tuple>
#include <vector>

#include "base/check.h"
#include "engine/tokenizer/unicode_tables.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

constexpr uint32_t kScalarsEnd = 0x110000;
constexpr uint32_t kPageSize = 256;

// Hangul syllables are composed by arithmetic (Unicode 3.12).
constexpr uint32_t kSBase = 0xAC00, kLBase = 0x1100, kVBase = 0x1161, kTBase = 0x11A7;
constexpr uint32_t kLCount = 19, kVCount = 21, kTCount = 28, kSCount = kLCount * kVCount * kTCount;

struct Property {
  uint8_t combining_class = 0;
  uint8_t kind : 2 = 0;
  uint8_t may_change : 1 =
      0;  // NFC_Quick_Check is not Yes: decomposes, or composes with what precedes
  bool operator==(const Property&) const = default;
};

struct Composition {
  uint32_t first, second, composite;
  auto Key() const { return std::tie(first, second); }
};

// A two-stage table: most pages of 256 scalars are equal, so it is about 100 KB instead of 2 MB.
class Tables {
 public:
  Tables() {
    std::vector<Property> flat(kScalarsEnd);
    for (const UnicodeRange& range : std::span(kKindRanges, kKindRangesCount))
      for (uint32_t c = range.first; c <= range.last; ++c)
        flat[c].kind = static_cast<uint8_t>(range.value) & 3;
    for (const UnicodeRange& range : std::span(kCombiningRanges, kCombiningRangesCount))
      for (uint32_t c = range.first; c <= range.last; ++c)
        flat[c].combining_class = static_cast<uint8_t>(range.value);
    for (const UnicodeDecomposition& step : std::span(kDecompositions, kDecompositionsCount)) {
      if (step.composes) {
        compositions_.push_back({step.first, step.second, step.composite});
        flat[step.second].may_change = 1;
      } else {
        flat[step.composite].may_change = 1;
      }
    }
    for (uint32_t i = 0; i < kVCount; ++i) flat[kVBase + i].may_change = 1;
    for (uint32_t i = 1; i < kTCount; ++i) flat[kTBase + i].may_change = 1;
    std::ranges::sort(compositions_, {}, [](const Composition& c) { return c.Key(); });
    Fold(flat);
  }

  const Property& Of(uint32_t c) const { return pages_[page_of_[c / kPageSize]][c % kPageSize]; }

  // The scalar that `first` and `second` compose to, or 0.
  uint32_t Compose(uint32_t first, uint32_t second) const {
    if (first - kLBase < kLCount && second - kVBase < kVCount)
      return kSBase + ((first - kLBase) * kVCount + (second - kVBase)) * kTCount;
    if (first - kSBase < kSCount && (first - kSBase) % kTCount == 0 && second > kTBase &&
        second - kTBase < kTCount)
      return first + (second - kTBase);
    const Composition wanted{first, second, 0};
    const auto at = std::ranges::lower_bound(compositions_, wanted.Key(), {},
                                             [](const Composition& c) { return c.Key(); });
    if (at == compositions_.end() || at->Key() != wanted.Key()) return 0;
    return at->composite;
  }

  void Decompose(uint32_t c, std::vector<uint32_t>* out) const {
    if (c - kSBase < kSCount) {
      const uint32_t s = c - kSBase;
      out->push_back(kLBase + s / (kVCount * kTCount));
      out->push_back(kVBase + s % (kVCount * kTCount) / kTCount);
      if (s % kTCount) out->push_back(kTBase + s % kTCount);
      return;
    }
    const std::span steps(kDecompositions, kDecompositionsCount);
    const auto at = std::ranges::lower_bound(steps, c, {}, &UnicodeDecomposition::composite);
    if (at == steps.end() || at->composite != c) {
      out->push_back(c);
      return;
    }
    Decompose(at->first, out);
    if (at->second) Decompose(at->second, out);
  }

 private:
  using Page = std::array<Property, kPageSize>;

  void Fold(const std::vector<Property>& flat) {
    for (uint32_t base = 0; base < kScalarsEnd; base += kPageSize) {
      Page page;
      std::copy_n(flat.begin() + base, kPageSize, page.begin());
      // The last pages that came are the likeliest twins; there are about 250 different ones.
      const auto twin = std::find(pages_.rbegin(), pages_.rend(), page);
      const size_t idx = twin == pages_.rend() ? pages_.size() : pages_.rend() - twin - 1;
      if (idx == pages_.size()) pages_.push_back(page);
      page_of_[base / kPageSize] = static_cast<uint16_t>(idx);
    }
  }

  std::vector<Composition> compositions_;
  std::vector<Page> pages_;
  std::array<uint16_t, kScalarsEnd / kPageSize> page_of_;
};

const Tables& Unicode() {
  static const Tables tables;
  return tables;
}

// Marks between two starters go in the order of their classes; equal ones stay as they came.
void OrderMarks(std::vector<uint32_t>* text) {
  const Tables& unicode = Unicode();
  const auto class_of = [&](uint32_t c) { return unicode.Of(c).combining_class; };
  for (auto at = text->begin(); at != text->end();) {
    const auto end = std::find_if(at, text->end(), [&](uint32_t c) { return class_of(c) == 0; });
    if (end - at > 1) std::ranges::stable_sort(at, end, {}, class_of);
    at = end == text->end() ? end : end + 1;
  }
}

// The canonical composition algorithm: a mark joins the last starter unless a mark of its own class
// or a higher one stands between them.
void ComposeInPlace(std::vector<uint32_t>* text) {
  const Tables& unicode = Unicode();
  constexpr size_t kNone = SIZE_MAX;
  size_t out = 0;
  size_t starter = kNone;
  int last_class = 0;  // of the last scalar kept after the starter; 0: none is
  for (const uint32_t c : *text) {
    const int c_class = unicode.Of(c).combining_class;
    const bool adjacent = starter != kNone && out == starter + 1;
    if (starter != kNone && (adjacent || last_class < c_class)) {
      if (const uint32_t composite = unicode.Compose((*text)[starter], c)) {
        (*text)[starter] = composite;
        continue;
      }
    }
    if (c_class == 0) starter = out;
    last_class = c_class;
    (*text)[out++] = c;
  }
  text->resize(out);
}

std::vector<uint32_t> Decomposed(std::string_view text) {
  std::vector<uint32_t> scalars;
  scalars.reserve(text.size());
  for (size_t at = 0; at < text.size();) Unicode().Decompose(NextScalar(text, &at), &scalars);
  OrderMarks(&scalars);
  return scalars;
}

std::string AsUtf8(const std::vector<uint32_t>& scalars) {
  std::string out;
  out.reserve(scalars.size());
  for (const uint32_t c : scalars) AppendUtf8(c, &out);
  return out;
}

}  // namespace

CharKind KindOf(uint32_t scalar) { return static_cast<CharKind>(Unicode().Of(scalar).kind); }

bool IsCertainlyNfc(std::string_view text) {
  const Tables& unicode = Unicode();
  int last_class = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t ascii = AsciiPrefix(text.substr(at));
    if (ascii > 0) {
      at += ascii;
      last_class = 0;
      continue;
    }
    const Property& property = unicode.Of(NextScalar(text, &at));
    if (property.may_change) return false;
    if (property.combining_class != 0 && property.combining_class < last_class) return false;
    last_class = property.combining_class;
  }
  return true;
}

std::string NormalizeNfc(std::string_view text) {
  std::vector<uint32_t> scalars = Decomposed(text);
  ComposeInPlace(&scalars);
  return AsUtf8(scalars);
}

std::string NormalizeNfd(std::string_view text) { return AsUtf8(Decomposed(text)); }

}  // namespace nextgate::engine
