// One thing wrong with a checkpoint at a time: loading fails with a message that names it, what was
// expected and what came.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>

#include "engine/model/qwen3_next.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::engine {
namespace {

using nextgate::testing::CheckpointFiles;
using nextgate::testing::PartsOf;
using nextgate::testing::ReadText;
using nextgate::testing::SafetensorsParts;
using nextgate::testing::TempDir;
using nextgate::testing::WriteText;
using nextgate::testing::Zeros;
using nlohmann::json;
namespace fs = std::filesystem;

Result<std::unique_ptr<Qwen3Next>> Load(const TempDir& dir, const std::string& overrides = "") {
  return Qwen3Next::Load({.dir = dir.path(),
                          .hf_overrides = overrides,
                          .step_tokens_max = 16,
                          .logit_rows_max = 16,
                          .positions_max = 64,
                          .num_threads = 1});
}

void ExpectRefused(const TempDir& dir, const std::vector<std::string>& parts) {
  const auto model = Load(dir);
  ASSERT_FALSE(model) << "was accepted";
  EXPECT_LT(model.error().message.size(), 500U);
  for (const std::string& part : parts)
    EXPECT_NE(model.error().message.find(part), std::string::npos)
        << "expected \"" << part << "\" in \"" << model.error().message << '"';
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

struct Case {
  const char* name;
  std::function<void(const TempDir&)> write;
  std::vector<std::string> parts;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// --- how a case breaks the checkpoint -----------------------------------------------------------

using Edit = std::function<void(CheckpointFiles&)>;

std::function<void(const TempDir&)> Tensors(Edit edit, const char* golden = "bf16_base") {
  return [=](const TempDir& dir) {
    CheckpointFiles files = CheckpointFiles::Golden(golden);
    edit(files);
    files.Write(dir);
  };
}

std::function<void(const TempDir&)> Header(std::function<void(json&)> edit) {
  return [=](const TempDir& dir) {
    const CheckpointFiles files = CheckpointFiles::Golden("bf16_base");
    files.Write(dir);
    SafetensorsParts parts = PartsOf(files.tensors);
    edit(parts.header);
    WriteText(dir / "model.safetensors", parts.File());
  };
}

std::function<void(const TempDir&)> HeaderText(std::function<std::string(std::string)> edit) {
  return [=](const TempDir& dir) {
    const CheckpointFiles files = CheckpointFiles::Golden("bf16_base");
    files.Write(dir);
    const SafetensorsParts parts = PartsOf(files.tensors);
    WriteText(dir / "model.safetensors", parts.File(edit(parts.header.dump())));
  };
}

std::function<void(const TempDir&)> File(const char* name,
                                         std::function<std::string(std::string)> edit) {
  return [=](const TempDir& dir) {
    CheckpointFiles::Golden("bf16_base").Write(dir);
    WriteText(dir / name, edit(ReadText(dir / name)));
  };
}

std::function<void(const TempDir&)> Index(std::function<void(json&)> edit) {
  return
      [=](const TempDir& dir) { CheckpointFiles::Golden("bf16_base").WriteSharded(dir, 2, edit); };
}

const char* const kNorm = "model.norm.weight";
const char* const kDown = "model.layers.1.mlp.experts.3.down_proj.weight";

std::vector<Case> FileCases() {
  const auto length = [](uint64_t bytes) {
    return [bytes](std::string file) {
      std::memcpy(file.data(), &bytes, sizeof bytes);
      return file;
    };
  };
  return {
      {"Missing",
       [](const TempDir& dir) {
         CheckpointFiles::Golden("bf16_base").Write(dir);
         fs::remove(dir / "model.safetensors");
       },
       {"model.safetensors", "No such file"}},
      {"Empty",
       File("model.safetensors", [](auto) { return std::string(); }),
       {"model.safetensors", "truncated", "0 bytes"}},
      {"SevenBytes",
       File("model.safetensors", [](auto) { return std::string(7, 'x'); }),
       {"truncated", "7 bytes", "at least 8"}},
      {"Directory",
       [](const TempDir& dir) {
         CheckpointFiles::Golden("bf16_base").Write(dir);
         fs::remove(dir / "model.safetensors");
         fs::create_directory(dir / "model.safetensors");
       },
       {"model.safetensors", "not a regular file"}},
      {"HeaderLengthBeyondFile",
       File("model.safetensors", length(90'000'000)),
       {"header of 90000000 bytes", "truncated"}},
      {"HeaderLengthHuge",
       File("model.safetensors", length(UINT64_MAX)),
       {"header of 18446744073709551615 bytes"}},
      {"HeaderLengthNearOverflow",
       File("model.safetensors", length(UINT64_MAX - 7)),
       {"header of 18446744073709551608 bytes"}},
      {"HeaderLengthZero", File("model.safetensors", length(0)), {"header", "not valid JSON"}},
      {"CutInTheHeader",
       File("model.safetensors", [](std::string f) { return f.substr(0, 900); }),
       {"header of", "the file has 900", "truncated"}},
      {"CutInTheData",
       File("model.safetensors", [](std::string f) { return f.substr(0, f.size() - 1); }),
       {"tensor ", "data_offsets", "truncated?"}},
      {"BytesAfterTheData",
       File("model.safetensors", [](std::string f) { return f + "abc"; }),
       {"the last 3 bytes belong to no tensor"}},
      {"HtmlInstead",
       File("model.safetensors", [](auto) { return "<!DOCTYPE html><html></html>"; }),
       {"model.safetensors", "not safetensors"}},
      {"ConfigMissing",
       [](const TempDir& dir) {
         CheckpointFiles::Golden("bf16_base").Write(dir);
         fs::remove(dir / "config.json");
       },
       {"config.json", "No such file"}},
      {"ConfigCut",
       File("config.json", [](std::string f) { return f.substr(0, f.size() / 2); }),
       {"config.json", "not valid JSON"}},
  };
}

std::vector<Case> HeaderCases() {
  return {
      {"NotJson",
       HeaderText([](std::string t) { return Replaced(t, ":", ";"); }),
       {"(header)", "not valid JSON"}},
      {"NotUtf8",
       HeaderText([](std::string t) {
         return Replaced(t, "model.norm",
                         "model.n\xff"
                         "rm");
       }),
       {"(header)", "not valid JSON"}},
      {"NoObject", HeaderText([](auto) { return "[]"; }), {"header", "expected an object"}},
      {"NestedDeep",
       HeaderText([](auto) { return std::string(200'000, '['); }),
       {"(header)", "nested deeper than 64"}},
      {"NestedDeepInATensor",
       HeaderText([](std::string t) {
         return Replaced(t, "\"BF16\"", std::string(70, '[') + std::string(70, ']'));
       }),
       {"(header)", "nested deeper than 64"}},
      {"NameTwice",
       HeaderText([](std::string t) {
         return Replaced(t, "model.layers.0.input_layernorm.weight", kNorm);
       }),
       {"(header)", kNorm, "twice"}},
      {"ShapeTwice",
       HeaderText(
           [](std::string t) { return Replaced(t, "\"shape\":", "\"shape\":[1],\"shape\":"); }),
       {"(header)", "shape", "twice"}},
      {"EntryNoObject", Header([](json& h) { h[kNorm] = 5; }), {kNorm, "expected an object"}},
      {"NoDtype", Header([](json& h) { h[kNorm].erase("dtype"); }), {kNorm, "dtype"}},
      {"UnknownDtype",
       Header([](json& h) { h[kNorm]["dtype"] = "BF17"; }),
       {kNorm, "unknown dtype", "BF17"}},
      {"DtypeNoText", Header([](json& h) { h[kNorm]["dtype"] = 16; }), {kNorm, "unknown dtype 16"}},
      {"ShapeNegative", Header([](json& h) { h[kNorm]["shape"] = {-64}; }), {kNorm, "shape"}},
      {"ShapeFraction", Header([](json& h) { h[kNorm]["shape"] = {64.5}; }), {kNorm, "shape"}},
      {"ShapeOverflows",
       Header([](json& h) {
         h[kNorm]["shape"] = {1LL << 32, 1LL << 32};
       }),
       {kNorm, "too large"}},
      {"ShapeWrapsToTheRightSize",
       Header([](json& h) {
         h[kNorm]["shape"] = {(1ULL << 63) + 64, 2};
       }),
       {kNorm, "too large"}},
      {"RankNine",
       Header([](json& h) { h[kNorm]["shape"] = json(std::vector<int>(9, 1)); }),
       {kNorm, "at most 8"}},
      {"ShapeAndOffsetsDisagree",
       Header([](json& h) { h[kNorm]["shape"] = {65}; }),
       {kNorm, "BF16 [65] takes 130 bytes", "span 128"}},
      {"OffsetsBackwards",
       Header([](json& h) { std::swap(h[kNorm]["data_offsets"][0], h[kNorm]["data_offsets"][1]); }),
       {kNorm, "data_offsets"}},
      {"OffsetsBeyondTheFile",
       Header([](json& h) {
         h[kNorm]["data_offsets"] = {1LL << 60, (1LL << 60) + 128};
       }),
       {kNorm, "data_offsets", "truncated?"}},
      {"OffsetsNegative",
       Header([](json& h) { h[kNorm]["data_offsets"][0] = -128; }),
       {kNorm, "data_offsets", "whole numbers"}},
      {"OffsetsThree",
       Header([](json& h) { h[kNorm]["data_offsets"].push_back(9); }),
       {kNorm, "data_offsets", "two"}},
      {"Overlap",
       Header([](json& h) {
         h[kNorm]["data_offsets"] = h["model.layers.0.input_layernorm.weight"]["data_offsets"];
       }),
       {"overlap", kNorm, "model.layers.0.input_layernorm.weight"}},
      {"Gap",
       Header([](json& h) { h.erase("model.layers.0.input_layernorm.weight"); }),
       {"128 bytes before tensor", "belong to no tensor"}},
  };
}

std::vector<Case> IndexCases() {
  const char* shard = "model-00001-of-00002.safetensors";
  return {
      {"NotJson",
       [](const TempDir& dir) {
         CheckpointFiles::Golden("bf16_base").WriteSharded(dir, 2);
         WriteText(dir / "model.safetensors.index.json", "{\"weight_map\": {");
       },
       {"model.safetensors.index.json", "not valid JSON"}},
      {"NoWeightMap",
       Index([](json& i) { i.erase("weight_map"); }),
       {"index.json", "expected an object with weight_map"}},
      {"WeightMapAList",
       Index([](json& i) { i["weight_map"] = json::array(); }),
       {"index.json", "weight_map"}},
      {"ShardNoText",
       Index([](json& i) { i["weight_map"][kNorm] = 2; }),
       {kNorm, "expected a file name"}},
      {"ShardAbsolute",
       Index([](json& i) { i["weight_map"][kNorm] = "/etc/passwd"; }),
       {kNorm, "/etc/passwd", "not a file name inside the directory"}},
      {"ShardAbove",
       Index([](json& i) { i["weight_map"][kNorm] = "../x.safetensors"; }),
       {kNorm, "../x.safetensors", "not a file name inside the directory"}},
      {"ShardIsAbove",
       Index([](json& i) { i["weight_map"][kNorm] = ".."; }),
       {kNorm, "not a file name inside the directory"}},
      {"ShardWithNul",
       Index([](json& i) { i["weight_map"][kNorm] = std::string("a\0b", 3); }),
       {kNorm, "not a file name inside the directory"}},
      {"ShardMissing",
       Index([](json& i) { i["weight_map"][kNorm] = "absent.safetensors"; }),
       {"absent.safetensors", "No such file"}},
      {"ShardGone",
       [=](const TempDir& dir) {
         CheckpointFiles::Golden("bf16_base").WriteSharded(dir, 2);
         fs::remove(dir / shard);
       },
       {shard, "No such file"}},
      {"TensorElsewhere",
       Index([=](json& i) {
         auto& at = i["weight_map"][kNorm];
         at = at == shard ? "model-00002-of-00002.safetensors" : shard;
       }),
       {"index.json", kNorm, "the index says otherwise"}},
      {"TensorNotIndexed",
       Index([](json& i) { i["weight_map"].erase(kNorm); }),
       {"index.json", kNorm, "the index says otherwise"}},
      {"TensorOnlyIndexed",
       Index([=](json& i) { i["weight_map"]["ghost.weight"] = shard; }),
       {"ghost.weight", "is not in", shard}},
      {"NoTensorsAtAll",
       Index([](json& i) { i["weight_map"] = json::object(); }),
       {"model.embed_tokens.weight is missing", "[199, 64]"}},
  };
}

std::vector<Case> TensorCases() {
  const char* qkvz = "model.layers.0.linear_attn.in_proj_qkvz.weight";
  const char* a_log = "model.layers.0.linear_attn.A_log";
  return {
      {"Missing", Tensors([](auto& f) { f.tensors.erase(kNorm); }), {kNorm, "missing", "[64]"}},
      {"ExpertMissing",
       Tensors([](auto& f) { f.tensors.erase(kDown); }),
       {kDown, "missing", "[64, 24]"}},
      {"HeadMissing",
       Tensors([](auto& f) { f.tensors.erase("lm_head.weight"); }),
       {"lm_head.weight", "missing", "[199, 64]"}},
      {"Extra",
       Tensors([](auto& f) { f.tensors["model.layers.9.x"] = Zeros("F32", {2}); }),
       {"model.layers.9.x", "F32 [2]", "not part of this model"}},
      {"ExtraExpert",
       Tensors([](auto& f) {
         f.tensors["model.layers.1.mlp.experts.8.down_proj.weight"] = Zeros("BF16", {64, 24});
       }),
       {"experts.8.down_proj", "not part of this model"}},
      {"MisShaped",
       Tensors([](auto& f) {
         f.tensors[kDown] = Zeros("BF16", {24, 64});
       }),
       {kDown, "expected shape [64, 24]", "got [24, 64]"}},
      {"OneRowTooMany",
       Tensors([=](auto& f) {
         f.tensors[qkvz] = Zeros("BF16", {193, 64});
       }),
       {qkvz, "expected shape [192, 64]", "got [193, 64]"}},
      {"RankWrong",
       Tensors([=](auto& f) {
         f.tensors[a_log] = Zeros("F32", {4, 1});
       }),
       {a_log, "expected shape [4]", "got [4, 1]"}},
      {"ScalarForVector",
       Tensors([=](auto& f) { f.tensors[a_log] = Zeros("F32", {}); }),
       {a_log, "expected shape [4]", "got []"}},
      {"ZeroSized",
       Tensors([](auto& f) { f.tensors[kNorm] = Zeros("BF16", {0}); }),
       {kNorm, "expected shape [64]", "got [0]"}},
      {"Integers",
       Tensors([](auto& f) { f.tensors[kNorm].dtype = "I16"; }),
       {kNorm, "expected F32, F16, BF16 or F8_E4M3", "got I16"}},
      {"OtherFp8",
       Tensors([](auto& f) {
         f.tensors[kDown] = {"F8_E5M2", {64, 24}, std::string(64 * 24, '\0')};
       }),
       {kDown, "F8_E4M3", "got F8_E5M2"}},
      {"ConfigOfAnotherModel",
       Tensors([](auto& f) { f.config["vocab_size"] = 200; }),
       {"model.embed_tokens.weight", "expected shape [200, 64]", "got [199, 64]"}},
      {"MoreLayersThanWeights",
       Tensors([](auto& f) {
         f.config["num_hidden_layers"] = 5;
         f.config["layer_types"].push_back("linear_attention");
       }),
       {"model.layers.4.input_layernorm.weight", "missing"}},
      {"FewerLayersThanWeights",
       Tensors([](auto& f) { f.config["num_hidden_layers"] = 3; }),
       {"model.layers.3.", "not part of this model", "config.json"}},
      {"MtpIncomplete",
       Tensors([](auto& f) { f.tensors["mtp.norm.weight"] = Zeros("BF16", {64}); }),
       {"mtp.fc.weight", "missing", "[64, 128]"}},
      {"HugeDimsThatNoTensorConfirms",
       Tensors([](auto& f) {
         f.config["layer_types"] = json(std::vector<std::string>(4, "linear_attention"));
         f.config["num_experts"] = 65536;
         f.config["moe_intermediate_size"] = 1 << 20;
       }),
       {"model.layers.0.mlp.gate.weight", "expected shape [65536, 64]", "got [8, 64]"}},
  };
}

std::vector<Case> Fp8Cases() {
  const char* q = "model.layers.1.self_attn.q_proj.weight";
  const auto fp8 = [](Edit edit) { return Tensors(edit, "fp8_blocks"); };
  const std::string scale = std::string(q) + "_scale_inv";
  return {
      {"ScaleMissing",
       fp8([=](auto& f) { f.tensors.erase(scale); }),
       {q, "F8_E4M3", "needs", scale}},
      {"ScaleMisShaped",
       fp8([=](auto& f) {
         f.tensors[scale] = Zeros("F32", {2, 1});
       }),
       {scale, "expected shape [2, 2]", "got [2, 1]"}},
      {"ScaleMisTyped",
       fp8([=](auto& f) {
         f.tensors[scale] = Zeros("F8_E4M3", {2, 2});
       }),
       {scale, "expected F32, F16 or BF16", "got F8_E4M3"}},
      {"ScaleOfOtherTensor",
       fp8([=](auto& f) {
         f.tensors["lm_head.weight_scale_inv"] = Zeros("F32", {2, 2});
       }),
       {"lm_head.weight", "lm_head.weight_scale_inv", "must be F8_E4M3", "got BF16"}},
      {"ScaleOfNoTensor",
       fp8([=](auto& f) { f.tensors["x.weight_scale_inv"] = Zeros("F32", {1}); }),
       {"x.weight_scale_inv", "not part of this model"}},
      {"ScaleInfinite",
       fp8([=](auto& f) {
         const float infinity = std::numeric_limits<float>::infinity();
         std::memcpy(f.tensors[scale].data.data(), &infinity, sizeof infinity);
       }),
       {scale, "not finite"}},
      {"NanWeight", fp8([=](auto& f) { f.tensors[q].data[77] = '\x7f'; }), {q, "NaN"}},
      {"NormInFp8",
       fp8([=](auto& f) {
         f.tensors[kNorm] = Zeros("F8_E4M3", {160});
         f.tensors[std::string(kNorm) + "_scale_inv"] = Zeros("F32", {2});
       }),
       {kNorm, "F8_E4M3 is not allowed here"}},
  };
}

class Corruption : public ::testing::TestWithParam<Case> {};

TEST_P(Corruption, IsRefusedByName) {
  const TempDir dir;
  GetParam().write(dir);
  ExpectRefused(dir, GetParam().parts);
}

const auto kNameOf = [](const auto& info) { return std::string(info.param.name); };
INSTANTIATE_TEST_SUITE_P(File, Corruption, ::testing::ValuesIn(FileCases()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Header, Corruption, ::testing::ValuesIn(HeaderCases()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Index, Corruption, ::testing::ValuesIn(IndexCases()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Tensor, Corruption, ::testing::ValuesIn(TensorCases()), kNameOf);
INSTANTIATE_TEST_SUITE_P(Fp8, Corruption, ::testing::ValuesIn(Fp8Cases()), kNameOf);

TEST(Checkpoint, ALinkThatLoopsIsAnErrorNotAnException) {
  const TempDir dir;
  CheckpointFiles::Golden("bf16_base").Write(dir);
  fs::create_symlink("loop.safetensors", dir / "loop.safetensors");
  fs::create_symlink("generation_config.json", dir / "generation_config.json");
  EXPECT_TRUE(Load(dir));  // neither is part of the model's weights
  fs::remove(dir / "model.safetensors");
  fs::create_symlink("model.safetensors", dir / "model.safetensors");
  ExpectRefused(dir, {"model.safetensors", "symbolic links"});
}

TEST(Checkpoint, ShardsMayBeLinksToElsewhereAsInTheHubsCache) {
  const TempDir blobs;
  const TempDir dir;
  CheckpointFiles::Golden("bf16_base").WriteSharded(dir, 3);
  for (int i = 1; i <= 3; ++i) {
    const std::string name = "model-0000" + std::to_string(i) + "-of-00003.safetensors";
    fs::rename(dir / name, blobs / std::to_string(i));
    fs::create_symlink(blobs / std::to_string(i), dir / name);
  }
  const auto model = Load(dir);
  EXPECT_TRUE(model) << model.error().message;
}

TEST(Checkpoint, ADummyTooLargeForTheMachineIsRefusedWithTheSizes) {
  const TempDir dir;
  CheckpointFiles files = CheckpointFiles::Golden("bf16_base");
  files.config["hidden_size"] = 1 << 20;
  files.config["vocab_size"] = 1 << 24;
  files.Write(dir);
  const auto model = Qwen3Next::Load({.dir = dir.path(),
                                      .dummy_weights = true,
                                      .step_tokens_max = 1,
                                      .logit_rows_max = 1,
                                      .positions_max = 64,
                                      .num_threads = 1});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(model.error().message.find("this machine has"), std::string::npos)
      << model.error().message;
}

}  // namespace
}  // namespace nextgate::engine
