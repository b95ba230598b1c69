#include "gateway/open_embedder.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "engine/encoder/sentence_encoder.h"
#include "gateway/encoder_embedder.h"
#include "gateway/upstream/embeddings_client.h"

namespace nextgate::gateway {
namespace {

constexpr std::string_view kMiniLm = "all-MiniLM-L6-v2";
constexpr std::chrono::seconds kProbeMax(2);

bool IsDirectory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

}  // namespace

Result<EmbeddingModel> FindEmbeddingModel(const std::string& name, const std::string& prefix) {
  if (IsDirectory(name)) {
    std::filesystem::path path = std::filesystem::path(name).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();  // it ended with a slash
    return EmbeddingModel{.dir = name, .id = path.filename().string()};
  }
  const bool known = name == "minilm" || name == kMiniLm ||
                     name == fmt::format("sentence-transformers/{}", kMiniLm);
  if (!known)
    return MakeError(ErrorCode::kNotFound,
                     fmt::format("--embedding-model {}: expected a directory, or minilm", name),
                     "embedding-model");
  std::string dir = prefix + "/share/minilm";
  if (!IsDirectory(dir))
    return MakeError(ErrorCode::kNotFound,
                     fmt::format("--embedding-model {}: there is no {}; scripts/models.sh minilm "
                                 "fetches it",
                                 name, dir),
                     "embedding-model");
  return EmbeddingModel{.dir = std::move(dir), .id = std::string(kMiniLm)};
}

std::string DepsPrefix() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  std::string prefix = variable("NEXTGATE_DEPS_PREFIX");
  if (!prefix.empty()) return prefix;
  const std::string caches = variable("XDG_CACHE_HOME");
  return (caches.empty() ? variable("HOME") + "/.cache" : caches) + "/nextgate/deps";
}

namespace {

Result<OpenedEmbedder> OpenModel(const ServeOptions& options) {
  ASSIGN_OR_RETURN(EmbeddingModel model, FindEmbeddingModel(options.embedding_model, DepsPrefix()));
  auto encoder = engine::SentenceEncoder::Open(model.dir, options.embedding_threads);
  if (!encoder)
    return MakeError(
        encoder.error().code,
        fmt::format("--embedding-model {}: {}", options.embedding_model, encoder.error().message),
        "embedding-model");
  OpenedEmbedder opened;
  opened.names = {model.id};
  if (options.embedding_model != model.id) opened.names.push_back(options.embedding_model);
  opened.questions = std::make_unique<EncoderEmbedder>(std::move(model.id), std::move(*encoder));
  return opened;
}

Result<OpenedEmbedder> OpenUrl(const ServeOptions& options) {
  const EmbeddingsClient::Options client = {.url = options.embedding_url,
                                            .model = options.embedding_url_model,
                                            .revision = options.embedding_revision,
                                            .dimension = options.embedding_dimension,
                                            .shorten = options.embedding_shorten,
                                            .api_key = options.embedding_api_key,
                                            .ca_file = options.embedding_tls_ca_file,
                                            .breaker = {}};
  OpenedEmbedder opened;
  ASSIGN_OR_RETURN(opened.questions, EmbeddingsClient::Open(client));
  ASSIGN_OR_RETURN(auto documents, EmbeddingsClient::Open(client));
  opened.hop = documents->hop();
  opened.documents = std::move(documents);
  opened.names = {options.embedding_url_model};
  const auto answer = opened.questions->Embed(std::vector<std::string>{"Does it answer?"},
                                              std::chrono::steady_clock::now() + kProbeMax);
  if (!answer)
    LogWarning("embedder={}: {}; nothing is found by meaning until it answers as it should",
               options.embedding_url, answer.error().message);
  return opened;
}

}  // namespace

Result<OpenedEmbedder> OpenEmbedder(const ServeOptions& options) {
  if (!options.embedding_model.empty()) return OpenModel(options);
  if (!options.embedding_url.empty()) return OpenUrl(options);
  return OpenedEmbedder{};
}

}  // namespace nextgate::gateway
