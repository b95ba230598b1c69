"""Tiny random Qwen3-Next checkpoints and what Hugging Face transformers computes with them.

    python make_model_goldens.py OUT_DIR        (torch and transformers on the CPU; half a minute)

Each case is a directory OUT_DIR/<case> with a checkpoint as users have them (config.json, safetensors) and golden.safetensors:
for each prompt p the 32 greedy tokens (tokens.p), at each generated position the reference's log probability of its token
(logprobs.p) and the gap to the second best (gaps.p); for the first case also activations layer by layer (tap.*).
The reference is fp32 with eager attention on the stored weights converted up; FP8 weights are dequantised.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

GENERATED = 32
FP8_MAX = 448.0
BLOCK = 128

BASE = dict(
    hidden_size=64, num_hidden_layers=4, vocab_size=199, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    partial_rotary_factor=0.25, rope_theta=10000.0, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=16,
    linear_value_head_dim=16, linear_conv_kernel_dim=4, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=24,
    shared_expert_intermediate_size=40, intermediate_size=72, norm_topk_prob=True, max_position_embeddings=1024,
    tie_word_embeddings=False, rms_norm_eps=1e-6, bos_token_id=1, eos_token_id=2, pad_token_id=0)

# name → (changes to BASE, stored type, experts fused?, prompt lengths)
CASES = {
    "bf16_base": ({}, "bf16", False, [1, 2, 63, 64, 65, 300]),
    "f32_wide_heads": (dict(num_attention_heads=6, num_key_value_heads=3, head_dim=20, partial_rotary_factor=0.5, vocab_size=257,
                            linear_num_key_heads=3, linear_num_value_heads=3, linear_key_head_dim=12, linear_value_head_dim=20,
                            num_experts=5, num_experts_per_tok=3), "f32", True, [3, 70, 129]),
    "f16_tied_dense": (dict(num_hidden_layers=6, tie_word_embeddings=True, vocab_size=131, partial_rotary_factor=1.0,
                            layer_types=["full_attention", "linear_attention", "linear_attention", "full_attention",
                                         "linear_attention", "full_attention"], mlp_only_layers=[1], norm_topk_prob=False,
                            linear_conv_kernel_dim=3, num_experts=16, num_experts_per_tok=4, moe_intermediate_size=16),
                       "f16", False, [5, 100]),
    "bf16_many_experts": (dict(num_hidden_layers=5, hidden_size=48, num_attention_heads=8, num_key_value_heads=1, head_dim=8,
                               linear_num_key_heads=1, linear_num_value_heads=8, linear_key_head_dim=8, num_experts=32,
                               num_experts_per_tok=10, moe_intermediate_size=8, vocab_size=310), "bf16", True, [7, 200]),
    "fp8_blocks": (dict(hidden_size=160, num_hidden_layers=2, full_attention_interval=2, head_dim=32, linear_key_head_dim=128,
                        linear_value_head_dim=128, linear_num_key_heads=1, linear_num_value_heads=2, moe_intermediate_size=136,
                        shared_expert_intermediate_size=128, num_experts=4, vocab_size=151), "fp8", False, [4, 90]),
}


def make_model(changes, seed):
    config = Qwen3NextConfig(**{**BASE, **changes})
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = Qwen3NextForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("A_log"):
                tensor.copy_(torch.rand_like(tensor) * 2 - 1)
            elif name.endswith("dt_bias"):
                tensor.copy_(torch.randn_like(tensor) - 2)
            elif "linear_attn.norm" in name:
                tensor.copy_(1 + 0.2 * torch.randn_like(tensor))
            elif "norm" in name:
                tensor.copy_(0.2 * torch.randn_like(tensor))
            elif "conv1d" in name:
                tensor.copy_(0.6 * torch.randn_like(tensor))
            elif "embed_tokens" in name:
                tensor.copy_(torch.randn_like(tensor))
            elif name == "lm_head.weight":
                tensor.copy_(torch.randn_like(tensor) * 3 / tensor.shape[-1] ** 0.5)
            else:
                tensor.copy_(torch.randn_like(tensor) * 1.5 / tensor.shape[-1] ** 0.5)
    return config, model


def split_experts(name, tensor):
    """The published form: one tensor per expert and projection."""
    prefix = name.rsplit(".", 1)[0]
    for expert, matrix in enumerate(tensor):
        if name.endswith("gate_up_proj"):
            gate, up = matrix.chunk(2)
            yield f"{prefix}.{expert}.gate_proj.weight", gate
            yield f"{prefix}.{expert}.up_proj.weight", up
        else:
            yield f"{prefix}.{expert}.down_proj.weight", matrix


def quantise(tensor):
    """FP8 with one scale per 128 × 128 block; returns (fp8, scale_inv, dequantised)."""
    rows, cols = tensor.shape
    blocks = [(r, c) for r in range(0, rows, BLOCK) for c in range(0, cols, BLOCK)]
    scales = torch.zeros(-(-rows // BLOCK), -(-cols // BLOCK))
    fp8 = torch.zeros(rows, cols, dtype=torch.float8_e4m3fn)
    back = torch.zeros(rows, cols)
    for r, c in blocks:
        part = tensor[r:r + BLOCK, c:c + BLOCK]
        scale = part.abs().max() / FP8_MAX
        scales[r // BLOCK, c // BLOCK] = scale
        fp8[r:r + BLOCK, c:c + BLOCK] = (part / scale).to(torch.float8_e4m3fn)
        back[r:r + BLOCK, c:c + BLOCK] = fp8[r:r + BLOCK, c:c + BLOCK].float() * scale
    return fp8, scales, back


def is_quantised(name, tensor):
    kept = ("embed_tokens", "lm_head", "gate.weight", "shared_expert_gate", "conv1d", "in_proj_ba", "norm")
    return tensor.dim() == 2 and not any(k in name for k in kept)


def store(model, kind, fused):
    """The tensors to save; sets the model's weights to exactly what a reader of them computes with."""
    stored = {}
    state = model.state_dict()
    for name, tensor in state.items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        parts = [(name, tensor)]
        if ".experts." in name and not fused:
            parts = list(split_experts(name, tensor))
        for part_name, part in parts:
            if kind == "fp8" and is_quantised(part_name, part):
                fp8, scales, back = quantise(part)
                stored[part_name], stored[part_name + "_scale_inv"] = fp8, scales
                part.copy_(back)
                continue
            dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32, "fp8": torch.bfloat16}[kind]
            stored[part_name] = part.to(dtype).contiguous().clone()
            part.copy_(stored[part_name].float())
    return stored


