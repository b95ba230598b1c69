#include "gateway/app.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "base/cpu_quota.h"
#include "base/file.h"
#include "base/log.h"
#include "cache/memory_store.h"
#include "cache/semantic/embedding_memo.h"
#include "gateway/admin/dashboard/dashboard.h"
#include "gateway/admin/routes.h"
#include "gateway/hub.h"
#include "gateway/open_embedder.h"
#include "gateway/open_judge.h"
#include "gateway/routes.h"
#include "gateway/semantic_tier.h"
#include "gateway/signals.h"

namespace nextgate::gateway {
namespace {

using std::chrono::milliseconds;

// The parts of one server, in the order they are built; destroyed in reverse.
class App {
 public:
  static Result<std::unique_ptr<App>> Open(const ServeOptions& options,
                                           const std::vector<std::string>& args);

  int api_port() const { return api_->port(); }
  int admin_port() const { return admin_->port(); }

  admin::Reloader& reloader() { return *reloader_; }

  // Not ready → stop accepting → finish streams → deadline.
  void Shutdown();

 private:
  explicit App(const ServeOptions& options) : options_(options), effective_(options) {}
  Status OpenQuestionEmbedder();
  Status OpenModel();
  Result<std::string> OpenGenerationConfig();
  Status OpenUpstream();
  Status OpenCache();
  Status OpenKeys();
  Status OpenServers(const std::vector<std::string>& args);
  void OpenPipeline();
  void OpenEmbeddings();
  Status OpenApi();
  Status OpenAdmin(const std::vector<std::string>& args);
  Generator& generator() const {
    return upstream_ != nullptr ? static_cast<Generator&>(*upstream_) : *engine_generator_;
  }

  const ServeOptions& options_;
  ServeOptions effective_;  // with what was found out since
  std::string model_dir_;
  std::unique_ptr<engine::Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> template_;
  std::unique_ptr<PromptBuilder> prompts_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<EngineGenerator> engine_generator_;  // null, as all above, with upstreams
  std::unique_ptr<Upstream> upstream_;                 // null with a model
  std::unique_ptr<cache::EmbeddingMemo> embedder_;     // of questions; null: none is asked for
  OpenedEmbedder opened_embedder_;                     // what the one above has not taken
  openai::ParseLimits limits_;

  std::unique_ptr<cache::Keyring> keyring_;  // never null
  std::unique_ptr<cache::MemoryStore> store_;
  cache::Invalidations invalidations_;
  std::unique_ptr<cache::RedisClient> redis_;  // null, as the next five, without --cache-url
  std::unique_ptr<cache::RedisTail> tail_;
  std::unique_ptr<cache::InvalidationLog> invalidation_log_;  // never null
  std::unique_ptr<cache::EntryCodec> codec_;
  std::unique_ptr<cache::LiveCodec> live_codec_;
  std::unique_ptr<cache::RedisStore> shared_;
  std::unique_ptr<cache::SingleFlight> single_flight_;
  std::unique_ptr<cache::ExactCache> exact_;
  Flights flights_;  // before the writer, which holds flights until their answers are stored
  std::unique_ptr<cache::Writer> writer_;
  cache::CacheStats cache_stats_;
  std::unique_ptr<cache::RedisCatalogue> catalogue_;  // null without --cache-url
  OpenedJudge judge_;                                 // of answers, for the next
  std::unique_ptr<SemanticTier> semantic_;            // null without an embedder, or if it is off
  LiveRequests live_;  // before the keeper, who asks how many there are
  std::unique_ptr<cache::StatsKeeper> stats_keeper_;
  std::unique_ptr<cache::Partitioner> partitioner_;

