#include "engine/encoder/text_tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "engine/encoder/added_segments.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

constexpr int64_t kTokenizerBytesMax = int64_t{64} << 20;

std::variant<WordPiece, Unigram> MakeModel(std::variant<WordPieceParts, UnigramParts> parts) {
  if (auto* wordpiece = std::get_if<WordPieceParts>(&parts))
    return WordPiece(std::move(*wordpiece));
  return Unigram(std::get<UnigramParts>(std::move(parts)));
}

}  // namespace

Result<std::unique_ptr<TextTokenizer>> TextTokenizer::Open(const std::string& dir) {
  const std::string path = dir + "/tokenizer.json";
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kTokenizerBytesMax));
  ASSIGN_OR_RETURN(TextTokenizerParts parts, ParseTextTokenizerJson(text, path));
  return std::make_unique<TextTokenizer>(std::move(parts));
}

TextTokenizer::TextTokenizer(TextTokenizerParts parts)
    : ids_end_(parts.ids_end),
      before_(std::move(parts.before)),
      behind_(std::move(parts.behind)),
      added_(std::move(parts.added)),
      model_(MakeModel(std::move(parts.model))) {}

TextIds TextTokenizer::Encode(std::string_view text, int64_t tokens_max) const {
  CHECK(tokens_max >= num_special());
  std::string valid;
  AppendValidUtf8(text, /*whole=*/true, &valid);
  // One more than there is room for tells that there is more.
  const size_t ids_max = static_cast<size_t>(tokens_max) - static_cast<size_t>(num_special()) + 1;
  TextIds out;
  AddedSegments segments(added_, valid);
  for (AddedSegment segment; out.ids.size() < ids_max && segments.Next(&segment);) {
    if (const auto* wordpiece = std::get_if<WordPiece>(&model_))
      wordpiece->Encode(segment.text, ids_max, &out.ids);
    else
      std::get<Unigram>(model_).Encode(segment.text, segment.at == 0, ids_max, &out.ids);
    if (segment.token != nullptr) out.ids.push_back(segment.token->id);
  }
  out.truncated = out.ids.size() >= ids_max;
  if (out.truncated) out.ids.resize(ids_max - 1);
  const int32_t unknown = std::visit([](const auto& model) { return model.unknown_id(); }, model_);
  out.num_unknown = std::ranges::count(out.ids, unknown);
  if (const auto* wordpiece = std::get_if<WordPiece>(&model_))
    out.num_spelled =
        std::ranges::count_if(out.ids, [&](int32_t id) { return wordpiece->OnlySpells(id); });
  out.ids.insert(out.ids.begin(), before_.begin(), before_.end());
  out.ids.insert(out.ids.end(), behind_.begin(), behind_.end());
  return out;
}

}  // namespace nextgate::engine