def golden_of(model, prompt):
    tokens = model.generate(torch.tensor([prompt]), max_new_tokens=GENERATED, min_new_tokens=GENERATED, do_sample=False,
                            eos_token_id=None)[0]
    logits = model(tokens[None]).logits[0].double()
    logprobs = torch.log_softmax(logits, -1)[len(prompt) - 1:-1]
    best = logprobs.topk(2).values
    return tokens, best[:, 0].float(), (best[:, 0] - best[:, 1]).float()


def taps_of(model, prompt):
    """Activations of one prompt: the residual stream after the embedding and each layer, each mixer's output, the final norm."""
    taps = {}
    hooks = []

    def keep(name):
        def hook(_module, _inputs, output):
            taps[name] = (output[0] if isinstance(output, tuple) else output)[0].detach().float().contiguous().clone()

        return hook

    hooks.append(model.model.embed_tokens.register_forward_hook(keep("embed")))
    for i, layer in enumerate(model.model.layers):
        mixer = layer.linear_attn if hasattr(layer, "linear_attn") else layer.self_attn
        hooks.append(mixer.register_forward_hook(keep(f"layers.{i}.mixer")))
        hooks.append(layer.register_forward_hook(keep(f"layers.{i}")))
    hooks.append(model.model.norm.register_forward_hook(keep("final_norm")))
    model(torch.tensor([prompt]))
    for hook in hooks:
        hook.remove()
    return taps


@torch.no_grad()
def make_case(out, name, seed):
    changes, kind, fused, lengths = CASES[name]
    config, model = make_model(changes, seed)
    stored = store(model, kind, fused)
    directory = out / name
    directory.mkdir(parents=True, exist_ok=True)
    written = config.to_dict()
    written["architectures"] = ["Qwen3NextForCausalLM"]
    if kind == "fp8":
        written["quantization_config"] = dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", weight_block_size=[BLOCK, BLOCK])
    (directory / "config.json").write_text(json.dumps(written, indent=1, sort_keys=True, default=str))
    save_file(stored, directory / "model.safetensors", metadata={"format": "pt"})
    generator = torch.Generator().manual_seed(seed)
    golden = {}
    for length in lengths:
        prompt = torch.randint(3, config.vocab_size, (length,), generator=generator).tolist()
        tokens, logprobs, gaps = golden_of(model, prompt)
        golden[f"tokens.{length}"] = tokens.to(torch.int32)
        golden[f"logprobs.{length}"], golden[f"gaps.{length}"] = logprobs, gaps
        if name == "bf16_base" and length == 65:
            golden.update({f"tap.{k}": v for k, v in taps_of(model, prompt).items()})
    save_file(golden, directory / "golden.safetensors")
    print(name, {k: round(float(v.min()), 4) for k, v in golden.items() if k.startswith("gaps")})


def main():
    out = pathlib.Path(sys.argv[1])
    for seed, name in enumerate(CASES):
        make_case(out, name, seed + 1)


main()
