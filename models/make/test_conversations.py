"""Pieces joined are tokenised as the joined text is, and training text holds no held-out phrasing or unknown word."""

import json
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

import conversations

HERE = Path(__file__).parent


def main():
    tokenizer = Tokenizer.from_file(str(HERE.parent / "dictionary/tokenizer.json"))
    data = conversations.load(tokenizer)
    rng = np.random.default_rng(5)
    for rows, length in ((64, 256), (4, 4096)):
        layout = data.layout(rng, rows, length)
        for row in layout:
            joined = np.concatenate([data.pieces.pool[o:o + n] for o, n in zip(
                data.pieces.offset[row], data.pieces.length[row])])
            text = "".join(data.pieces.texts[i] for i in row)
            assert tokenizer.encode(text).ids == joined.tolist(), text[:2000]
    tokens, answer = data.batch(rng, 256, 256)
    unknown = {f" {w} " for w in json.loads((HERE / "held_out.json").read_text())["unknown"]}
    for row in tokens:
        text = "".join(c if c.isalpha() else " " for c in tokenizer.decode(row.tolist()).lower())
        assert not any(w in f" {text} " for w in unknown)
    print(tokenizer.decode(tokens[0].tolist(), skip_special_tokens=False))
    began = time.time()
    data.batch(rng, 256, 256)
    print(f"one batch of 65,536 tokens: {(time.time() - began) * 1e3:.0f} ms; {answer.mean():.0%} of them in answers")


if __name__ == "__main__":
    main()
