"""Trains the dictionary: one seeded command of less than nine minutes on one NVIDIA H100.

    python make_data.py && python train.py --out ../dictionary

Batches of 65,536 tokens, mostly 256 rows of 256 and one in eight 16 rows of 4,096. Loss on the answers alone, plus the
MTP head's on the same answers and the router's load balance. fp32 master weights, bf16 products; saved as bf16.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import checkpoint
import conversations
from model import Linear, Qwen3Next

HERE = Path(__file__).parent
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--tokens", type=int, default=65536, help="per step")
    parser.add_argument("--short", type=int, default=256, help="length of a row in most steps")
    parser.add_argument("--long", type=int, default=4096, help="and in every eighth")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--mtp", type=float, default=0.2, help="weight of the MTP loss")
    parser.add_argument("--balance", type=float, default=0.002, help="weight of the load-balance loss")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--log-every", type=int, default=100)
    parser.add_argument("--tokenizer", default=HERE.parent / "dictionary", type=Path)
    return parser.parse_args()


def answer_positions(tokens, answer):
    """Where the next token is part of an answer, a fixed number of places so that shapes stay the same.

    (places in the flattened batch, next token, the one after, weights of both); unused places have weight 0.
    """
    flat, mask = tokens.reshape(-1), answer.copy()
    mask[:, 0] = False
    capacity = int(flat.size * 0.42)
    places = np.flatnonzero(mask.reshape(-1))[:capacity] - 1
    last_column = (places + 2) % tokens.shape[1] == 0
    after = np.minimum(places + 2, flat.size - 1)
    weights = np.stack([np.ones(len(places)), answer.reshape(-1)[after] & ~last_column]).astype(np.float32)
    fill = capacity - len(places)
    index = np.pad(np.stack([places, flat[places + 1], flat[after]]), ((0, 0), (0, fill)))
    return index, np.pad(weights, ((0, 0), (0, fill)))


def batches(args, data, device):
    """Endless (tokens, index, weights) on the device."""
    rng = np.random.default_rng(args.seed)
    step = 0
    while True:
        length = args.long if step % 8 == 7 else args.short
        tokens, answer = data.batch(rng, args.tokens // length, length)
        arrays = (tokens, *answer_positions(tokens, answer))
        yield tuple(torch.from_numpy(a).to(device, non_blocking=True) for a in arrays)
        step += 1


def head_loss(head, hidden, places, labels, weights):
    """(mean loss, share of right guesses) at the places."""
    logits = head(hidden.flatten(0, 1)[places]).float()
    loss = F.cross_entropy(logits, labels, reduction="none")
    total = weights.sum().clamp(min=1)
    right = (logits.argmax(-1) == labels).float()
    return (loss * weights).sum() / total, (right * weights).sum() / total


def compile_parts(model):
    """Compiles layer by layer: equal layers share their code, and compilation stays short."""
    torch._dynamo.config.recompile_limit = 64  # two shapes of every layer
    for layer in [*model.model.layers, *model.mtp.layers]:
        layer.compile(dynamic=False)
    return torch.compile(head_loss, dynamic=False)


def make_optimizer(model, args):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": args.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), eps=1e-9, fused=args.device == "cuda")


def learning_rate(args, step):
    """Linear warm-up, then a cosine to zero."""
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    return args.lr * 0.5 * (1 + np.cos(np.pi * (step - args.warmup) / (args.steps - args.warmup)))


def train(args, model, data):
    loss_of = compile_parts(model) if args.device == "cuda" else head_loss
    optimizer = make_optimizer(model, args)
    source = batches(args, data, args.device)
    log, began, seen = [], time.time(), torch.zeros(4, device=args.device)
    for step in range(args.steps):
        tokens, (places, following, second), weights = next(source)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args, step)
        hidden, ahead, balance = model(tokens)
        main, right = loss_of(model.lm_head, hidden, places, following, weights[0])
        mtp, mtp_right = loss_of(model.lm_head, ahead, places, second, weights[1])
        (main + args.mtp * mtp + args.balance * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seen += torch.stack([main.detach(), right, mtp.detach(), mtp_right])
        if (step + 1) % args.log_every == 0:
            figures = [round(x, 4) for x in (seen / args.log_every).tolist()]
            log.append([step + 1, round(time.time() - began, 1), *figures, round(balance.item(), 2)])
            print("step {} {} s loss {} right {} mtp loss {} right {} balance {}".format(*log[-1]), flush=True)
            seen.zero_()
    return log


def main():
    args = arguments()
    began = time.time()
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    config = checkpoint.config_for(tokenizer)
    if args.device == "cuda":
        Linear.dtype = torch.bfloat16
    model = Qwen3Next(config).to(args.device)
    data = conversations.load(tokenizer)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters; data ready after {time.time() - began:.0f} s", flush=True)
    log = train(args, model, data)
    checkpoint.save(model, config, args.out)
    for name in TOKENIZER_FILES:
        if args.tokenizer.resolve() != Path(args.out).resolve():
            shutil.copy(args.tokenizer / name, args.out)
    summary = {"arguments": {k: str(v) for k, v in vars(args).items() if k not in ("out", "tokenizer")},
               "columns": ["step", "seconds", "loss", "right", "mtp_loss", "mtp_right", "balance"], "log": log,
               "seconds": round(time.time() - began, 1), "torch": torch.__version__,
               "hardware": torch.cuda.get_device_name() if args.device == "cuda" else "cpu"}
    (Path(args.out) / "training_log.json").write_text(json.dumps(summary).replace("], [", "],\n [") + "\n")
    print(f"saved after {summary['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
