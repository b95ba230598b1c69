#!/usr/bin/env python3
"""Twenty minutes of mixed traffic against one server, and what it holds meanwhile: memory, threads, open files.

    ~/.cache/nextgate/deps/test-venv/bin/python bench/soak.py [--minutes 20] [--rate 50]

New questions and repeated ones, bodies and streams, clients that leave in the middle, requests that are refused, an
invalidation now and then; a Redis beside it. The answer cache is small, so that it is full after a minute. Prints a
table by the minute, and at the end the growth from the fifth minute on."""

import argparse
import datetime
import pathlib
import platform
import random
import secrets
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

import httpx  # noqa: E402

from conftest import Server  # noqa: E402
from redis_server import RedisServer  # noqa: E402

WORDS = [line.split("\t")[0] for line in (ROOT / "models/dictionary/glosses.tsv").read_text().splitlines()]


class Traffic:
    def __init__(self, server, rate):
        self.server, self.rate = server, rate
        self.counts = {}
        self.failures = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(16)]

    def _count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def _run(self, seed):
        rng = random.Random(seed)
        with httpx.Client(timeout=60) as client:
            while not self.stopping.wait(rng.expovariate(self.rate / 16)):
                try:
                    self._one(client, rng)
                except Exception as error:  # noqa: BLE001: whatever goes wrong is what is looked for
                    with self.lock:
                        self.failures.append(repr(error))

    def _one(self, client, rng):
        url = self.server.url + "/v1/chat/completions"
        word = rng.choice(WORDS) if rng.random() < 0.5 else WORDS[int(rng.paretovariate(1.2)) % 50]
        body = {"model": "dictionary", "max_tokens": 32, "messages": [{"role": "user", "content": f"Define {word}."}]}
        kind = rng.random()
        if kind < 0.45:
            reply = client.post(url, json=body)
            assert reply.status_code == 200, reply.text
            self._count(reply.headers["X-Cache"])
        elif kind < 0.85:
            with client.stream("POST", url, json={**body, "stream": True}) as reply:
                assert reply.status_code == 200 and "[DONE]" in "".join(reply.iter_text())
                self._count(reply.headers["X-Cache"])
        elif kind < 0.93:
            body.update(max_tokens=2000, min_tokens=2000, ignore_eos=True, temperature=1)
            with client.stream("POST", url, json={**body, "stream": True}) as reply:
                next(reply.iter_raw())
            self._count("left")
        elif kind < 0.999:
            reply = client.post(url, json={**body, "max_tokens": "many"})
            assert reply.status_code == 400, reply.text
            self._count("refused")
        else:
            reply = client.post(self.server.admin_url + "/admin/cache/invalidate", json={"older_than": 1})
            assert reply.status_code == 200, reply.text
            self._count("invalidated")


def held(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    figure = dict(line.split(":\t", 1) for line in status.splitlines())
    return (int(figure["VmRSS"].split()[0]) / 1024, int(figure["Threads"]),
            len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=int, default=20)
    arguments.add_argument("--rate", type=float, default=50, help="requests a second")
    options = arguments.parse_args()
    redis = RedisServer()
    server = Server("--cache-url", redis.url, "--cache-memory-bytes", str(4 << 20), "--disable-access-log",
                    env={"NEXTGATE_CACHE_SECRET": secrets.token_hex(32)})
    print(f"{datetime.date.today()}, {platform.machine()}, {options.minutes} min at {options.rate:g} requests/s\n")
    print("| minute | resident MB | threads | open files |\n|---|---|---|---|")
    traffic = Traffic(server, options.rate)
    for thread in traffic.threads:
        thread.start()
    rows = []
    for minute in range(options.minutes + 1):
        rows.append(held(server.process.pid))
        print(f"| {minute} | {rows[-1][0]:.1f} | {rows[-1][1]} | {rows[-1][2]} |", flush=True)
        if minute < options.minutes:
            time.sleep(60)
    traffic.stopping.set()
    for thread in traffic.threads:
        thread.join(timeout=70)
    settled = rows[min(5, len(rows) - 1)]
    print(f"\n{traffic.counts}; {len(traffic.failures)} failures {traffic.failures[:3]}")
    print(f"from minute 5 on: {rows[-1][0] - settled[0]:+.1f} MB; SIGTERM: exit code {server.stop()}")
    redis.remove()
    return 1 if traffic.failures else 0


if __name__ == "__main__":
    sys.exit(main())
