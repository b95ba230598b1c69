#include "engine/encoder/sentence_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/hash.h"
#include "engine/model/fingerprint.h"

namespace nextgate::engine {
namespace {

constexpr double kNormMin = 1e-12;  // a shorter vector is not made longer than it is · 1e12

std::unexpected<Error> TooLate() {
  return MakeError(ErrorCode::kDeadlineExceeded, "the encoder was not done in time");
}

}  // namespace

Result<std::unique_ptr<SentenceEncoder>> SentenceEncoder::Open(const std::string& dir,
                                                               int threads) {
  ASSIGN_OR_RETURN(EncoderConfig config, ReadEncoderConfig(dir));
  ASSIGN_OR_RETURN(auto tokenizer, TextTokenizer::Open(config.transformer_dir));
  if (tokenizer->size() > config.bert.vocab_size)
    return DataLoss(
        fmt::format("{}: tokenizer.json has ids up to {}, config.json a vocab_size of {}",
                    config.transformer_dir, tokenizer->size() - 1, config.bert.vocab_size));
  // Without any an empty text would have no token; with too many a long one would have none.
  if (tokenizer->num_special() < 1 || tokenizer->num_special() >= config.tokens_max)
    return DataLoss(fmt::format("{}: expected 1 to {} special tokens around a text, got {}", dir,
                                config.tokens_max - 1, tokenizer->num_special()));
  ASSIGN_OR_RETURN(std::string files, Fingerprint(config.transformer_dir, "", false));
  const std::string fingerprint =
      HashBytes(fmt::format("encoder 1\n{}\n{} {} {}\n{}", files, config.tokens_max,
                            static_cast<int>(config.pooling), config.normalise, config.prompt))
          .Hex();
  ASSIGN_OR_RETURN(auto bert, Bert::Load(config.transformer_dir, config.bert,
                                         std::max(kPassTokens, config.tokens_max), threads));
  return std::unique_ptr<SentenceEncoder>(
      new SentenceEncoder(std::move(config), std::move(tokenizer), std::move(bert), fingerprint));
}

SentenceEncoder::SentenceEncoder(EncoderConfig config, std::unique_ptr<TextTokenizer> tokenizer,
                                 std::unique_ptr<Bert> bert, std::string fingerprint)
    : config_(std::move(config)),
      tokenizer_(std::move(tokenizer)),
      bert_(std::move(bert)),
      fingerprint_(std::move(fingerprint)) {}

Result<std::vector<SentenceEmbedding>> SentenceEncoder::Encode(std::span<const std::string> texts,
                                                               TimePoint deadline) {
  const auto late = [&] { return std::chrono::steady_clock::now() >= deadline; };
  std::vector<SentenceEmbedding> embeddings;
  std::vector<TextIds> encoded;
  for (const std::string& text : texts) {
    if (late()) return TooLate();
    encoded.push_back(tokenizer_->Encode(config_.prompt + text, config_.tokens_max));
  }
  std::unique_lock lock(mutex_, std::defer_lock);
  if (deadline == TimePoint::max())
    lock.lock();
  else if (!lock.try_lock_until(deadline))
    return TooLate();
  std::vector<int32_t> ids, ends;  // of the pass that is being put together
  for (size_t i = 0; i < encoded.size(); ++i) {
    ids.insert(ids.end(), encoded[i].ids.begin(), encoded[i].ids.end());
    ends.push_back(static_cast<int32_t>(ids.size()));
    if (i + 1 < encoded.size() &&
        static_cast<int64_t>(ids.size() + encoded[i + 1].ids.size()) <= bert_->tokens_max())
      continue;
    ASSIGN_OR_RETURN(const auto hidden, bert_->Forward(ids, ends, late));
    int32_t begin = 0;
    for (const int32_t end : ends) {
      const TextIds& text = encoded[embeddings.size()];
      ASSIGN_OR_RETURN(std::vector<float> values, Pool(hidden.Rows(begin, end - begin)));
      embeddings.push_back(
          {std::move(values), end - begin, text.num_unknown, text.truncated, text.num_spelled});
      begin = end;
    }
    ids.clear();
    ends.clear();
  }
  return embeddings;
}

// hidden: [L, H] of one text.
Result<std::vector<float>> SentenceEncoder::Pool(kernels::View<const float, 2> hidden) const {
  const int64_t rows = config_.pooling == Pooling::kCls ? 1 : hidden.shape[0];
  std::vector<double> sums(static_cast<size_t>(dimension()), 0.0);
  for (int64_t row = 0; row < rows; ++row)
    for (size_t h = 0; h < sums.size(); ++h) sums[h] += hidden.at(row)[h];
  double divisor = static_cast<double>(rows);
  double squares = 0;
  for (const double sum : sums) squares += (sum / divisor) * (sum / divisor);
  if (!std::isfinite(squares))
    return DataLoss("the encoder's weights make an embedding that is not finite");
  if (config_.normalise) divisor *= std::max(std::sqrt(squares), kNormMin);
  std::vector<float> values;
  values.reserve(sums.size());
  for (const double sum : sums) values.push_back(static_cast<float>(sum / divisor));
  return values;
}

}  // namespace nextgate::engine
