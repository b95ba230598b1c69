#include "engine/tokenizer/tokenizer_sax.h"

#include <fmt/format.h>

#include <algorithm>

namespace nextgate::engine {

void MergeTexts::Add(std::string_view part) {
  arena_ += part;
  ends_.push_back(static_cast<uint32_t>(arena_.size()));
}

std::string_view MergeTexts::Part(size_t i) const {
  const uint32_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(arena_).substr(begin, ends_[i] - begin);
}

bool TokenizerSax::Fail(std::string why) {
  if (error_.empty()) error_ = std::move(why);
  return false;
}

bool TokenizerSax::IsModelField(std::string_view name) const {
  return open_.size() == 2 && open_[0].second == "model" && open_[1].second == name;
}

TokenizerSax::json* TokenizerSax::Place(json value) {
  if (open_.empty()) {
    document = std::move(value);
    return &document;
  }
  json& container = *open_.back().first;
  if (container.is_array()) {
    container.push_back(std::move(value));
    return &container.back();
  }
  json& slot = container[open_.back().second];
  slot = std::move(value);
  return &slot;
}

bool TokenizerSax::Start(json container) {
  if (where_ == Where::kVocab)
    return Fail(fmt::format("model.vocab: \"{}\" is not a number", token_));
  if (where_ == Where::kPieces || where_ == Where::kPiece) return NoPiece();
  if (where_ != Where::kDocument)
    return Fail(fmt::format("model.merges[{}] is neither \"a b\" nor [\"a\", \"b\"]",
                            merges.num_parts() / 2));
  if (open_.size() == kDepthMax) return Fail(fmt::format("nested deeper than {}", kDepthMax));
  open_.emplace_back(Place(std::move(container)), "");
  return true;
}

bool TokenizerSax::start_object(size_t) {
  if (where_ == Where::kDocument && IsModelField("vocab")) {
    if (has_vocab || has_pieces) return Fail("model.vocab comes twice");
    has_vocab = true;
    where_ = Where::kVocab;
    return true;
  }
  return Start(json::object());
}

bool TokenizerSax::start_array(size_t) {
  if (where_ == Where::kDocument && IsModelField("vocab")) {
    if (has_vocab || has_pieces) return Fail("model.vocab comes twice");
    has_pieces = true;
    where_ = Where::kPieces;
    return true;
  }
  if (where_ == Where::kPieces) {
    where_ = Where::kPiece;
    pair_begin_ = vocab.size();
    return true;
  }
  if (where_ == Where::kDocument && IsModelField("merges")) {
    if (has_merges) return Fail("model.merges comes twice");
    has_merges = true;
    where_ = Where::kMerges;
    return true;
  }
  if (where_ == Where::kMerges) {
    where_ = Where::kPair;
    pair_begin_ = merges.num_parts();
    return true;
  }
  return Start(json::array());
}

bool TokenizerSax::End() {
  if (where_ == Where::kPair) {
    if (merges.num_parts() != pair_begin_ + 2)
      return Fail(fmt::format("model.merges[{}] has {} parts, expected 2", pair_begin_ / 2,
                              merges.num_parts() - pair_begin_));
    where_ = Where::kMerges;
  } else if (where_ == Where::kPiece) {
    if (vocab.size() != pair_begin_ + 1 || scores.size() != vocab.size()) return NoPiece();
    where_ = Where::kPieces;
  } else if (where_ != Where::kDocument) {
    where_ = Where::kDocument;
  } else {
    open_.pop_back();
  }
  return true;
}

bool TokenizerSax::key(std::string& name) {
  (where_ == Where::kVocab ? token_ : open_.back().second) = name;
  return true;
}

bool TokenizerSax::string(std::string& value) {
  if (where_ == Where::kPair) {
    merges.Add(value);
    return true;
  }
  if (where_ == Where::kPiece) {
    if (vocab.size() != pair_begin_) return NoPiece();
    vocab.push_back({std::move(value), static_cast<int64_t>(vocab.size())});
    return true;
  }
  if (where_ != Where::kMerges) return Scalar(std::move(value));
  const size_t space = value.find(' ');
  if (space == std::string::npos || value.find(' ', space + 1) != std::string::npos)
    return Fail(fmt::format("model.merges[{}] is \"{}\", expected two parts with one space",
                            merges.num_parts() / 2, value));
  merges.Add(std::string_view(value).substr(0, space));
  merges.Add(std::string_view(value).substr(space + 1));
  return true;
}

bool TokenizerSax::number_unsigned(uint64_t value) {
  if (where_ == Where::kPiece) return Score(static_cast<double>(value));
  if (where_ != Where::kVocab) return Scalar(value);
  return Number(static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX)));
}

bool TokenizerSax::Score(double value) {
  if (vocab.size() != scores.size() + 1) return NoPiece();
  scores.push_back(value);
  return true;
}

bool TokenizerSax::NoPiece() {
  const size_t index = where_ == Where::kPiece ? pair_begin_ : vocab.size();
  return Fail(fmt::format("model.vocab[{}] is not [\"spelling\", score]", index));
}

bool TokenizerSax::Number(int64_t value) {
  if (where_ == Where::kPiece) return Score(static_cast<double>(value));
  if (where_ != Where::kVocab) return Scalar(value);
  vocab.push_back({token_, value});
  return true;
}

bool TokenizerSax::Scalar(json value) {
  if (where_ == Where::kVocab)
    return Fail(fmt::format("model.vocab: the id of \"{}\" is not an integer", token_));
  if (where_ == Where::kPieces || where_ == Where::kPiece) return NoPiece();
  if (where_ != Where::kDocument)
    return Fail(fmt::format("model.merges[{}] is neither \"a b\" nor [\"a\", \"b\"]",
                            merges.num_parts() / 2));
  Place(std::move(value));
  return true;
}

bool TokenizerSax::parse_error(size_t position, const std::string&, const json::exception& error) {
  return Fail(fmt::format("not JSON at byte {}: {}", position, error.what()));
}

}  // namespace nextgate::engine
