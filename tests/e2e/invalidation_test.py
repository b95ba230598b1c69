"""Invalidation over the real thing: two instances, one Redis; each part of a predicate, one that is cut off when it
happens, late writes, restarts."""

import json
import os
import secrets
import signal
import subprocess
import time

import httpx
import pytest

from conftest import BINARY
from redis_server import RedisServer


@pytest.fixture
def redis():
    running = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    yield running
    running.remove()


@pytest.fixture
def flags(redis, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32))
    return ["--cache-url", redis.url, "--cache-secret-file", str(secret)]


def until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def invalidate(server, **parts):
    reply = httpx.post(server.admin_url + "/admin/cache/invalidate", json=parts, timeout=30)
    assert reply.status_code == 200, reply.text
    return reply.json()


def records(server):
    return httpx.get(server.admin_url + "/admin/cache/invalidations").json()


def stats(server):
    return httpx.get(server.admin_url + "/admin/cache/stats?scope=instance").json()


def outcome(server, text, **fields):
    """What would happen, without making it happen."""
    request = {"model": "dictionary", "max_tokens": 32, "messages": [{"role": "user", "content": text}], **fields}
    reply = httpx.post(server.admin_url + "/admin/cache/explain", json={"endpoint": "/v1/chat/completions", "request": request})
    return reply.json()["outcome"]


def fill(a, b, *texts, **fields):
    before = stats(a)["shared"]["stored"]
    for text in texts:
        assert a.chat(text, **fields).headers["X-Cache"] == "MISS"
    until(lambda: stats(a)["shared"]["stored"] == before + len(texts))
    for text in texts:  # a Redis that is late, as one that syncs each write to a busy disk, is a miss
        until(lambda: b.chat(text, **fields).headers["X-Cache"] == "HIT")


def test_each_predicate_is_in_force_on_both_instances_and_its_dry_run_counted_truly(start, flags):
    a, b = start(*flags), start(*flags)
    entries = {}
    for parts in ({"model": "dictionary"}, {"namespace": "docs"}, {"route": "/v1/chat/completions"},
                  {"prompt_prefix": "Define har"}, {"older_than": 0}, {"id": None}, {"all": True}):
        fields = {"cache": {"namespace": "docs"}}
        dead = ["Define harbour.", "Define harvest."]
        fill(a, b, *dead, **fields)
        fill(a, b, "Tell me of rope.")
        if "id" in parts:
            listed = httpx.get(a.admin_url + "/admin/cache/entries?namespace=docs").json()["entries"]
            parts = {"id": listed[0]["id"]}
        expected = {"namespace": 2, "prompt_prefix": 2, "id": 1}.get(next(iter(parts)), 3)
        for server in (a, b):
            dry = invalidate(server, dry_run=True, **parts)
            assert (dry["memory"], dry["redis"], dry["id"]) == (expected, expected, None), parts
        done = invalidate(a, **parts)
        assert done["shared"] is True and done["redis"] == expected and done["memory"] == expected
        began = time.monotonic()
        until(lambda: done["id"] in [r["id"] for r in records(b)["invalidations"]])
        assert time.monotonic() - began < 5
        for server in (a, b):
            outcomes = [outcome(server, text, **fields) for text in dead] + [outcome(server, "Tell me of rope.")]
            assert outcomes.count("MISS") == expected, (parts, outcomes)
            assert (outcomes[2] == "MISS") == (expected == 3)
        invalidate(a, all=True)
        until(lambda: outcome(b, "Tell me of rope.") == "MISS" and outcome(b, dead[0], **fields) == "MISS" and
              outcome(b, dead[1], **fields) == "MISS")
        until(lambda: len(records(b)["invalidations"]) == len(records(a)["invalidations"]))
    audit = [line for line in a.lines if "action=invalidate" in line]
    assert len(audit) == 7 * 3 and "parts=prompt_prefix" in a.log() and "Define har" not in a.log()


