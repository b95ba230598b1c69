// Reads tokenizer.json in one pass: the vocabulary and the merges (nearly all of it) go straight
// into arrays, the rest becomes a small document. Only the readers of such a file use this:
// tokenizer_json.cc and engine/encoder/text_tokenizer_json.cc.
//
// Threads: one parse, one thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tokenizer/vocabulary.h"

namespace nextgate::engine {

// The parts of merges, two per merge, in one arena.
class MergeTexts {
 public:
  void Add(std::string_view part);
  size_t num_parts() const { return ends_.size(); }
  std::string_view Part(size_t i) const;

 private:
  std::string arena_;
  std::vector<uint32_t> ends_;
};

// nlohmann's SAX interface: every event returns false to stop; error() then says why.
class TokenizerSax {
 public:
  using json = nlohmann::json;

  bool null() { return Scalar(nullptr); }
  bool boolean(bool value) { return Scalar(value); }
  bool number_integer(int64_t value) { return Number(value); }
  bool number_unsigned(uint64_t value);
  bool number_float(double value, const std::string&) {
    return where_ == Where::kPiece ? Score(value) : Scalar(value);
  }
  bool string(std::string& value);
  bool binary(json::binary_t&) { return Fail("binary values are not JSON"); }
  bool start_object(size_t);
  bool end_object() { return End(); }
  bool start_array(size_t);
  bool end_array() { return End(); }
  bool key(std::string& name);
  bool parse_error(size_t position, const std::string& token, const json::exception& error);

  json document;  // without model.vocab and model.merges
  std::vector<Vocabulary::Entry> vocab;
  std::vector<double> scores;  // by id, where model.vocab is a list of [spelling, score]
  MergeTexts merges;
  bool has_vocab = false;   // model.vocab is an object
  bool has_pieces = false;  // model.vocab is a list
  bool has_merges = false;
  const std::string& error() const { return error_; }

 private:
  enum class Where { kDocument, kVocab, kPieces, kPiece, kMerges, kPair };
  static constexpr size_t kDepthMax = 64;

  bool Fail(std::string why);
  bool Start(json container);
  bool End();
  bool Number(int64_t value);
  bool Score(double value);
  bool NoPiece();  // says that model.vocab's next item is none
  bool Scalar(json value);
  json* Place(json value);
  bool IsModelField(std::string_view name) const;

  Where where_ = Where::kDocument;
  std::vector<std::pair<json*, std::string>> open_;  // containers, and the key that is being filled
  std::string token_;                                // the vocabulary's key
  size_t pair_begin_ = 0;
  std::string error_;
};

}  // namespace nextgate::engine
