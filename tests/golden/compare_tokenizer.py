#!/usr/bin/env python3
"""Live comparison of our tokenizer with Hugging Face `tokenizers` on one tokenizer.json.

Everything the goldens cover by hashes and more, text by text, so a difference is printed as it is:
every Unicode scalar alone and in ten contexts, random strings, prose, Chinese, code, long runs of one
character, invalid UTF-8, NFC in hostile orders, decoding of random ids, incremental detokenisation.

    python3 tests/golden/compare_tokenizer.py PROBE DIRECTORY [--quick]

PROBE is the built `tokenizer_probe`; DIRECTORY holds tokenizer.json. Exit status 1 on any difference.
"""
import argparse
import collections
import pathlib
import random
import struct
import subprocess
import sys
import threading
import time

import tokenizer_corpora as corpora
from tokenizers import Tokenizer

BATCH = 2048


class Probe:
    def __init__(self, program, directory):
        self.process = subprocess.Popen([program, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, op, payloads):
        requests = b"".join(op.encode() + struct.pack("=I", len(p)) + p for p in payloads)
        writer = threading.Thread(target=self._write, args=(requests,))
        writer.start()
        answers = []
        for _ in payloads:
            size, = struct.unpack("=I", self._read(4))
            answers.append(self._read(size))
        writer.join()
        return answers

    def _write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def _read(self, size):
        data = self.process.stdout.read(size)
        if len(data) != size:
            raise SystemExit("tokenizer_probe stopped")
        return data


class Comparison:
    def __init__(self, probe, reference):
        self.probe, self.reference = probe, reference
        self.counts, self.differences = collections.Counter(), collections.Counter()

    def check(self, name, what, ours, theirs):
        self.counts[name] += 1
        if ours != theirs:
            self.differences[name] += 1
            if self.differences[name] <= 5:
                print(f"  {name}: {what!a:.200}\n    ours   {ours!a:.300}\n    theirs {theirs!a:.300}")

    def encode(self, name, texts, op="E"):
        texts = list(texts)
        for i in range(0, len(texts), BATCH):
            part = texts[i:i + BATCH]
            ours = self.probe.ask(op, [t.encode() for t in part])
            for text, mine, theirs in zip(part, ours, self.reference.encode_batch_fast(part, add_special_tokens=False)):
                self.check(name, text, list(ids_of(mine)), theirs.ids)

    def decode(self, name, id_lists):
        for skip, whole, stepwise in ((False, "D", "I"), (True, "d", "i")):
            payloads = [struct.pack(f"={len(ids)}i", *ids) for ids in id_lists]
            for ids, ours, steps in zip(id_lists, self.probe.ask(whole, payloads), self.probe.ask(stepwise, payloads)):
                theirs = self.reference.decode(ids, skip_special_tokens=skip)
                self.check(name, ids, ours.decode("utf-8", "strict"), theirs)
                pieces = steps.split(b"\xff")[:-1]
                for piece in pieces:
                    piece.decode("utf-8", "strict")
                self.check(name + ", one by one", ids, b"".join(pieces).decode(), theirs)

    def report(self):
        """Prints all counts; the exit code."""
        for name, count in self.counts.items():
            print(f"{name:40} {count:9} texts {self.differences[name]:7} differ")
        print(f"total {self.counts.total()} compared, {self.differences.total()} differ")
        return 1 if self.differences else 0


def ids_of(data):
    return struct.unpack(f"={len(data) // 4}i", data)


def scalars(c, quick):
    for name, context in corpora.SCALAR_CONTEXTS.items():
        step = 37 if quick else 1
        c.encode(f"scalars {name}", (context(chr(s)) for s in corpora.SCALARS[::step]))


def segments(c, rng):
    """Special tokens are recognised in template pieces only; the rest is one string."""
    specials = [t.content for t in c.reference.get_added_tokens_decoder().values()]
    only_special = [t.content for t in c.reference.get_added_tokens_decoder().values() if t.special]
    texts = ["".join(rng.choice(specials + ["<|im_", "end|>", "a b", "\n", "é", " ", "日本"]) for _ in range(8))
             for _ in range(2000)]
    c.encode("added tokens", texts)
    c.reference.encode_special_tokens = True
    c.encode("special tokens as text", texts, op="e")
    c.reference.encode_special_tokens = False
    for text in texts:
        user = "".join(rng.choice(only_special + ["x", " y\n"]) for _ in range(4))
        pieces = [(1, text), (0, user), (1, "<|im_end|>\n")]
        payload = b"".join(struct.pack("=BI", mark, len(t.encode())) + t.encode() for mark, t in pieces)
        # The reference: cut at the last special token before the user's text, and the first one behind.
        cut = max((text.rfind(s) + len(s) for s in only_special if s in text), default=0)
        c.reference.encode_special_tokens = True
        middle = c.reference.encode(text[cut:] + user, add_special_tokens=False).ids
        c.reference.encode_special_tokens = False
        encode = lambda t: c.reference.encode(t, add_special_tokens=False).ids
        theirs = encode(text[:cut]) + middle + encode(pieces[2][1])
        c.check("pieces", pieces, list(ids_of(c.probe.ask("P", [payload])[0])), theirs)


def invalid(c, rng):
    cases = corpora.invalid_utf8(rng)
    for raw, ours, valid in zip(cases, c.probe.ask("E", cases), c.probe.ask("V", cases)):
        text = raw.decode("utf-8", "replace")
        c.check("invalid UTF-8", raw, list(ids_of(ours)), c.reference.encode(text, add_special_tokens=False).ids)
        try:
            raw.decode()
            c.check("invalid UTF-8 is found", raw, valid, b"\1")
        except UnicodeDecodeError:
            c.check("invalid UTF-8 is found", raw, valid, b"\0")


def long_runs(c):
    for char in ["a", " ", "\n", "é", "好", "0", "=", "\u0301", "ab"]:
        text = char * (1_000_000 // len(char.encode()))
        started = time.monotonic()
        ours = list(ids_of(c.probe.ask("E", [text.encode()])[0]))
        seconds = time.monotonic() - started
        c.check("1 MB of one character", char, ours, c.reference.encode(text, add_special_tokens=False).ids)
        print(f"  1 MB of {char!a}: {seconds:.2f} s with the pipe")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("probe")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="every 37th scalar, fewer random texts")
    args = parser.parse_args()
    c = Comparison(Probe(args.probe, str(args.directory)), Tokenizer.from_file(str(args.directory / "tokenizer.json")))
    rng = random.Random(20261123)
    n = 1000 if args.quick else 10_000

    for name, texts in corpora.texts().items():
        c.encode(name, texts)
    c.encode("random strings", corpora.random_strings(rng, n))
    c.encode("white space and newlines", corpora.space_strings(rng, n))
    c.encode("combining sequences", corpora.combining_strings(rng, n))
    segments(c, rng)
    invalid(c, rng)
    size = c.reference.get_vocab_size()
    c.decode("decoding", [[i] for i in range(size + 300)] if not args.quick else [[i] for i in range(0, size + 300, 41)])
    c.decode("decoding of random ids", corpora.random_ids(rng, n, size))
    long_runs(c)
    scalars(c, args.quick)

    return c.report()


if __name__ == "__main__":
    sys.exit(main())
