// The sentence encoder's readers: texts through the tokenizers, tokenizer.json and the charsmap in it,
// the files that say how texts are embedded.
#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/encoder/charsmap.h"
#include "engine/encoder/encoder_config.h"
#include "engine/encoder/text_tokenizer.h"
#include "engine/tokenizer/utf8.h"
#include "tests/fuzz/targets.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::testing {
namespace {

namespace fs = std::filesystem;
using engine::TextIds;
using engine::TextTokenizer;

const fs::path kGoldens = NEXTGATE_SOURCE_DIR "/tests/golden/data/encoder";
const fs::path kSmall = kGoldens / "small";

// What stands between the special tokens of all that the text gives.
std::vector<int32_t> Inner(const TextTokenizer& tokenizer, std::string_view text, size_t before) {
  std::vector<int32_t> ids = tokenizer.Encode(text, INT32_MAX).ids;
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(before));
  ids.resize(ids.size() - (static_cast<size_t>(tokenizer.num_special()) - before));
  return ids;
}

void CheckIds(const TextTokenizer& tokenizer, std::string_view text, int64_t room) {
  const TextIds whole = tokenizer.Encode(text, INT32_MAX);
  CHECK(!whole.truncated && whole.num_unknown <= static_cast<int64_t>(whole.ids.size()));
  for (const int32_t id : whole.ids) CHECK(id >= 0 && id < tokenizer.size());
  const TextIds cut = tokenizer.Encode(text, tokenizer.num_special() + room);
  const auto kept =
      std::min(static_cast<int64_t>(whole.ids.size()), tokenizer.num_special() + room);
  CHECK(static_cast<int64_t>(cut.ids.size()) == kept);
  CHECK(cut.truncated == (kept < static_cast<int64_t>(whole.ids.size())));
  // What is cut is the end.
  const auto inner = static_cast<std::ptrdiff_t>(kept - tokenizer.num_special());
  CHECK(std::equal(cut.ids.begin(), cut.ids.begin() + inner, whole.ids.begin()));
}

void FuzzText(std::string_view text) {
  static const auto small = TextTokenizer::Open(kSmall);
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

void FuzzUnigramText(const TextTokenizer& tokenizer, std::string_view text) {
  const auto room = static_cast<int64_t>(TakeChoice(text, 64));
  CheckIds(tokenizer, text, room);
}

void FuzzCharsmap(std::string_view input) {
  const auto map = engine::Charsmap::Parse(input);
  if (!map) {
    CHECK(map.error().code == ErrorCode::kDataLoss && !map.error().message.empty());
    return;
  }
  std::string text, again;
  engine::AppendValidUtf8(input, /*whole=*/true, &text);
  for (const std::string& some : {text, std::string("ﬁx e\u0301 好 A\u0301\u0301\u0301 B ½…")}) {
    const std::string out = map->Normalize(some);
    again.clear();
    engine::AppendValidUtf8(out, /*whole=*/true, &again);
    CHECK(again == out);
  }
  if (map->keeps_ascii()) CHECK(map->Normalize("Do it!") == "Do it!");
}

void FuzzTokenizerJson(std::string_view input) {
  auto parts = engine::ParseTextTokenizerJson(std::string(input), "tokenizer.json");
  if (!parts) {
    CHECK(parts.error().message.starts_with("tokenizer.json: "));
    return;
  }
  CheckIds(TextTokenizer(std::move(*parts)), "How do I reset 好 my pass\u0301word? [SEP] </s>", 5);
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
  const size_t choice = TakeChoice(input, scratches.size() + 5);
  if (choice == 0) return FuzzText(input);
  if (choice == 1) return FuzzTokenizerJson(input);
  static const auto e5 = TextTokenizer::Open(kGoldens / "e5");
  static const auto xlmr = TextTokenizer::Open(kGoldens / "xlmr");
  CHECK(e5.has_value() && xlmr.has_value());
  if (choice == scratches.size() + 2) return FuzzUnigramText(**e5, input);
  if (choice == scratches.size() + 3) return FuzzUnigramText(**xlmr, input);
  if (choice == scratches.size() + 4) return FuzzCharsmap(input);
  FuzzDirectory(scratches[choice - 2].With(input));
}

}  // namespace nextgate::testing
