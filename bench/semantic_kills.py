#!/usr/bin/env python3
"""Do instances that share a Redis find the same stored questions, whoever stored them and whoever was killed?

    ~/.cache/nextgate/deps/test-venv/bin/python bench/semantic_kills.py [--kills 50] [--embedding-model DIR]

Two instances of `nextgate serve models/dictionary` with the semantic tier answer new questions all the time. Again and again one of
them, by turns, gets SIGKILL at a random moment and is started anew; one of them keeps its index as a file, so both ways of starting are
there. After each kill the questions stop; measured is how long it takes until both instances have as many questions in their index and
name, for paraphrases of twenty stored ones, the same entries with the same cosines.
"""

import argparse
import datetime
import os
import pathlib
import random
import secrets
import statistics
import sys
import tempfile
import threading
import time

import httpx

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from conftest import Server  # noqa: E402
from redis_server import RedisServer  # noqa: E402

THINGS = ["harbour", "anchor", "rope", "lighthouse", "sail", "compass", "tide", "captain", "island", "storm", "map", "crew", "cargo", "deck", "mast"]
ASPECTS = ["history", "price", "colour", "weight", "purpose", "maker", "danger", "repair", "name", "beauty", "age", "law", "sound", "taste"]


def question(i):
    return f"Tell me about the {ASPECTS[i // len(THINGS) % len(ASPECTS)]} of a {THINGS[i % len(THINGS)]} in town {i // (len(THINGS) * len(ASPECTS))}."


def paraphrase(i):
    return "Please, " + question(i)[0].lower() + question(i)[1:]


def explain(server, text):
    body = {"endpoint": "/v1/chat/completions",
            "request": {"model": "dictionary", "max_tokens": 8, "messages": [{"role": "user", "content": text}]}}
    told = httpx.post(server.admin_url + "/admin/cache/explain", json=body, timeout=30).json()
    tier = next(t for t in told["tiers"] if t["tier"] == "semantic")
    return [(n["id"], round(n["cosine"], 4)) for n in tier.get("neighbours", [])]


def entries(server):
    return httpx.get(server.admin_url + "/admin/cache/stats", params={"scope": "instance"}, timeout=30).json()["semantic"]["index"]["entries"]


class Asking(threading.Thread):
    """Asks the instances in turn, a new question each time, until told to stop."""

    def __init__(self, servers, first):
        super().__init__(daemon=True)
        self.servers, self.next, self.going = servers, first, True
        self.start()

    def run(self):
        while self.going:
            server = self.servers[self.next % 2]
            body = {"model": "dictionary", "max_tokens": 8, "messages": [{"role": "user", "content": question(self.next)}]}
            try:
                httpx.post(server.url + "/v1/chat/completions", json=body, timeout=30)
            except httpx.HTTPError:
                time.sleep(0.02)  # it was killed under us
            self.next += 1

    def stop(self):
        self.going = False
        self.join()
        return self.next


def settle(a, b, asked):
    """Seconds until both say the same, from now on; None after 20."""
    sample = random.sample(range(asked), min(20, asked))
    began = time.monotonic()
    while time.monotonic() < began + 20:
        looked = time.monotonic() - began
        if entries(a) == entries(b) and all(explain(a, paraphrase(i)) == explain(b, paraphrase(i)) for i in sample):
            return looked
        time.sleep(0.02)
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--embedding-model", default="minilm")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random.seed(args.seed)
    redis = RedisServer()
    with tempfile.TemporaryDirectory() as directory:
        secret = pathlib.Path(directory) / "secret"
        secret.touch(0o600)
        secret.write_text(secrets.token_hex(32))
        flags = ["--cache-url", redis.url, "--cache-secret-file", str(secret), "--embedding-model", args.embedding_model,
                 "--embedding-timeout-ms", "5000", "--cache-semantic-verifier", "static"]
        extra = [["--cache-semantic-dir", directory], []]
        servers = [Server(*flags, *more) for more in extra]
        asked, times, unlike = 0, [], 0
        for kill in range(args.kills):
            asking = Asking(servers, asked)
            time.sleep(random.uniform(0.05, 1.0))
            victim = kill % 2
            servers[victim].process.kill()
            servers[victim].process.wait()
            time.sleep(random.uniform(0, 0.3))  # the other one goes on
            servers[victim] = Server(*flags, *extra[victim])
            time.sleep(0.2)
            asked = asking.stop()
            took = settle(*servers, asked)
            if took is None:
                unlike += 1
                print(f"kill {kill}: not alike after 20 s: {[entries(s) for s in servers]}", flush=True)
            else:
                times.append(took)
        print(f"{datetime.date.today()}, {os.cpu_count()} cores: {args.kills} kills, {asked} questions asked, "
              f"{[entries(s) for s in servers]} in the indexes; alike {len(times)} times")
        if times:
            print(f"until alike: median {statistics.median(times) * 1000:.0f} ms, slowest {max(times) * 1000:.0f} ms")
        for server in servers:
            server.stop()
    redis.remove()
    return 1 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