def test_one_that_was_cut_off_obeys_within_a_second_of_contact_and_a_restart_undoes_nothing(start, flags, redis):
    a, b = start(*flags), start(*flags)
    fill(a, b, "Define harbour.")
    b.process.send_signal(signal.SIGSTOP)  # cut off from everything
    invalidate(a, prompt_prefix="Define")
    assert outcome(a, "Define harbour.") == "MISS"
    b.process.send_signal(signal.SIGCONT)
    began = time.monotonic()
    until(lambda: outcome(b, "Define harbour.") == "MISS")
    assert time.monotonic() - began < 2
    assert b.chat("Define harbour.").headers["X-Cache"] == "MISS"
    assert a.chat("Define harbour.").status_code == 200
    fill(a, b, "Define rope.")
    redis.kill()
    done = invalidate(a, prompt_prefix="Define r")
    assert done["shared"] is False and done["redis"] is None and records(a)["pending"] == 1
    assert a.chat("Define rope.").headers["X-Cache"] == "MISS"
    assert b.chat("Define rope.").headers["X-Cache"] == "HIT"  # nobody could tell it
    redis.start()
    until(lambda: records(a)["pending"] == 0 and done["id"] in [r["id"] for r in records(b)["invalidations"]], 60)
    assert outcome(b, "Define rope.") == "MISS"
    b.stop()
    c = start(*flags)
    assert {done["id"]} <= {r["id"] for r in records(c)["invalidations"]}
    assert outcome(c, "Define rope.") == "MISS"


def test_who_has_not_heard_from_redis_for_too_long_serves_nothing_stored_until_it_has_caught_up(start, flags, redis):
    server = start(*flags, "--cache-max-stale-s", "1")
    server.chat("Define harbour.")
    until(lambda: outcome(server, "Define harbour.") == "HIT")
    redis.pause()
    until(lambda: records(server)["stale"])
    reply = server.chat("Define harbour.")
    assert reply.status_code == 200
    assert (reply.headers["X-Cache"], reply.headers["X-Cache-Reason"]) == ("BYPASS", "stale")
    assert server.chat("Define harbour.", headers={"Cache-Control": "only-if-cached"}).status_code == 504
    redis.resume()
    until(lambda: not records(server)["stale"])
    assert server.chat("Define harbour.").headers["X-Cache"] == "HIT"
    assert stats(server)["bypass"]["stale"] == 2


def test_an_answer_in_the_making_when_it_happened_is_neither_kept_nor_followed(start, flags):
    a, b = start(*flags), start(*flags)
    request = dict(model="dictionary", stream=True, max_tokens=400, extra_body={"ignore_eos": True},
                   messages=[{"role": "user", "content": "Tell me everything."}])
    stream = a.client().chat.completions.create(**request)
    next(iter(stream))
    invalidate(b, all=True)
    until(lambda: records(a)["invalidations"])
    for _ in stream:
        pass
    until(lambda: stats(a)["writer"]["queued"] == 0)
    time.sleep(0.3)
    for server in (a, b):
        assert outcome(server, "Tell me everything.", max_tokens=400, ignore_eos=True) == "MISS"


def test_the_command_counts_first_and_does_it_with_yes(start):
    server = start()

    def admin(*arguments):
        return subprocess.run([BINARY, "admin", *arguments, "--url", server.admin_url], capture_output=True, text=True,
                              timeout=60, env=dict(os.environ))

    server.chat("Define harbour.")
    until(lambda: outcome(server, "Define harbour.") == "HIT")
    dry = admin("invalidate", "--model", "dictionary")
    assert dry.returncode == 0 and "it would be 1 answer in" in dry.stdout and "--yes" in dry.stdout
    assert outcome(server, "Define harbour.") == "HIT"
    assert admin("invalidate").returncode == 1
    assert admin("invalidate", "--older-than", "x").returncode == 2
    done = json.loads(admin("invalidate", "--prompt-prefix", "Define", "--yes", "--json").stdout)
    assert done["memory"] == 1 and done["redis"] is None and done["shared"] is None
    assert outcome(server, "Define harbour.") == "MISS"
    table = admin("invalidations").stdout
    assert done["id"] in table and "Define" not in table
