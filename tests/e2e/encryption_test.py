"""What lies in Redis is encrypted (--cache-encryption-key-file): nothing of it can be read there, keys can be
rotated, and whatever cannot be decrypted is a miss."""

import concurrent.futures
import pathlib
import secrets
import subprocess

import httpx
import pytest

from conftest import BINARY, MODEL
from redis_server import RedisServer
from shared_cache_test import content, shared_flags, stats, until


@pytest.fixture
def redis():
    running = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    yield running
    running.remove()


def key_file(tmp_path, name, *keys):
    path = tmp_path / name
    path.touch(0o600)
    path.write_text("\n".join(keys) + "\n")
    return ["--cache-encryption-key-file", str(path)]


def ever_written(redis):
    """Everything that was ever written to this Redis, expired or not."""
    return b"".join(p.read_bytes() for p in pathlib.Path(redis.dir).rglob("*") if p.is_file() and p.name != "log")


def entry_keys(redis):
    out = subprocess.run(["redis-cli", "-p", str(redis.port), "--scan", "--pattern", "*:e:*"], capture_output=True,
                         text=True, check=True)
    return sorted(out.stdout.split())


def ask_and_invalidate(server):
    answers = [content(server.chat(f"Define {word}.")) for word in ("harbour", "lighthouse")]
    until(lambda: stats(server)["shared"]["stored"] == 2)
    httpx.post(server.admin_url + "/admin/cache/invalidate", json={"prompt_prefix": "Define lighth"}).raise_for_status()
    return answers


def test_neither_prompt_nor_answer_is_ever_in_redis(start, redis, tmp_path):
    flags = shared_flags(redis, tmp_path)
    answers = ask_and_invalidate(start(*flags))
    words = {" " + word.strip(".,;") for answer in answers for word in answer.split() if len(word) > 4}
    assert len(words) >= 3
    plain = ever_written(redis)
    # Without keys the scan finds it: in live records, and the prefix.
    assert any(word.encode() in plain for word in words) and b"Define lighth" in plain

    sealed = RedisServer("--appendonly", "yes", "--appendfsync", "always")
    try:
        flags = shared_flags(sealed, tmp_path) + key_file(tmp_path, "keys", secrets.token_hex(32))
        a, b = start(*flags), start(*flags)
        assert ask_and_invalidate(a) == answers
        hit = b.chat("Define harbour.")
        assert hit.headers["X-Cache"] == "HIT" and content(hit) == answers[0]
        until(lambda: b.chat("Define lighthouse.").headers["X-Cache"] != "HIT")
        written = ever_written(sealed)
        assert len(entry_keys(sealed)) > 0 and b"NGE4" in written and b"NGX1" in written
        for secret in [*words, "harbour", "lighthouse", "Define", "lighth"]:
            assert secret.encode() not in written, secret
        assert stats(b)["shared"]["encrypts"] and stats(b)["shared"]["undecryptable"] == {"no_key": 0, "damaged": 0}
        # Operators read through it.
        entries = httpx.get(a.admin_url + "/admin/cache/entries").json()["entries"]
        shown = [httpx.get(b.admin_url + f"/admin/cache/entries/{entry['id']}").json() for entry in entries]
        assert answers[0] in [entry["choices"][0]["text"] for entry in shown]
        assert "Define harbour." in [entry["request"]["messages"][0]["content"] for entry in shown]
    finally:
        sealed.remove()


