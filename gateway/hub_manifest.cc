// What a repository holds and which of it a loader needs. Everything here comes from outside and is
// checked.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "gateway/hub_download.h"

namespace nextgate::gateway {
namespace {

using nlohmann::json;

bool IsHex(std::string_view text, size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// A relative path that stays where it is put.
bool IsSafePath(std::string_view path) {
  if (path.empty() || path.size() > 1024 || path.front() == '/') return false;
  for (const char c : path)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') return false;
  while (true) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == path.size()) return true;
    path.remove_prefix(slash + 1);
  }
}

std::string Shown(std::string_view name) {
  return json(name.substr(0, 100)).dump(-1, ' ', true, json::error_handler_t::replace);
}

std::string StringAt(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// -1 if it is not given; the caller asks the file itself then.
int64_t SizeAt(const json& object) {
  const auto found = object.find("size");
  if (found == object.end() || !found->is_number_integer()) return -1;
  const int64_t size = found->is_number_unsigned() && found->get<uint64_t>() > INT64_MAX
                           ? -2
                           : found->get<int64_t>();
  return size < 0 ? -2 : size;
}

Result<HubFile> ParseFile(const json& sibling) {
  HubFile file{.name = StringAt(sibling, "rfilename"), .hash = {}, .size = -1};
  if (!IsSafePath(file.name))
    return DataLoss(
        fmt::format("the hub lists a file named {}, which would lie outside the "
                    "snapshot: nothing of this repository is used",
                    Shown(file.name)));
  const auto lfs = sibling.find("lfs");
  const bool is_lfs = lfs != sibling.end() && lfs->is_object();
  file.hash = is_lfs ? StringAt(*lfs, "sha256") : StringAt(sibling, "blobId");
  file.size = SizeAt(is_lfs ? *lfs : sibling);
  const bool hash_ok = file.hash.empty() || IsHex(file.hash, is_lfs ? 64 : 40);
  if (!hash_ok || file.size == -2)
    return DataLoss(fmt::format("the hub describes {} with a malformed {}", Shown(file.name),
                                hash_ok ? "size" : "hash"));
  return file;
}

}  // namespace

bool IsWantedFile(std::string_view name) {
  constexpr std::string_view kExact[] = {
      "config.json",        "generation_config.json", "vocab.json",
      "merges.txt",         "added_tokens.json",      "special_tokens_map.json",
      "chat_template.json", "chat_template.jinja",    "model.safetensors.index.json",
  };
  if (name.find('/') != std::string_view::npos) return false;
  if (std::ranges::find(kExact, name) != std::end(kExact)) return true;
  if (name.starts_with("tokenizer") && name.ends_with(".json")) return true;
  return name.ends_with(".safetensors");
}

Result<HubManifest> ParseManifest(std::string_view text) {
  const json answer = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto siblings = answer.is_object() ? answer.find("siblings") : answer.end();
  if (!answer.is_object() || siblings == answer.end() || !siblings->is_array())
    return DataLoss(
        "the hub's description of the model is not what a hub sends (expected an object "
        "with \"sha\" and \"siblings\"); does HF_ENDPOINT point to one?");
  HubManifest manifest{.commit = StringAt(answer, "sha"), .files = {}};
  if (!IsHex(manifest.commit, 40))
    return DataLoss("the hub names no commit: \"sha\" must have 40 hex digits");
  for (const json& sibling : *siblings) {
    if (!sibling.is_object()) return DataLoss("the hub lists something that is not a file");
    ASSIGN_OR_RETURN(HubFile file, ParseFile(sibling));
    if (IsWantedFile(file.name)) manifest.files.push_back(std::move(file));
  }
  return manifest;
}

Result<std::vector<std::string>> ShardsOfIndex(std::string_view text) {
  const json index = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty())
    return DataLoss(
        "model.safetensors.index.json: expected an object with a \"weight_map\" that "
        "names at least one tensor");
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map->items()) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : "";
    if (!IsSafePath(name) || !name.ends_with(".safetensors") || name.find('/') != std::string::npos)
      return DataLoss(
          fmt::format("model.safetensors.index.json: tensor {} is said to lie in {}, "
                      "which is no safetensors file beside the index",
                      Shown(tensor), Shown(name)));
    shards.insert(name);
  }
  return std::vector(shards.begin(), shards.end());
}

}  // namespace nextgate::gateway
