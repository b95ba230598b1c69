#include "engine/tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <mutex>

#include "base/file.h"
#include "base/hash.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/segment_memo.h"
#include "engine/tokenizer/tokenizer_json.h"
#include "engine/tokenizer/unicode.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

constexpr size_t kMemoBytes = 8 << 20;
constexpr size_t kWordCachesMax = 4;
constexpr int64_t kFileBytesMax = int64_t{256} << 20;

// A few WordCaches that threads borrow for one Encode; who finds none goes without.
class WordCaches {
 public:
  class Loan {
   public:
    Loan(WordCaches& owner, std::unique_ptr<WordCache> cache)
        : owner_(owner), cache_(std::move(cache)) {}
    Loan(const Loan&) = delete;
    ~Loan() {
      if (cache_) owner_.GiveBack(std::move(cache_));
    }
    WordCache* get() const { return cache_.get(); }

   private:
    WordCaches& owner_;
    std::unique_ptr<WordCache> cache_;
  };

  Loan Borrow() {
    {
      std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        auto cache = std::move(idle_.back());
        idle_.pop_back();
        return {*this, std::move(cache)};
      }
      if (num_made_ == kWordCachesMax) return {*this, nullptr};
      ++num_made_;
    }
    return {*this, std::make_unique<WordCache>()};
  }

 private:
  void GiveBack(std::unique_ptr<WordCache> cache) {
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(cache));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> idle_;
  size_t num_made_ = 0;
};

// Which bytes of a text are the template's.
class TemplateMap {
 public:
  explicit TemplateMap(bool all) : all_(all) {}

  void Add(size_t end, bool is_template) {
    if (!runs_.empty() && runs_.back().is_template == is_template)
      runs_.back().end = end;
    else
      runs_.push_back({end, is_template});
  }
  // Whether any, or every, byte of [begin, end) is the template's.
  bool Any(size_t begin, size_t end) const { return Seek(begin, end, true); }
  bool All(size_t begin, size_t end) const { return !Seek(begin, end, false); }

 private:
  struct Run {
    size_t end;
    bool is_template;
  };
  // Whether a run marked `wanted` meets [begin, end).
  bool Seek(size_t begin, size_t end, bool wanted) const {
    if (runs_.empty()) return all_ == wanted;
    auto run = std::ranges::upper_bound(runs_, begin, {}, &Run::end);
    for (size_t from = begin; run != runs_.end() && from < end; from = run->end, ++run)
      if (run->is_template == wanted) return true;
    return false;
  }