def test_keys_are_rotated_and_a_missing_one_is_a_miss(start, redis, tmp_path):
    one, two = secrets.token_hex(32), secrets.token_hex(32)
    flags = shared_flags(redis, tmp_path)
    old = start(*flags, *key_file(tmp_path, "old", one))
    both = start(*flags, *key_file(tmp_path, "both", two, one))
    new = start(*flags, *key_file(tmp_path, "new", two))
    without = start(*flags)

    first = old.chat("Define harbour.")
    until(lambda: stats(old)["shared"]["stored"] == 1)
    assert both.chat("Define harbour.").headers["X-Cache"] == "HIT"
    missed = new.chat("Define harbour.")
    assert (missed.status_code, missed.headers["X-Cache"]) == (200, "MISS") and content(missed) == content(first)
    assert stats(new)["shared"]["undecryptable"]["no_key"] >= 1
    assert new.metric('answer_cache_shared_undecryptable_total') >= 0

    both.chat("Define rope.")
    until(lambda: stats(both)["shared"]["stored"] == 1)
    assert new.chat("Define rope.").headers["X-Cache"] == "HIT"  # the first key of the file encrypts
    for server in (old, without):
        missed = server.chat("Define rope.")
        assert (missed.status_code, missed.headers["X-Cache"]) == (200, "MISS")
        until(lambda s=server: stats(s)["shared"]["undecryptable"]["no_key"] >= 1)
    # What is not encrypted is signed all the same, and read by all.
    without.chat("Define ship.")
    until(lambda: stats(without)["shared"]["stored"] >= 1)
    until(lambda: new.chat("Define ship.").headers["X-Cache"] == "HIT")


def test_what_was_changed_or_moved_is_a_miss(start, redis, tmp_path):
    flags = shared_flags(redis, tmp_path) + key_file(tmp_path, "keys", secrets.token_hex(32))
    a = start(*flags)
    answers = {w: content(a.chat(f"Define {w}.")) for w in ("harbour", "rope", "ship")}
    until(lambda: stats(a)["shared"]["stored"] == 3)
    keys = entry_keys(redis)
    assert len(keys) == 3
    redis.command("EVAL", "local a, b = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2]) "
                          "redis.call('SET', KEYS[1], b) redis.call('SET', KEYS[2], a)", 2, *keys[:2])
    redis.command("EVAL", "local v = redis.call('GET', KEYS[1]) local at = #v - 20 "
                          "redis.call('SETRANGE', KEYS[1], at, string.char((string.byte(v, at + 1) + 1) % 256))", 1, keys[2])
    b = start(*flags)
    for word, answer in answers.items():
        reply = b.chat(f"Define {word}.")
        assert (reply.status_code, reply.headers["X-Cache"]) == (200, "MISS") and content(reply) == answer
    assert stats(b)["shared"]["corrupt"] == 3


@pytest.mark.parametrize("same", [True, False])
def test_equal_requests_at_once_on_encrypting_and_other_instances(start, redis, tmp_path, same):
    flags = shared_flags(redis, tmp_path)
    keys = key_file(tmp_path, "keys", secrets.token_hex(32))
    servers = [start(*flags, *keys), start(*flags, *(keys if same else []))]
    fields = dict(max_tokens=100, min_tokens=100, ignore_eos=True)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda i: servers[i % 2].chat("Define garden.", **fields), range(16)))
    assert {r.status_code for r in replies} == {200} and len({content(r) for r in replies}) == 1
    generated = sum(s.metric("engine_requests_submitted_total") for s in servers)
    assert generated == 1 if same else 1 <= generated <= 2
    if same:
        assert sum(r.headers["X-Cache"] in ("COALESCED", "HIT") for r in replies) == 15


def test_a_wrong_key_file_is_told_at_once(redis, tmp_path):
    flags = shared_flags(redis, tmp_path)
    for keys, message in ((["abc"], "line 2: expected a key of 64 hex digits"), ([], "no key in it")):
        out = subprocess.run([BINARY, "serve", MODEL, *flags, *key_file(tmp_path, "wrong", "# keys", *keys)],
                             capture_output=True, text=True, timeout=60)
        assert out.returncode == 2 and message in out.stderr and "abc" not in out.stderr, out.stderr
    out = subprocess.run([BINARY, "serve", MODEL, *key_file(tmp_path, "right", secrets.token_hex(32))],
                         capture_output=True, text=True, timeout=60)
    assert out.returncode == 2 and "needs --cache-url" in out.stderr
