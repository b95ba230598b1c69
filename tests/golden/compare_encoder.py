#!/usr/bin/env python3
"""Live comparison of our sentence encoder with `tokenizers` and sentence-transformers on one directory.

Ids: every Unicode scalar alone and in ten contexts, random strings, prose, Chinese, code, typed special tokens,
invalid UTF-8, long runs; whole and cut as the encoder cuts them. Embeddings: the 1,000 texts of encoder_corpora.

    python3 tests/golden/compare_encoder.py PROBE DIRECTORY [--quick]

PROBE is the built `encoder_probe`. Exit status 1 on any difference of ids, or a cosine below 0.9999.
"""
import argparse
import pathlib
import random
import sys

import encoder_corpora
import numpy as np
import tokenizer_corpora as corpora
import torch
from compare_tokenizer import BATCH, Comparison, Probe, ids_of
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

COSINE_MIN = 0.9999


def ids(c, name, texts, op="N"):
    texts = list(texts)
    for i in range(0, len(texts), BATCH):
        part = texts[i:i + BATCH]
        for text, ours, theirs in zip(part, c.probe.ask(op, [t.encode() for t in part]), c.reference.encode_batch(part)):
            c.check(name, text, list(ids_of(ours)), theirs.ids)


def embeddings(c, model):
    texts = encoder_corpora.texts()
    theirs = model.encode(texts, batch_size=1, show_progress_bar=False).astype(np.float64)
    ours = np.stack([np.frombuffer(e, np.float32) for e in c.probe.ask("E", [t.encode() for t in texts])]).astype(np.float64)
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    print(f"{len(texts)} embeddings: lowest cosine {cosines.min():.9f}, largest difference {np.abs(ours - theirs).max():.2e}")
    for text, cosine in zip(texts, cosines):
        c.check("embeddings", text, bool(cosine >= COSINE_MIN), True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("probe")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="every 37th scalar, fewer random texts")
    args = parser.parse_args()
    model = SentenceTransformer(str(args.directory), device="cpu", model_kwargs={"dtype": torch.float32})
    reference = Tokenizer.from_file(str(args.directory / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    c = Comparison(Probe(args.probe, str(args.directory)), reference)
    rng = random.Random(20261127)
    n = 1000 if args.quick else 100_000
    embeddings(c, model)
    texts = encoder_corpora.texts()
    ids(c, "the 1,000 texts", texts)
    ids(c, "random strings", corpora.random_strings(rng, n))
    ids(c, "white space and newlines", corpora.space_strings(rng, n))
    ids(c, "combining sequences", corpora.combining_strings(rng, n))
    for special in (encoder_corpora.SPECIAL, encoder_corpora.UNIGRAM_SPECIAL):
        ids(c, "special tokens", ("".join(rng.choice(special) for _ in range(8)) for _ in range(n)))
    ids(c, "long runs", [char * 20_000 for char in ("a", " ", "\n", "é", "好", "0", "=", "\u0301", "a ", "\u1e69 ")])
    for raw, ours in zip(cases := corpora.invalid_utf8(rng), c.probe.ask("N", cases)):
        c.check("invalid UTF-8", raw, list(ids_of(ours)), c.reference.encode(raw.decode("utf-8", "replace")).ids)
    for name, context in corpora.SCALAR_CONTEXTS.items():
        ids(c, f"scalars {name}", (context(chr(s)) for s in corpora.SCALARS[::37 if args.quick else 1]))
    reference.enable_truncation(model.max_seq_length)
    ids(c, "cut to the maximum length", texts + corpora.random_strings(rng, n), op="T")

    return c.report()


if __name__ == "__main__":
    sys.exit(main())
