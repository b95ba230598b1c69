// The sentence encoder's readers: texts through WordPiece, tokenizer.json, the files that say how
// texts are embedded.
#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/encoder/encoder_config.h"
#include "engine/encoder/wordpiece.h"
#include "tests/fuzz/targets.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::testing {
namespace {

namespace fs = std::filesystem;
using engine::WordPiece;
using engine::WordPieceIds;

const fs::path kSmall = NEXTGATE_SOURCE_DIR "/tests/golden/data/encoder/small";

// What stands between the special tokens of all that the text gives.
std::vector<int32_t> Inner(const WordPiece& wordpiece, std::string_view text, size_t before) {
  std::vector<int32_t> ids = wordpiece.Encode(text, INT32_MAX).ids;
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(before));
  ids.resize(ids.size() - (static_cast<size_t>(wordpiece.num_special()) - before));
  return ids;
}

void CheckIds(const WordPiece& wordpiece, std::string_view text, int64_t room) {
  const WordPieceIds whole = wordpiece.Encode(text, INT32_MAX);
  CHECK(!whole.truncated && whole.num_unknown <= static_cast<int64_t>(whole.ids.size()));
  for (const int32_t id : whole.ids) CHECK(id >= 0 && id < wordpiece.size());
  const WordPieceIds cut = wordpiece.Encode(text, wordpiece.num_special() + room);
  const auto kept =
      std::min(static_cast<int64_t>(whole.ids.size()), wordpiece.num_special() + room);
  CHECK(static_cast<int64_t>(cut.ids.size()) == kept);
  CHECK(cut.truncated == (kept < static_cast<int64_t>(whole.ids.size())));
}

void FuzzText(std::string_view text) {
  static const auto small = WordPiece::Open(kSmall);
  CHECK(small.has_value());
  const auto room = static_cast<int64_t>(TakeChoice(text, 64));
  CheckIds(**small, text, room);
  // A space divides what has nothing to do with each other; the small model has one token before.
  const size_t middle = text.find(' ', text.size() / 2);
  if (middle == std::string_view::npos) return;
  std::vector<int32_t> parts = Inner(**small, text.substr(0, middle), 1);
  const std::vector<int32_t> second = Inner(**small, text.substr(middle), 1);
  parts.insert(parts.end(), second.begin(), second.end());
  CHECK(parts == Inner(**small, text, 1));
}

void FuzzTokenizerJson(std::string_view input) {
  auto parts = engine::ParseWordPieceJson(std::string(input), "tokenizer.json");
  if (!parts) {
    CHECK(parts.error().message.starts_with("tokenizer.json: "));
    return;
  }
  CheckIds(WordPiece(std::move(*parts)), "How do I reset 好 my pass\u0301word? [SEP] </s>", 5);
}

// A copy of the small model's directory for each file that is fuzzed: in it, only that one changes.
class Scratch {
 public:
  explicit Scratch(std::string file) : file_(std::move(file)) {
    fs::copy(kSmall, dir_.path(), fs::copy_options::recursive);
  }
  std::string With(std::string_view contents) const {
    WriteText(dir_ / file_, std::string(contents));
    return dir_.path();
  }

 private:
  TempDir dir_;
  std::string file_;
};

void FuzzDirectory(const std::string& dir) {
  const auto config = engine::ReadEncoderConfig(dir);
  if (!config) {
    CHECK(!config.error().message.empty());
    return;
  }
  CHECK(config->tokens_max > 0 && config->tokens_max <= config->bert.max_position_embeddings);
  CHECK(config->bert.hidden_size % config->bert.num_attention_heads == 0);
  CHECK(config->transformer_dir.starts_with(dir));
  CHECK(config->transformer_dir.find("..") == std::string::npos);
}

}  // namespace

void FuzzEncoder(std::string_view input) {
  static const std::array<Scratch, 5> scratches = {
      Scratch("modules.json"), Scratch("config.json"), Scratch("1_Pooling/config.json"),
      Scratch("sentence_bert_config.json"), Scratch("config_sentence_transformers.json")};
  const size_t choice = TakeChoice(input, scratches.size() + 2);
  if (choice == 0) return FuzzText(input);
  if (choice == 1) return FuzzTokenizerJson(input);
  FuzzDirectory(scratches[choice - 2].With(input));
}

}  // namespace nextgate::testing
