#include "gateway/encoder_embedder.h"

#include <pthread.h>

#include <chrono>
#include <cmath>
#include <utility>

namespace nextgate::gateway {
namespace {

// What a directory without a Normalize module leaves as it is; zero stays zero.
void MakeUnit(std::vector<float>& values) {
  double squares = 0;
  for (const float x : values) squares += static_cast<double>(x) * x;
  if (squares == 0) return;
  for (float& x : values) x = static_cast<float>(x / std::sqrt(squares));
}

std::unexpected<Error> TooLate() {
  return MakeError(ErrorCode::kDeadlineExceeded, "the embedding was not there in time");
}

}  // namespace

EncoderEmbedder::EncoderEmbedder(std::string id, std::unique_ptr<engine::SentenceEncoder> encoder)
    : info_{std::move(id), encoder->fingerprint(), encoder->dimension()},
      encoder_(std::move(encoder)),
      thread_([this] { Work(); }) {
  pthread_setname_np(thread_.native_handle(), "embedder");
}

EncoderEmbedder::~EncoderEmbedder() {
  queue_.Close();
  thread_.join();
}

Result<std::vector<cache::Embedding>> EncoderEmbedder::Embed(std::span<const std::string> texts,
                                                             Deadline deadline) {
  auto job = std::make_shared<Job>();
  job->texts.assign(texts.begin(), texts.end());
  job->deadline = deadline;
  if (!queue_.TryPush(std::shared_ptr<Job>(job)))
    return MakeError(ErrorCode::kResourceExhausted, "too many texts wait to be embedded");
  std::unique_lock lock(job->mutex);
  if (!job->ready.wait_until(lock, deadline, [&] { return job->result.has_value(); }))
    return TooLate();
  return std::move(*job->result);
}

void EncoderEmbedder::Work() {
  while (true) {
    const auto job = queue_.Pop(std::chrono::seconds(1));
    if (!job && queue_.closed()) return;
    if (!job) continue;
    Result<std::vector<cache::Embedding>> result = Compute(**job);
    {
      std::lock_guard lock((*job)->mutex);
      (*job)->result = std::move(result);
    }
    (*job)->ready.notify_one();
  }
}

Result<std::vector<cache::Embedding>> EncoderEmbedder::Compute(const Job& job) {
  ASSIGN_OR_RETURN(auto encoded, encoder_->Encode(job.texts, job.deadline));
  std::vector<cache::Embedding> embeddings;
  for (engine::SentenceEmbedding& one : encoded) {
    MakeUnit(one.values);
    embeddings.push_back({std::move(one.values), one.num_tokens, one.num_unknown, one.truncated});
  }
  return embeddings;
}

}  // namespace nextgate::gateway
