#!/usr/bin/env python3
"""Writes what Hugging Face `tokenizers` makes of many texts, for tests/engine/tokenizer.

    python3 tests/golden/make_tokenizer_goldens.py NAME DIRECTORY [--scalars]

NAME.jsonl: texts with ids, ids with texts, long runs, and CRC-32 sums over the ids of seeded random
strings, 100 strings a sum. NAME_scalars.txt (with --scalars): for each 1,024 scalars one line with a sum
for each context of tokenizer_corpora.SCALAR_CONTEXTS. A sum runs over [count, ids…] of each text, i32.
"""
import argparse
import array
import json
import pathlib
import random
import zlib

import tokenizer_corpora as corpora
import tokenizers

OUT = pathlib.Path(__file__).resolve().parent / "data" / "tokenizer"
SCALARS_PER_BLOCK = 1024
STRINGS_PER_SUM = 100
STRINGS = 10_000


def crc(id_lists):
    total = 0
    for ids in id_lists:
        total = zlib.crc32(array.array("i", [len(ids), *ids]).tobytes(), total)
    return f"{total:08x}"


def encode_all(tokenizer, texts):
    return [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def rows(tokenizer):
    rng = random.Random(4)
    texts = corpora.texts()
    chosen = [t for name in ("Chinese", "code", "mixed") for t in texts[name]] + texts["English"][3:60]
    specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    chosen += ["".join(rng.choice(specials + ["<|im_", "end|>", "a b", "\n", "é"]) for _ in range(6)) for _ in range(100)]
    for text, ids in zip(chosen, encode_all(tokenizer, chosen)):
        tokenizer.encode_special_tokens = True
        as_text = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
        yield {"text": text, "ids": ids} | ({"ids_special_as_text": as_text} if as_text != ids else {})
    size = tokenizer.get_vocab_size()
    id_lists = corpora.random_ids(rng, 300, size) + [[i] for i in range(256)] + [[size - 1], [size], [size + 299]]
    for ids in id_lists:
        yield {"decode": ids, "text": tokenizer.decode(ids, skip_special_tokens=False),
               "text_skip": tokenizer.decode(ids, skip_special_tokens=True)}
    for raw in corpora.invalid_utf8(rng)[:200]:
        yield {"bytes": list(raw), "ids": tokenizer.encode(raw.decode("utf-8", "replace"), add_special_tokens=False).ids}
    for unit in ["a", " ", "\n", "é", "好", "0", "=", "\u0301", "ab"]:
        count = 1_000_000 // len(unit.encode())
        ids = tokenizer.encode(unit * count, add_special_tokens=False).ids
        yield {"unit": unit, "count": count, "num_ids": len(ids), "sum": crc([ids])}
    for family, ranges in corpora.FAMILIES.items():
        strings = corpora.SplitMix64(len(family))
        sums = []
        for _ in range(STRINGS // STRINGS_PER_SUM):
            part = [corpora.family_string(strings, ranges) for _ in range(STRINGS_PER_SUM)]
            sums.append(crc(encode_all(tokenizer, part)))
        yield {"family": family, "sums": sums}


def scalar_lines(tokenizer):
    for first in range(0, 0x110000, SCALARS_PER_BLOCK):
        block = [chr(c) for c in range(first, first + SCALARS_PER_BLOCK) if not 0xD800 <= c < 0xE000]
        if block:
            sums = [crc(encode_all(tokenizer, [context(c) for c in block])) for context in corpora.SCALAR_CONTEXTS.values()]
            yield f"{first:06X} {' '.join(sums)}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--scalars", action="store_true")
    args = parser.parse_args()
    tokenizer = tokenizers.Tokenizer.from_file(str(args.directory / "tokenizer.json"))
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / f"{args.name}.jsonl", "w") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows(tokenizer))
    if args.scalars:
        with open(OUT / f"{args.name}_scalars.txt", "w") as file:
            file.writelines(scalar_lines(tokenizer))


if __name__ == "__main__":
    main()