  std::unique_ptr<Auth> auth_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<SharedLimits> shared_limits_;  // null without --cache-url or --api-key-file
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<Recorder> recorder_;
  std::vector<std::string>
      names_;  // what requests may call the model; the first is its id in answers
  std::unique_ptr<RequestReader> reader_;
  std::unique_ptr<SharedFlights> shared_flights_;  // null, too
  std::unique_ptr<ChatPipeline> pipeline_;
  std::unique_ptr<EmbeddingsEndpoint> embeddings_;  // null as embedder_ is
  std::unique_ptr<RouteContext> context_;
  admin::AdminKeyRing admin_keys_;
  std::unique_ptr<admin::Reloader> reloader_;
  std::unique_ptr<admin::AdminContext> admin_context_;
  std::atomic<bool> ready_ = false;
  std::unique_ptr<HttpServer> api_;
  std::unique_ptr<HttpServer> admin_;
};

Result<std::string> FindModel(const ServeOptions& options) {
  HubConfig config = HubConfigFromEnvironment();
  config.weights = options.load_format != "dummy";
  return ResolveModel(options.model, options.revision, config);
}

// Choices the engine lets wait. A request that meets a queue shorter than max_waiting_requests is taken
// whole, up to as many choices as one may ask for.
int32_t QueueCapacity(const ServeOptions& options) {
  constexpr int32_t kChoicesMax = 128;
  return options.max_waiting_requests + std::max(options.max_waiting_requests, kChoicesMax);
}

int AdminPort(const ServeOptions& options) {
  return options.admin_port.value_or(options.port == 0 ? 0 : options.port + 1);
}

cache::PolicySettings PolicyOf(const ServeOptions& o, bool has_embedder) {
  return {.enabled = o.enable_answer_cache,
          .cache_sampled = o.cache_sampled,
          .cache_tools = o.cache_tools,
          .cache_normalised = o.cache_normalised,
          .has_embedder = has_embedder,
          .semantic = o.cache_semantic,
          .semantic_by_route = {o.cache_semantic_route.begin(), o.cache_semantic_route.end()},
          .ttl_default_s = o.cache_ttl_s,
          .ttl_by_route_s = {o.cache_route_ttl_s.begin(), o.cache_route_ttl_s.end()},
          .ttl_max_s = o.cache_ttl_max_s,
          .short_ttl_s = o.cache_time_words_ttl_s,
          .prompt_bytes_min = o.cache_prompt_bytes_min,
          .prompt_bytes_max = o.cache_prompt_bytes_max};
}

// What who has no key of a file may do with the answer cache.
CacheRights KeylessRights(const ServeOptions& o) {
  if (o.cache_controls.empty()) return {};
  std::vector<std::string> rights = {"read", "write"};
  for (const std::string& control : o.cache_controls)
    if (control != "none") rights.push_back(control);
  return *ParseCacheRights(rights);  // the flag took no others
}

Status App::OpenQuestionEmbedder() {
  ASSIGN_OR_RETURN(opened_embedder_, OpenEmbedder(options_));
  if (opened_embedder_.questions == nullptr) return {};
  embedder_ = std::make_unique<cache::EmbeddingMemo>(std::move(opened_embedder_.questions));
  const cache::EmbedderInfo& info = embedder_->info();
  LogInfo("embedder={} revision={} dimension={}", info.id, info.revision, info.dimension);
  return {};
}

Status App::OpenModel() {
  if (options_.device == "cuda")
    return MakeError(ErrorCode::kUnimplemented,
                     "--device cuda: the CUDA engine is not built yet; use cpu or auto", "device");
  ASSIGN_OR_RETURN(model_dir_, FindModel(options_));
  ASSIGN_OR_RETURN(const std::string generation_dir, OpenGenerationConfig());
  ASSIGN_OR_RETURN(tokenizer_, engine::Tokenizer::Open(model_dir_));
  auto chat_template = ChatTemplate::Open(model_dir_, options_.chat_template);
  if (!chat_template &&
      (chat_template.error().code != ErrorCode::kNotFound || !options_.chat_template.empty()))
    return std::unexpected(chat_template.error());
  if (chat_template) {
    template_ = std::move(*chat_template);
  } else {
    LogWarning(
        "this checkpoint has no chat template: /v1/chat/completions will refuse, /v1/completions "
        "works");
  }
  prompts_ = std::make_unique<PromptBuilder>(*tokenizer_);
  ASSIGN_OR_RETURN(engine_,
                   engine::Engine::Open({.model_dir = model_dir_,
                                         .load_format = options_.load_format,
                                         .hf_overrides = options_.hf_overrides,
                                         .generation_config_dir = generation_dir,
                                         .max_model_len = options_.max_model_len,
                                         .max_num_seqs = options_.max_num_seqs,
                                         .max_num_batched_tokens = options_.max_num_batched_tokens,
                                         .enable_chunked_prefill = options_.enable_chunked_prefill,
                                         .memory_utilization = options_.gpu_memory_utilization,
                                         .num_threads = options_.num_threads,
                                         .seed = options_.seed,
                                         .queue_capacity = QueueCapacity(options_),
                                         .enable_prefix_caching = options_.enable_prefix_caching,
                                         .prefix_cache_fraction = options_.prefix_cache_fraction,
                                         .prefix_state_format = options_.prefix_state_format,
                                         .prefix_host_bytes = options_.prefix_host_bytes,
                                         .prefix_disk_dir = options_.prefix_disk_dir,
                                         .prefix_disk_bytes = options_.prefix_disk_bytes}));
  limits_.vocab_size = engine_->info().vocab_size;
  limits_.max_logprobs = options_.max_logprobs;
  limits_.max_messages = options_.max_messages;
  engine_generator_ = std::make_unique<EngineGenerator>(
      EngineGenerator::Parts{.engine = *engine_,
                             .tokenizer = *tokenizer_,
                             .chat_template = template_.get(),
                             .prompts = *prompts_,
                             .waiting_max = options_.max_waiting_requests,
                             .choices_max = QueueCapacity(options_)});
  return {};
}

Status App::OpenUpstream() {
  const auto seconds = [](int32_t s) { return milliseconds(int64_t{1000} * s); };
  ASSIGN_OR_RETURN(
      upstream_,
      Upstream::Open({.urls = options_.upstreams,
                      .model = options_.upstream_model,
                      .revision = options_.upstream_revision,
                      .api_key = options_.upstream_api_key,
                      .ca_file = options_.upstream_tls_ca_file,
                      .timeouts = {.connect = seconds(options_.upstream_connect_timeout_s),
                                   .first_byte = seconds(options_.upstream_first_byte_timeout_s),
                                   .idle = seconds(options_.upstream_idle_timeout_s),
                                   .total = seconds(options_.upstream_timeout_s)},
                      .retries = options_.upstream_retries}));
  return {};
}

// Before the weights, so that a wrong name is told at once. The directory whose eos tokens count, or
// nothing for the model's. As in vLLM a directory's max_new_tokens bounds every request.
Result<std::string> App::OpenGenerationConfig() {
  const std::string& named = options_.generation_config;
  if (named == "vllm") return "";
  if (named == "auto") {
    ASSIGN_OR_RETURN(limits_.defaults, engine::ReadGenerationDefaults(model_dir_));
    return "";
  }
  auto defaults = engine::ReadNamedGenerationDefaults(named);
  if (!defaults)
    return MakeError(defaults.error().code,
                     fmt::format("--generation-config {} (allowed: auto, vllm, or a directory)",
                                 defaults.error().message),
                     "generation-config");
  limits_.defaults = std::move(*defaults);
  limits_.max_tokens_bound = limits_.defaults.max_new_tokens;
  return named;
}

Status App::OpenCache() {
  const auto entry_bytes_max = static_cast<size_t>(options_.cache_entry_bytes_max);
  store_ = std::make_unique<cache::MemoryStore>(
      cache::MemoryStore::Options{.bytes_max = static_cast<size_t>(options_.cache_memory_bytes),
                                  .entry_bytes_max = entry_bytes_max});
  std::string secret = options_.cache_secret;
  keyring_ = std::make_unique<cache::Keyring>();
  if (!options_.cache_encryption_keys.empty()) {
    ASSIGN_OR_RETURN(const auto keys, cache::Keyring::ParseKeys(options_.cache_encryption_keys));
    keyring_ = std::make_unique<cache::Keyring>(keys);
  }
  if (options_.cache_url.empty()) {
    if (secret.empty()) secret = cache::Partitioner::RandomSecret();
  } else {
    ASSIGN_OR_RETURN(cache::RedisEndpoint endpoint, cache::ParseRedisUrl(options_.cache_url));
    endpoint.password = options_.cache_password;
    endpoint.ca_file = options_.cache_tls_ca_file;
    endpoint.key = fmt::format("{{{}}}:generation", options_.cache_namespace);
    redis_ =
        std::make_unique<cache::RedisClient>(cache::RedisClient::Options{.endpoint = endpoint});
    codec_ = std::make_unique<cache::EntryCodec>(secret, *keyring_);
    shared_ = std::make_unique<cache::RedisStore>(
        cache::RedisStore::Options{.name_space = options_.cache_namespace,
                                   .entry_bytes_max = entry_bytes_max},
        *redis_, *codec_);
    tail_ = std::make_unique<cache::RedisTail>(cache::RedisTail::Options{.endpoint = endpoint});
    live_codec_ = std::make_unique<cache::LiveCodec>(secret, *keyring_);
    single_flight_ = std::make_unique<cache::SingleFlight>(
        cache::SingleFlight::Options{.name_space = options_.cache_namespace,
                                     .live_bytes_max = entry_bytes_max},
        cache::SingleFlight::Services{*redis_, *tail_, *shared_, *live_codec_});
    catalogue_ =
        std::make_unique<cache::RedisCatalogue>(options_.cache_namespace, *redis_, *codec_);
    redis_->WaitAvailable(
        milliseconds(2000));  // says itself whether it is; serving does not need it
  }
  partitioner_ = std::make_unique<cache::Partitioner>(secret);
  invalidation_log_ = std::make_unique<cache::InvalidationLog>(
      cache::InvalidationLog::Options{
          .name_space = options_.cache_namespace,
          .max_stale = milliseconds(int64_t{1000} * options_.cache_max_stale_s),
          .keep = std::chrono::hours(options_.cache_ttl_max_s / 3600 + 25)},
      cache::InvalidationLog::Services{.invalidations = invalidations_,
                                       .store = *store_,
                                       .client = redis_.get(),
                                       .tail = tail_.get(),
                                       .keys = *keyring_});
  if (redis_ != nullptr && redis_->stats().available)
    invalidation_log_->WaitKnown(milliseconds(2000));  // until then Redis' answers are not served
  exact_ =
      std::make_unique<cache::ExactCache>(*store_, shared_.get(), Clock::System(), &invalidations_,
                                          static_cast<size_t>(options_.cache_memory_bytes) / 1024);
  writer_ = std::make_unique<cache::Writer>(*exact_);
  if (embedder_ == nullptr && options_.cache_semantic == cache::SemanticMode::kServe)
    LogWarning("--cache-semantic serve has no effect without --embedding-model or --embedding-url");
  if (embedder_ != nullptr && WantsSemanticTier(options_)) {
    ASSIGN_OR_RETURN(judge_, OpenJudge(options_, generator(), limits_));
    semantic_ = std::make_unique<SemanticTier>(options_,
                                               SemanticTier::Services{.embedder = *embedder_,
                                                                      .exact = *exact_,
                                                                      .judge = judge_.judge.get(),
                                                                      .judge_id = judge_.id,
                                                                      .redis = redis_.get(),
                                                                      .tail = tail_.get(),
                                                                      .catalogue = catalogue_.get(),
                                                                      .keys = *keyring_,
                                                                      .secret = std::move(secret)});
  }
  stats_keeper_ = std::make_unique<cache::StatsKeeper>(cache_stats_, *store_, redis_.get(),
                                                       options_.cache_namespace);
  return {};
}

Status App::OpenKeys() {
  std::shared_ptr<const ApiKeys> file;
  if (!options_.api_key_file.empty()) {
    ASSIGN_OR_RETURN(ApiKeys keys, ApiKeys::Parse(options_.api_key_records));
    file = std::make_shared<const ApiKeys>(std::move(keys));
    if (redis_ != nullptr)
      shared_limits_ = std::make_unique<SharedLimits>(
          SharedLimits::Options{.name_space = options_.cache_namespace}, *redis_);
  }
  auth_ = std::make_unique<Auth>(options_.api_keys, std::move(file));
  admission_ = std::make_unique<Admission>(*metrics_, shared_limits_.get());
  return {};
}

// What answers a request, from its text to its answer.
void App::OpenPipeline() {
  limits_.model_default = names_.front();
  reader_ = std::make_unique<RequestReader>(
      RequestReader{.limits = limits_, .model_names = names_, .upstream = upstream_.get()});
  recorder_ = std::make_unique<Recorder>(
      Recorder{.metrics = *metrics_, .access_log = !options_.disable_access_log});
  if (single_flight_ != nullptr)
    shared_flights_ = std::make_unique<SharedFlights>(*single_flight_, *exact_, generator());
  pipeline_ = std::make_unique<ChatPipeline>(
      ChatPipeline::Services{.generator = generator(),
                             .exact = *exact_,
                             .flights = flights_,
                             .shared_flights = shared_flights_.get(),
                             .writer = *writer_,
                             .stats = cache_stats_,
                             .policy = PolicyOf(options_, semantic_ != nullptr),
                             .partitioner = *partitioner_,
                             .metrics = *metrics_,
                             .access_log = !options_.disable_access_log,
                             .replay_tokens_per_s = options_.cache_replay_tokens_per_s,
                             .keyless = KeylessRights(options_),
                             .invalidations = invalidation_log_.get(),
                             .keeper = stats_keeper_.get(),
                             .live = &live_,
                             .semantic = semantic_ ? &semantic_->cache() : nullptr});
}

void App::OpenEmbeddings() {
  if (embedder_ == nullptr) return;
  const bool remote = opened_embedder_.documents != nullptr;
  embeddings_ = std::make_unique<EmbeddingsEndpoint>(EmbeddingsEndpoint::Parts{
      .embedder = remote ? *opened_embedder_.documents : embedder_->embedder(),
      .names = opened_embedder_.names,
      .hop = opened_embedder_.hop,
      .batch_texts_max = remote ? size_t{32} : size_t{8},
      .batch_bytes_max = remote ? size_t{64} << 10 : size_t{256},  // about 20 ms on a core
      .auth = *auth_,
      .admission = *admission_,
      .metrics = *metrics_,
      .access_log = !options_.disable_access_log,
      .ready = ready_});
}

Status App::OpenApi() {
  context_ =
      std::make_unique<RouteContext>(RouteContext{.pipeline = *pipeline_,
                                                  .generator = engine_generator_.get(),
                                                  .engine = engine_.get(),
                                                  .tokenizer = tokenizer_.get(),
                                                  .upstream = upstream_.get(),
                                                  .metrics = *metrics_,
                                                  .recorder = *recorder_,
                                                  .cache_stats = cache_stats_,
                                                  .exact = *exact_,
                                                  .single_flight = single_flight_.get(),
                                                  .invalidations = invalidation_log_.get(),
                                                  .auth = *auth_,
                                                  .admission = *admission_,
                                                  .reader = *reader_,
                                                  .embeddings = embeddings_.get(),
                                                  .embedder = embedder_.get(),
                                                  .model_root = options_.model,
                                                  .ready = ready_,
                                                  .created_s = Clock::System().UnixMs() / 1000});
  api_ = std::make_unique<HttpServer>(
      HttpServer::Options{.host = options_.host,
                          .port = options_.port,
                          .body_bytes_max = options_.max_body_bytes,
                          .allowed_origins = options_.allowed_origins});
  RegisterApiRoutes(*api_, *context_);
  return api_->Start();
}

Status App::OpenServers(const std::vector<std::string>& args) {
  names_ = options_.served_model_names;
  if (upstream_ != nullptr) {
    names_ = {options_.upstream_model.empty() ? "upstream" : options_.upstream_model};
  } else if (names_.empty()) {
    names_ = {options_.model};
  }
  RETURN_IF_ERROR(OpenCache());
  metrics_ = std::make_unique<Metrics>(names_.front());
  RETURN_IF_ERROR(OpenKeys());
  OpenPipeline();
  OpenEmbeddings();
  RETURN_IF_ERROR(OpenApi());
  RETURN_IF_ERROR(OpenAdmin(args));
  stats_keeper_->Start(fmt::format("{}:{}", options_.host, api_->port()),
                       [this] { return live_.size(); });
  ready_ = true;
  return {};
}

Status App::OpenAdmin(const std::vector<std::string>& args) {
  effective_.served_model_names = names_;
  effective_.port = api_->port();
  if (engine_ != nullptr) {
    effective_.max_model_len = engine_->info().max_model_len;
    effective_.device = "cpu";
    if (effective_.prefix_state_format == "auto") effective_.prefix_state_format = "fp32";
    if (effective_.num_threads == 0) effective_.num_threads = UsableProcessors();
  }
  admin_ = std::make_unique<HttpServer>(HttpServer::Options{
      .host = options_.admin_host, .port = AdminPort(options_), .connections_max = 64});
  if (!options_.admin_api_keys.empty()) {
    ASSIGN_OR_RETURN(admin::AdminKeys keys, admin::AdminKeys::Parse(options_.admin_api_keys));
    admin_keys_.Exchange(std::make_shared<const admin::AdminKeys>(std::move(keys)));
  }
  reloader_ = std::make_unique<admin::Reloader>(admin::Reloader::Parts{
      .options = options_, .args = args, .auth = *auth_, .admin_keys = admin_keys_});
  admin_context_ = std::make_unique<admin::AdminContext>(
      admin::AdminContext{.keys = admin_keys_,
                          .pipeline = *pipeline_,
                          .flights = flights_,
                          .exact = *exact_,
                          .single_flight = single_flight_.get(),
                          .writer = *writer_,
                          .keeper = *stats_keeper_,
                          .live = live_,
                          .catalogue = catalogue_.get(),
                          .invalidations = *invalidation_log_,
                          .partitioner = *partitioner_,
                          .reader = *reader_,
                          .options = effective_,
                          .recorder = *recorder_,
                          .engine = engine_.get(),
                          .generator = engine_generator_.get(),
                          .reloader = reloader_.get(),
                          .semantic = semantic_.get(),
                          .server = admin_.get()});
  RegisterAdminRoutes(*admin_, *context_);
  admin::RegisterAdminApi(*admin_, *admin_context_);
  admin::RegisterDashboard(*admin_, *recorder_);
  return admin_->Start();
}

// Before the weights are loaded: what would fail after them.
Status CheckAddresses(const ServeOptions& options) {
  RETURN_IF_ERROR(HttpServer::CheckAddress(options.host, options.port));
  const auto admin = HttpServer::CheckAddress(options.admin_host, AdminPort(options));
  if (admin) return {};
  return MakeError(admin.error().code,
                   admin.error().message + " (the admin API: --admin-host, --admin-port)");
}

Result<std::unique_ptr<App>> App::Open(const ServeOptions& options,
                                       const std::vector<std::string>& args) {
  RETURN_IF_ERROR(CheckAddresses(options));
  std::unique_ptr<App> app(new App(options));
  RETURN_IF_ERROR(app->OpenQuestionEmbedder());
  RETURN_IF_ERROR(options.upstreams.empty() ? app->OpenModel() : app->OpenUpstream());
  RETURN_IF_ERROR(app->OpenServers(args));
  return app;
}

void App::Shutdown() {
  ready_ = false;
  api_->StopAccepting();
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(options_.shutdown_timeout_s);
  while (api_->in_flight() > 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(milliseconds(10));
  if (api_->in_flight() > 0)
    LogWarning("shutdown deadline: {} requests are cut off", api_->in_flight());
  api_->Stop();
  if (semantic_ != nullptr) semantic_->Close();  // or the admin server waits for a judge
  admin_->Stop();
}

}  // namespace

int RunServe(const ServeOptions& options, const std::vector<std::string>& args) {
  const bool reloads = !options.api_key_file.empty() || !options.admin_api_key_file.empty();
  RaiseOpenFilesLimit();
  Signals signals(reloads);
  auto app = App::Open(options, args);
  if (!app) {
    LogError("{}", app.error().message);
    return 1;
  }
  LogInfo("ready: http://{}:{}/v1   dashboard: http://{}:{}/dashboard", options.host,
          (*app)->api_port(), options.admin_host, (*app)->admin_port());
  signals.Started([&app = **app] { (void)app.reloader().Reload("SIGHUP"); });  // which logs
  const std::string_view signal = signals.Wait();
  LogInfo("signal={} stopping: finishing what runs, at most {} s", signal,
          options.shutdown_timeout_s);
  (*app)->Shutdown();
  LogInfo("stopped");
  return 0;
}

}  // namespace nextgate::gateway
