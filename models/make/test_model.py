"""The training module against Hugging Face's Qwen3NextForCausalLM: equal logits on equal weights, fp32, on the CPU.

    python test_model.py [--checkpoint FOLDER]     # without one: random weights, made large enough to matter
"""

import argparse
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import Qwen3NextForCausalLM

import checkpoint
from model import Qwen3Next

MODEL = Path(__file__).parent.parent / "dictionary"


def random_model(config):
    """Weights with some spread everywhere, so that no branch is close to nothing."""
    torch.manual_seed(3)
    model = Qwen3Next(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(torch.randn_like(p) * (0.05 if p.dim() > 1 else 0.2))
    return model


def reference_agrees(config, folder, lengths=(1, 31, 64, 200, 700)):
    reference, loading = Qwen3NextForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not loading["missing_keys"] and not loading["mismatched_keys"], loading
    model = Qwen3Next(config)
    checkpoint.load(model, folder)
    worst = 0.0
    for length in lengths:
        tokens = torch.randint(0, config["vocab_size"], (2, length))
        with torch.no_grad():
            expected = reference(tokens).logits
            logits = model.lm_head(model(tokens)[0])
        difference = ((logits - expected).norm() / expected.norm()).item()
        print(f"{length} tokens: relative difference {difference:.1e}, largest {(logits - expected).abs().max():.1e}")
        worst = max(worst, difference)
    return worst < 1e-4


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint")
    args = parser.parse_args()
    config = checkpoint.config_for(Tokenizer.from_file(str(MODEL / "tokenizer.json")))
    with tempfile.TemporaryDirectory() as scratch:
        if not args.checkpoint:
            checkpoint.save(random_model(config), config, scratch)
        assert reference_agrees(config, args.checkpoint or scratch)
    print("the module and the reference agree")


if __name__ == "__main__":
    main()