  bool all_;
  std::vector<Run> runs_;  // none: the whole text is as `all_` says
};

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(TokenizerParts parts)
      : vocabulary_(std::move(parts.vocabulary)),
        bpe_(std::move(parts.bpe)),
        nfc_(parts.nfc),
        special_(vocabulary_.size(), false),
        raw_tokens_(Select(parts.added, false, parts.nfc)),
        normalized_tokens_(Select(parts.added, true, parts.nfc)) {
    for (const AddedToken& token : parts.added)
      if (token.special) special_[token.id] = true;
  }

  std::vector<int32_t> Encode(std::string_view text, bool recognise_special) const override {
    if (!FindInvalidUtf8(text)) return EncodeValid(text, TemplateMap(recognise_special));
    std::string valid;
    AppendValidUtf8(text, /*whole=*/true, &valid);
    return EncodeValid(valid, TemplateMap(recognise_special));
  }

  std::vector<int32_t> Encode(std::span<const TextPiece> pieces) const override {
    std::string text;
    TemplateMap map(true);
    for (const TextPiece& piece : pieces) {
      AppendValidUtf8(piece.text, /*whole=*/true, &text);
      map.Add(text.size(), piece.is_template);
    }
    return EncodeValid(text, map);
  }

  std::string Decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string bytes;
    for (const int32_t id : ids)
      if (!skip_special || !IsSpecial(id)) bytes += vocabulary_.Bytes(id);
    std::string text;
    text.reserve(bytes.size());
    AppendValidUtf8(bytes, /*whole=*/true, &text);
    return text;
  }

  std::string_view TokenBytes(int32_t id) const override { return vocabulary_.Bytes(id); }
  std::string_view TokenString(int32_t id) const override { return vocabulary_.Spelling(id); }
  std::optional<int32_t> TokenId(std::string_view token) const override {
    return vocabulary_.Find(token);
  }
  bool IsSpecial(int32_t id) const override {
    return id >= 0 && id < vocabulary_.size() && special_[id];
  }
  int32_t size() const override { return vocabulary_.size(); }

 private:
  static AddedTokenFinder Select(const std::vector<AddedToken>& all, bool normalized, bool nfc) {
    std::vector<AddedToken> chosen;
    for (const AddedToken& token : all) {
      if (token.normalized != normalized) continue;
      chosen.push_back(token);
      if (normalized && nfc) chosen.back().content = NormalizeNfc(token.content);
    }
    return AddedTokenFinder(std::move(chosen));
  }

  std::vector<int32_t> EncodeValid(std::string_view text, const TemplateMap& map) const {
    std::vector<int32_t> ids;
    ids.reserve(text.size() / 4 + 8);
    WordCaches::Loan cache = caches_.Borrow();
    size_t begin = 0, from = 0;
    while (true) {
      const AddedTokenFinder::Match match = raw_tokens_.Find(text, from);
      if (match.token == nullptr) break;
      const size_t end = match.at + match.token->content.size();
      if (match.token->special && !map.All(match.at, end)) {
        // Just text. One that reaches into the template must not hide a token that begins there.
        from = map.Any(match.at, end) ? match.at + 1 : end;
        continue;
      }
      EncodeSegment(text.substr(begin, match.at - begin), cache.get(), &ids);
      ids.push_back(match.token->id);
      begin = from = end;
    }
    EncodeSegment(text.substr(begin), cache.get(), &ids);
    return ids;
  }

  // What lies between two recognised added tokens.
  void EncodeSegment(std::string_view segment, WordCache* cache, std::vector<int32_t>* ids) const {
    if (segment.empty()) return;
    if (!memo_.Admits(segment.size())) return EncodeAnew(segment, cache, ids);
    const Hash128 hash = HashBytes(segment);
    if (memo_.Find(hash, segment, ids)) return;
    const size_t before = ids->size();
    EncodeAnew(segment, cache, ids);
    memo_.Insert(hash, segment, ids->data() + before, ids->size() - before);
  }

  void EncodeAnew(std::string_view segment, WordCache* cache, std::vector<int32_t>* ids) const {
    std::string normal;
    if (nfc_ && !IsCertainlyNfc(segment)) segment = normal = NormalizeNfc(segment);
    size_t begin = 0;
    while (true) {
      const AddedTokenFinder::Match match = normalized_tokens_.Find(segment, begin);
      if (match.token == nullptr) break;
      EncodeWords(segment.substr(begin, match.at - begin), cache, ids);
      ids->push_back(match.token->id);
      begin = match.at + match.token->content.size();
    }
    EncodeWords(segment.substr(begin), cache, ids);
  }

  void EncodeWords(std::string_view text, WordCache* cache, std::vector<int32_t>* ids) const {
    for (size_t at = 0; at < text.size();) {
      const size_t end = WordEnd(text, at);
      bpe_.EncodeWord(text.substr(at, end - at), cache, ids);
      at = end;
    }
  }

  const Vocabulary vocabulary_;
  const BpeModel bpe_;
  const bool nfc_;
  std::vector<bool> special_;
  const AddedTokenFinder raw_tokens_;
  const AddedTokenFinder normalized_tokens_;
  mutable WordCaches caches_;
  mutable SegmentMemo memo_{kMemoBytes};
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::Open(const std::string& dir) {
  const std::string path = (std::filesystem::path(dir) / "tokenizer.json").string();
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kFileBytesMax));
  ASSIGN_OR_RETURN(TokenizerParts parts, ParseTokenizerJson(text, path));
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace nextgate::engine
