#include "gateway/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gateway/hub_download.h"

namespace nextgate::gateway {
namespace {

namespace fs = std::filesystem;

bool IsCommit(std::string_view revision) {
  return revision.size() == 40 && std::ranges::all_of(revision, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string ReadSmallFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string Trimmed(std::string text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : text.substr(begin);
}

bool IsTrue(std::string value) {
  for (char& c : value) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

// A file that is there: links whose blob is gone do not count.
bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// What a loader would miss in `snapshot`, "" if nothing.
std::string Missing(const fs::path& snapshot, bool weights) {
  for (const char* name : {"config.json", "tokenizer.json"})
    if (!Exists(snapshot / name)) return name;
  if (!weights) return "";
  const fs::path index = snapshot / "model.safetensors.index.json";
  if (Exists(index)) {
    const auto shards = ShardsOfIndex(ReadSmallFile(index));
    if (!shards) return "a readable model.safetensors.index.json";
    for (const std::string& shard : *shards)
      if (!Exists(snapshot / shard)) return shard;
    return "";
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(snapshot, error))
    if (entry.path().extension() == ".safetensors" && Exists(entry.path())) return "";
  return "*.safetensors";
}

// Was a path meant rather than an id? Then the error should say so.
bool LooksLikePath(std::string_view model) {
  return model.starts_with('/') || model.starts_with('.') || model.starts_with('~') ||
         std::ranges::count(model, '/') > 1 || model.ends_with('/');
}

std::string FormatDuration(double seconds) {
  const auto total = static_cast<int64_t>(seconds);
  if (total >= 3600) return fmt::format("{} h {} min", total / 3600, total / 60 % 60);
  if (total >= 60) return fmt::format("{} min {} s", total / 60, total % 60);
  return fmt::format("{} s", total);
}

}  // namespace

std::string FormatProgress(const HubProgress& progress) {
  constexpr double kGb = 1e9;
  const auto left = static_cast<double>(progress.bytes_total - progress.bytes_done);
  std::string out = fmt::format(
      "{:.2f} of {:.2f} GB, {:.2f} GB/s", static_cast<double>(progress.bytes_done) / kGb,
      static_cast<double>(progress.bytes_total) / kGb, progress.bytes_per_s / kGb);
  if (left > 0 && progress.bytes_per_s > 0)
    out += fmt::format(", {} remaining", FormatDuration(left / progress.bytes_per_s));
  return out + fmt::format(" ({} of {} files)", progress.files_done, progress.files_total);
}

HubConfig HubConfigFromEnvironment(const std::function<const char*(const char*)>& get_env) {
  const auto env = [&](std::initializer_list<const char*> names) -> std::string {
    for (const char* name : names)
      if (const char* value = get_env(name); value != nullptr && *value != '\0') return value;
    return "";
  };
  const std::string home = env({"HOME"});
  const auto expand = [&](const std::string& path) {
    return path == "~" || path.starts_with("~/") ? home + path.substr(1) : path;
  };

  HubConfig config;
  if (const std::string endpoint = env({"HF_ENDPOINT"}); !endpoint.empty())
    config.endpoint = endpoint;
  std::string hf_home = expand(env({"HF_HOME"}));
  if (hf_home.empty()) {
    const std::string cache = expand(env({"XDG_CACHE_HOME"}));
    hf_home = (cache.empty() ? home + "/.cache" : cache) + "/huggingface";
  }
  config.cache_dir = expand(env({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}));
  if (config.cache_dir.empty()) config.cache_dir = hf_home + "/hub";

  config.token = Trimmed(env({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}));
  if (config.token.empty() && !IsTrue(env({"HF_HUB_DISABLE_IMPLICIT_TOKEN"}))) {
    const std::string path = expand(env({"HF_TOKEN_PATH"}));
    config.token = Trimmed(ReadSmallFile(path.empty() ? hf_home + "/token" : path));
  }
  config.offline = IsTrue(env({"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}));
  config.http_proxy = env({"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"});
  config.https_proxy = env({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
  config.no_proxy = env({"no_proxy", "NO_PROXY"});
  return config;
}

HubConfig HubConfigFromEnvironment() {
  return HubConfigFromEnvironment([](const char* name) { return std::getenv(name); });
}

Status CheckHubId(std::string_view id) {
  const auto bad = [&](std::string_view why) {
    return InvalidArgument(fmt::format("'{}' is neither a directory nor a model id such as "
                                       "Qwen/Qwen3-Next-80B-A3B-Instruct: {}",
                                       id.substr(0, 200), why),
                           "model");
  };
  if (std::ranges::count(id, '/') > 1) return bad("an id has one '/'");
  if (id.find("..") != std::string_view::npos || id.find("--") != std::string_view::npos)
    return bad("an id has no '--' and no '..'");
  if (id.ends_with(".git")) return bad("an id does not end with .git");
  for (std::string_view rest = id;;) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    const bool clean = std::ranges::all_of(part, [](char c) {
      return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    });
    if (part.empty() || part.size() > 96 || !clean)
      return bad("each part has 1 to 96 letters, digits, '-', '_' or '.'");
    if (part.front() == '-' || part.front() == '.' || part.back() == '-' || part.back() == '.')
      return bad("a part neither begins nor ends with '-' or '.'");
    if (slash == rest.size()) return {};
    rest.remove_prefix(slash + 1);
  }
}

Status CheckRevision(std::string_view revision) {
  const bool clean = std::ranges::all_of(
      revision, [](char c) { return c > ' ' && c != 0x7f && c != '\\' && c != '~' && c != '^'; });
  const bool safe = !revision.empty() && revision.size() <= 255 && clean &&
                    !revision.starts_with('/') && !revision.ends_with('/') &&
                    revision.find("..") == std::string_view::npos &&
                    revision.find("//") == std::string_view::npos && revision != "." &&
                    !revision.starts_with("./") && revision.find("/.") == std::string_view::npos;
  if (safe) return {};
  return InvalidArgument(
      fmt::format("--revision '{}' cannot be a branch, tag or commit", revision.substr(0, 200)),
      "revision");
}

Result<std::string> FindInCache(std::string_view id, std::string_view revision,
                                const std::string& cache_dir, bool weights) {
  std::string folder = "models--" + std::string(id);
  if (const size_t slash = folder.find('/'); slash != std::string::npos)
    folder.replace(slash, 1, "--");
  const fs::path storage = fs::path(cache_dir) / folder;
  const std::string commit = IsCommit(revision)
                                 ? std::string(revision)
                                 : Trimmed(ReadSmallFile(storage / "refs" / revision));
  if (!IsCommit(commit))
    return NotFound(fmt::format("{} at {} is not in {}", id, revision, cache_dir));
  const fs::path snapshot = storage / "snapshots" / commit;
  const std::string missing = Missing(snapshot, weights);
  if (!missing.empty())
    return NotFound(fmt::format("{} at {} is incomplete in {}: {} is missing", id, revision,
                                cache_dir, missing));
  return snapshot.string();
}

Result<std::string> ResolveModel(std::string_view model, std::string_view revision,
                                 const HubConfig& config) {
  std::error_code error;
  if (fs::is_directory(fs::path(model), error)) return std::string(model);
  if (model.empty()) return InvalidArgument("no model was given", "model");
  // A name with one slash may be an id; that a folder of that name could not be read must be told.
  const std::string why =
      error && error != std::errc::no_such_file_or_directory ? ": " + error.message() : "";
  const bool too_long = error == std::errc::filename_too_long;  // then it is no id either
  if (LooksLikePath(model) || (!why.empty() && !too_long))
    return InvalidArgument(fmt::format("there is no directory '{}'{}", model.substr(0, 1000), why),
                           "model");
  RETURN_IF_ERROR(CheckHubId(model));
  const std::string wanted(revision.empty() ? "main" : revision);
  RETURN_IF_ERROR(CheckRevision(wanted));

  auto found = FindInCache(model, wanted, config.cache_dir, config.weights);
  if (found) return found;
  if (config.offline)
    return NotFound(found.error().message +
                    ", and HF_HUB_OFFLINE forbids to download it; download it while online, or "
                    "give the checkpoint's directory");
  return DownloadSnapshot(std::string(model), wanted, config);
}

}  // namespace nextgate::gateway
