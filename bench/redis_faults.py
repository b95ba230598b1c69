#!/usr/bin/env python3
"""What becomes of the requests when something happens to Redis: a table, one line a fault.

    ~/.cache/nextgate/deps/test-venv/bin/python bench/redis_faults.py [--seconds 20] [--only NAME] [--out FILE]

Two instances of `nextgate serve models/dictionary` share a Redis; sixteen clients ask them 80 questions a second
(tests/e2e/redis_load.py says which). Sixteen more ask two instances without Redis the same at the same time. "worst extra" is
the largest difference between the two in latency rank by rank: the slowest of one against the slowest of the other,
and so on down to the median. In the lines "no Redis" neither has one: they are what this machine's own noise makes of it.
"""

import argparse
import contextlib
import datetime
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from conftest import BINARY, Server  # noqa: E402
from redis_faults import FAULTS  # noqa: E402
from redis_load import Load, Outcome, failures, run_fault, stats  # noqa: E402

PACE_S = 0.2
HEAD = ["what happens to Redis", "requests", "failed", "p50 ms", "p99 ms", "slowest ms", "without Redis: p50", "p99", "slowest",
        "worst extra ms", "counters agree", "stored", "lost", "served by a new instance", "stale answers"]


@contextlib.contextmanager
def servers_started():
    started = []

    def start(*flags):
        started.append(Server(*flags))
        return started[-1]

    try:
        yield start
    finally:
        for server in started:
            server.stop()


def without_redis(rounds, contents):
    with servers_started() as start:
        loads = [Load([start(), start()], rounds, PACE_S) for _ in range(2)]
        for load in loads:
            load.start()
        replies, beside = (load.wait() for load in loads)
        outcome = Outcome(replies, failures(replies, contents), beside=beside)
        counted = sum(stats(s)["requests"] for s in loads[0].servers)
        outcome.miscounted = [] if counted == len(replies) else [f"{counted} requests"]
        return outcome


def with_fault(kind, rounds, contents):
    fault = kind()
    with tempfile.TemporaryDirectory(prefix="nextgate-bench-") as directory, servers_started() as start:
        try:
            return run_fault(fault, start, pathlib.Path(directory), rounds=rounds, pace_s=PACE_S, contents=contents,
                             beside=[start(), start()])
        finally:
            fault.tear_down()


def latencies_ms(replies):
    return sorted(1000 * r.latency_s for r in replies)


def row(name, outcome):
    ours, others = latencies_ms(outcome.replies), latencies_ms(outcome.beside)
    worst = max(a - b for a, b in list(zip(ours, others))[len(ours) // 2:])
    served, entries = outcome.served_later
    figures = [f"{ms[at]:.1f}" for ms in (ours, others) for at in (len(ms) // 2, len(ms) * 99 // 100, -1)]
    return [name, str(len(ours)), str(len(outcome.failed)), *figures, f"{worst:.1f}",
            "yes" if not outcome.miscounted else "NO: " + "; ".join(outcome.miscounted), str(outcome.stored),
            "—" if outcome.lost is None else str(outcome.lost), f"{served} of {entries}" if entries else "",
            str(outcome.stale)]


def table(rows):
    widths = [max(len(line[i]) for line in rows) for i in range(len(HEAD))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
               platform.processor())
    cores = len(os.sched_getaffinity(0))
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout.split()[2]
    return f"{cpu}, {cores} cores (clients, instances and Redis on the same ones); Redis {redis.removeprefix('v=')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, help="of each load (default: %(default)s)")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--out", type=pathlib.Path, help="a Markdown file (default: bench/results/cpu-DATE-redis-faults.md)")
    arguments = parser.parse_args()
    rounds = max(20, int(arguments.seconds / PACE_S))
    contents = {}
    print(f"{BINARY}: each load takes {rounds * PACE_S:.0f} s", file=sys.stderr)
    outcomes = []
    faults = [kind for kind in FAULTS if arguments.only in kind.name]
    for kind in [None, *faults, None]:
        name = kind.name if kind else "no Redis"
        print(f"   {name}", file=sys.stderr, flush=True)
        outcomes.append((name, with_fault(kind, rounds, contents) if kind else without_redis(rounds, contents)))
    rows = [HEAD, *(row(name, outcome) for name, outcome in outcomes)]
    date = datetime.date.today().isoformat()
    text = "\n".join([
        "# What becomes of the requests when something happens to Redis", "",
        f"{date}. {machine()}.", "", f"`bench/redis_faults.py --seconds {arguments.seconds}`", "",
        f"Two instances with a Redis and two without, 16 clients and {16 / PACE_S:.0f} requests/s each, {rounds * PACE_S:.0f} s; it "
        "happens after 30 % of the time and ends after 65 %.", "", table(rows), "",
        "*worst extra*: the largest difference to the load without Redis at the same time, rank by rank from the median to the slowest.",
        "*lost*: entries that were in Redis and are not any more (—: Redis did not keep them).",
        "*served by a new instance*: how many of the entries in Redis an instance started afterwards answers from.",
        "*stale answers*: stored answers served while cut off for longer than `--cache-max-stale-s`.", ""])
    out = arguments.out or ROOT / f"bench/results/cpu-{date}-redis-faults.md"
    out.write_text(text)
    print(text)
    return 1 if any(o.failed or o.miscounted or o.lost or o.stale for _, o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
