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
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_.notify_one();
  thread_.join();
}

Result<std::vector<cache::Embedding>> EncoderEmbedder::Embed(std::span<const std::string> texts,
                                                             Deadline deadline) {
  auto job = std::make_shared<Job>();
  job->texts.assign(texts.begin(), texts.end());
  job->deadline = deadline;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kWaitingMax)
      return MakeError(ErrorCode::kResourceExhausted, "too many texts wait to be embedded");
    waiting_.emplace(deadline, job);
  }
  work_.notify_one();
  std::unique_lock lock(job->mutex);
  const auto done = [&] { return job->result.has_value(); };
  if (deadline == Deadline::max()) {
    job->ready.wait(lock, done);
  } else if (!job->ready.wait_until(lock, deadline, done)) {
    return TooLate();
  }
  return std::move(*job->result);
}

size_t EncoderEmbedder::num_waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

std::shared_ptr<EncoderEmbedder::Job> EncoderEmbedder::Next() {
  std::unique_lock lock(mutex_);
  work_.wait(lock, [&] { return closing_ || !waiting_.empty(); });
  if (waiting_.empty()) return nullptr;
  return waiting_.extract(waiting_.begin()).mapped();
}

void EncoderEmbedder::Work() {
  while (const std::shared_ptr<Job> job = Next()) {
    Result<std::vector<cache::Embedding>> result = Compute(*job);
    {
      const std::lock_guard lock(job->mutex);
      job->result = std::move(result);
    }
    job->ready.notify_one();
  }
}

Result<std::vector<cache::Embedding>> EncoderEmbedder::Compute(const Job& job) {
  ASSIGN_OR_RETURN(auto encoded, encoder_->Encode(job.texts, job.deadline));
  std::vector<cache::Embedding> embeddings;
  for (engine::SentenceEmbedding& one : encoded) {
    MakeUnit(one.values);
    embeddings.push_back(
        {std::move(one.values), one.num_tokens, one.num_unknown, one.truncated, one.num_spelled});
  }
  return embeddings;
}

}  // namespace nextgate::gateway
