#!/usr/bin/env python3
"""What becomes of the requests when something happens to Redis: a table, one line a fault.

    ~/.cache/nextgate/deps/test-venv/bin/python bench/redis_faults.py [--seconds 20] [--only NAME] [--out FILE]

Two instances of `nextgate serve models/dictionary` share a Redis; sixteen clients ask them 160 questions a second
(tests/e2e/redis_load.py says which). The same load without any Redis is run before, between and after. "worst extra" is the
largest difference between the two loads' latencies rank by rank, the slowest of one against the slowest of the other,
and so on down to the median; the line "no Redis, again" is what this machine's own noise makes of it.
"""

import argparse
import contextlib
import datetime
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from conftest import BINARY, Server  # noqa: E402
from redis_faults import FAULTS  # noqa: E402
from redis_load import Load, Outcome, failures, miscounted, run_fault, stats  # noqa: E402

PACE_S = 0.1
HEAD = ["what happens to Redis", "requests", "failed", "p50 ms", "p99 ms", "slowest ms", "worst extra ms", "counters agree",
        "stored", "lost", "served by a new instance", "stale answers"]


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
        servers = [start(), start()]
        load = Load(servers, rounds, PACE_S)
        load.start()
        replies = load.wait()
        outcome = Outcome(replies, failures(replies, contents))
        outcome.miscounted = [] if sum(stats(s)["requests"] for s in servers) == len(replies) else ["requests"]
        return outcome


def with_fault(kind, rounds, contents):
    fault = kind()
    with tempfile.TemporaryDirectory(prefix="nextgate-bench-") as directory, servers_started() as start:
        try:
            return run_fault(fault, start, pathlib.Path(directory), rounds=rounds, pace_s=PACE_S, contents=contents)
        finally:
            fault.tear_down()


def latencies_ms(outcome):
    return sorted(1000 * r.latency_s for r in outcome.replies)


def worst_extra_ms(outcome, baselines):
    """Against the mean of the baselines, rank by rank from the median up."""
    ours, others = latencies_ms(outcome), [latencies_ms(b) for b in baselines]
    return max(ours[i] - statistics.mean(o[i] for o in others) for i in range(len(ours) // 2, len(ours)))


def row(name, outcome, baselines):
    ms = latencies_ms(outcome)
    served, entries = outcome.served_later
    return [name, str(len(ms)), str(len(outcome.failed)), f"{ms[len(ms) // 2]:.1f}", f"{ms[len(ms) * 99 // 100]:.1f}",
            f"{ms[-1]:.1f}", f"{worst_extra_ms(outcome, baselines):.1f}" if baselines else "",
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
    baselines, outcomes = [without_redis(rounds, contents)], []
    faults = [kind for kind in FAULTS if arguments.only in kind.name]
    for i, kind in enumerate(faults):
        print(f"   {kind.name}", file=sys.stderr)
        outcomes.append((kind.name, with_fault(kind, rounds, contents)))
        if i == len(faults) // 2:
            baselines.append(without_redis(rounds, contents))
    again = without_redis(rounds, contents)
    rows = [HEAD, *(row(name, outcome, baselines) for name, outcome in outcomes)]
    rows[1:1] = [row("no Redis at all", baselines[0], []), row("no Redis, again", again, baselines)]
    date = datetime.date.today().isoformat()
    text = "\n".join([
        "# What becomes of the requests when something happens to Redis", "",
        f"{date}. {machine()}.", "", f"`bench/redis_faults.py --seconds {arguments.seconds}`", "",
        f"Two instances, 16 clients, {16 / PACE_S:.0f} requests/s, {rounds * PACE_S:.0f} s; it happens after 30 % of the time and ends "
        "after 65 %.", "", table(rows), "",
        "*worst extra*: the largest difference to the load without Redis, rank by rank from the median to the slowest.",
        "*lost*: entries that were in Redis and are not any more (—: Redis did not keep them).",
        "*served by a new instance*: how many of the entries in Redis an instance started afterwards answers from.",
        "*stale answers*: stored answers served while cut off for longer than `--cache-max-stale-s`.", ""])
    out = arguments.out or ROOT / f"bench/results/cpu-{date}-redis-faults.md"
    out.write_text(text)
    print(text)
    return 1 if any(o.failed or o.miscounted or o.lost or o.stale for _, o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
