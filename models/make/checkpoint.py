"""Writes and reads the checkpoint directory: config, bf16 shards under the published tensor names, index."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SHARD_BYTES = 12_000_000
CONFIG = {
    "architectures": ["Qwen3NextForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "decoder_sparse_step": 1,
    "eos_token_id": None,
    "full_attention_interval": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 256,
    "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"],
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 32,
    "linear_num_key_heads": 4,
    "linear_num_value_heads": 8,
    "linear_value_head_dim": 32,
    "max_position_embeddings": 4096,
    "mlp_only_layers": [],
    "model_type": "qwen3_next",
    "moe_intermediate_size": 64,
    "norm_topk_prob": True,
    "num_attention_heads": 4,
    "num_experts": 32,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "num_nextn_predict_layers": 1,
    "output_router_logits": False,
    "partial_rotary_factor": 0.25,
    "rms_norm_eps": 1e-06,
    "rope_parameters": {"partial_rotary_factor": 0.25, "rope_theta": 10000000, "rope_type": "default"},
    "rope_scaling": None,
    "rope_theta": 10000000,
    "router_aux_loss_coef": 0.001,
    "shared_expert_intermediate_size": 64,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 4096,
}


def published_tensors(model):
    """The model's parameters by checkpoint name: experts one by one, `down` transposed to [H, F]."""
    for name, p in model.named_parameters():
        p = p.detach().cpu()
        if ".experts." not in name:
            yield name, p
            continue
        prefix, kind = name.rsplit(".", 1)
        for e in range(p.shape[0]):
            matrix = p[e].t() if kind == "down" else p[e]
            yield f"{prefix}.{e}.{kind}_proj.weight", matrix


def save(model, config, folder):
    """Shards of at most SHARD_BYTES, config.json, generation_config.json, index."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shards, size = [{}], 0
    for name, tensor in published_tensors(model):
        tensor = tensor.to(torch.bfloat16).contiguous()
        if size + tensor.nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for name, shard in zip(names, shards):
        save_file(shard, folder / name, metadata={"format": "pt"})
    where = {tensor: name for name, shard in zip(names, shards) for tensor in shard}
    total = sum(t.nbytes for shard in shards for t in shard.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})
    write_json(folder / "config.json", config)
    generation = {"do_sample": False, "bos_token_id": config["bos_token_id"], "pad_token_id": config["bos_token_id"],
                  "eos_token_id": [config["eos_token_id"], config["bos_token_id"]]}
    write_json(folder / "generation_config.json", generation)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def load(model, folder):
    """Fills the model from a checkpoint folder; every tensor must be there, and none besides."""
    stored = {}
    for path in sorted(Path(folder).glob("model-*.safetensors")):
        stored.update(load_file(path))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if ".experts." in name:
                prefix, kind = name.rsplit(".", 1)
                parts = [stored.pop(f"{prefix}.{e}.{kind}_proj.weight") for e in range(p.shape[0])]
                p.copy_(torch.stack([m.t() if kind == "down" else m for m in parts]))
            else:
                p.copy_(stored.pop(name))
    assert not stored, f"tensors that the model lacks: {sorted(stored)}"


def config_for(tokenizer):
    return CONFIG | {"bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
                     "eos_token_id": tokenizer.token_to_id("<|im_end|>"), "vocab_size": tokenizer.get_vocab_size()}
