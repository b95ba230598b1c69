"""The admin API and `nextgate admin`: keys and roles, stats of a cluster that outlive their instances, export and
import, the description held against the server by schemathesis."""

import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time

import httpx
import pytest

from conftest import BINARY
from redis_server import RedisServer
from semantic_test import MINILM

QUESTION = {"model": "dictionary", "messages": [{"role": "user", "content": "Define harbour."}], "max_tokens": 16}


@pytest.fixture
def redis():
    running = RedisServer()
    yield running
    running.remove()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text(secrets.token_hex(32))
    return path


@pytest.fixture
def keys(tmp_path):
    """A file of a reading and a writing key, and the two."""
    made = {role: json.loads(admin("keys", "new", role, label, "--json").stdout) for role, label in (("read", "reader"), ("write", "writer"))}
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text("".join(m["line"] + "\n" for m in made.values()))
    return path, made["read"]["key"], made["write"]["key"]


def admin(*arguments, server=None, key="", stdin=None):
    url = ["--url", server.admin_url] if server else []
    return subprocess.run([BINARY, "admin", *map(str, arguments), *url], capture_output=True, text=True, timeout=60,
                          input=stdin, env={**os.environ, "NEXTGATE_ADMIN_KEY": key})


def admin_json(*arguments, **kwargs):
    done = admin(*arguments, "--json", **kwargs)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def stored(server):
    return httpx.get(server.admin_url + "/admin/cache/stats?scope=instance").json()["writer"]["stored"]


def test_with_a_key_file_everybody_needs_a_key_and_its_role(start, keys):
    path, read, write = keys
    server = start("--admin-api-key-file", str(path))
    server.chat("Define harbour.")
    url = server.admin_url + "/admin/cache/entries"
    for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}, {"Authorization": read}):
        refused = httpx.get(url, headers=headers)
        assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    reader, writer = {"Authorization": f"Bearer {read}"}, {"Authorization": f"Bearer {write}"}
    until(lambda: httpx.get(url, headers=reader).json()["entries"])
    (entry,) = httpx.get(url, headers=reader).json()["entries"]
    assert httpx.delete(f"{url}/{entry['id']}", headers=reader).status_code == 403
    assert httpx.delete(f"{url}/{entry['id']}", headers=writer).status_code == 200
    assert httpx.get(server.admin_url + "/health").status_code == 200  # needs none
    assert httpx.get(url, headers={**writer, "Origin": "https://elsewhere.example"}).status_code == 200
    (line,) = [line for line in server.lines if "audit" in line]
    assert f"who=writer action=delete_entry id={entry['id']} memory=true redis=false" in line
    assert read not in server.log() and write not in server.log()


def test_stats_of_the_cluster_are_the_sum_and_outlive_a_restart(start, redis, secret):
    flags = ["--cache-url", redis.url, "--cache-secret-file", str(secret)]
    a, b = start(*flags), start(*flags)
    a.chat("Define harbour.")
    until(lambda: stored(a) == 1)
    for _ in range(3):
        assert b.chat("Define harbour.").headers["X-Cache"] == "HIT"
    b.chat("Define rope.", temperature=0.5)
    for server in (a, b):
        until(lambda: admin_json("stats", server=server)["requests"] == 5)
        stats = admin_json("stats", "--window", "5m", "--group-by", "tier", server=server)
        assert stats["scope"] == "cluster" and len(stats["instances"]) == 2
        assert (stats["hits"]["exact"], stats["misses"], stats["bypass"]) == (3, 1, {"sampled": 1})
        assert stats["hit_rate"] == 0.75 and stats["hit_rate_of_requests"] == 0.6
        assert sum(group["requests"] for group in stats["groups"]) == 5
        assert stats["tokens_saved"]["completion"] > 0
        assert stats["latency_ms"]["stored"]["count"] == 3 and stats["latency_ms"]["generated"]["count"] == 2
    (entry,) = admin_json("entries", "--min-hits", 3, server=a)["entries"]
    assert entry["hits"] == 3 and entry["finish_reasons"]

    b.chat("Define anchor.")  # is added when it stops
    assert b.stop() == 0
    assert a.stop() == 0
    fresh = start(*flags)
    stats = admin_json("stats", server=fresh)
    assert stats["requests"] == 6 and stats["misses"] == 2
    assert admin_json("stats", "--scope", "instance", server=fresh)["requests"] == 0
    killed_before = start(*flags)
    killed_before.chat("Define harbour.")
    until(lambda: admin_json("stats", server=fresh)["requests"] == 7)
    killed_before.process.send_signal(signal.SIGKILL)
    killed_before.process.wait()
    assert admin_json("stats", server=fresh)["requests"] == 7


def test_without_redis_the_cluster_is_an_error_and_this_instance_answers(start, redis, secret):
    server = start("--cache-url", redis.url, "--cache-secret-file", str(secret))
    server.chat("Define harbour.")
    redis.kill()

    def alone():
        return httpx.get(server.admin_url + "/admin/cache/stats", timeout=30).json()

    until(lambda: "note" not in alone())  # it is known to be away
    assert alone()["scope"] == "instance" and alone()["requests"] == 1
    refused = httpx.get(server.admin_url + "/admin/cache/stats?scope=cluster")
    assert refused.status_code == 503 and "Redis" in refused.json()["error"]["message"]
    assert httpx.get(server.admin_url + "/admin/cache/entries").json()["entries"]
    redis.start()
    until(lambda: admin_json("stats", server=server)["scope"] == "cluster", timeout_s=60)
    assert admin_json("stats", server=server)["requests"] == 1  # what was counted meanwhile was kept


def test_a_redis_that_hangs_leaves_the_figures_of_this_instance(start, redis, secret):
    server = start("--cache-url", redis.url, "--cache-secret-file", str(secret))
    server.chat("Define harbour.")
    until(lambda: admin_json("stats", server=server)["scope"] == "cluster")
    redis.pause()  # it is not known to be away yet
    alone = httpx.get(server.admin_url + "/admin/cache/stats", timeout=30)
    assert alone.status_code == 200 and alone.json()["scope"] == "instance" and alone.json()["requests"] == 1
    assert "Redis does not answer" in alone.json()["note"]
    redis.resume()


def test_explain_says_beforehand_what_happens(start, redis, secret, tmp_path):
    flags = ["--cache-url", redis.url, "--cache-secret-file", str(secret)]
    a, b = start(*flags), start(*flags)
    question = tmp_path / "question.json"
    question.write_text(json.dumps(QUESTION))
    assert admin_json("explain", question, server=a)["outcome"] == "MISS"
    assert a.post("/v1/chat/completions", QUESTION).headers["X-Cache"] == "MISS"
    until(lambda: stored(a) == 1)
    explained = admin_json("explain", "-", server=b, stdin=question.read_text())
    assert explained["outcome"] == "HIT"
    assert [(t["where"], t["verdict"]) for t in explained["tiers"] if t["tier"] == "exact"] == [
        ("memory", "miss"), ("redis", "hit")]
    for control, outcome in (("no-cache", "BYPASS"), ("max-age=0", "MISS"), ("max-age=3600", "HIT")):
        time.sleep(0.002)
        assert admin_json("explain", question, "--cache-control", control, server=b)["outcome"] == outcome
    text = admin("explain", question, server=b).stdout
    assert "HIT" in text and "canonical request" in text
    assert b.metric("answer_cache_misses_total") == 0
    assert b.post("/v1/chat/completions", QUESTION).headers["X-Cache"] == "HIT"


def test_an_export_is_found_again_elsewhere(start, redis, secret, tmp_path):
    flags = ["--cache-secret-file", str(secret)]
    a = start(*flags)
    replies = [a.chat(f"Define {word}.") for word in ("harbour", "rope", "港口 \"{}\\")]
    until(lambda: stored(a) == 3)
    exported = tmp_path / "export.jsonl"
    done = admin("export", exported, server=a)
    assert done.returncode == 0 and "exported 3 entries" in done.stderr
    b = start(*flags, "--cache-url", redis.url)
    assert "imported 3," in admin("import", exported, server=b).stdout
    assert admin_json("import", exported, server=b)["kept_newer"] == 3
    for scope in ("instance", "cluster"):
        again = admin("export", "--scope", scope, server=b)
        assert sorted(again.stdout.splitlines()) == sorted(exported.read_text().splitlines())
    for reply, word in zip(replies, ("harbour", "rope", "港口 \"{}\\")):
        hit = b.chat(f"Define {word}.")
        assert hit.headers["X-Cache"] == "HIT" and hit.json()["choices"] == reply.json()["choices"]

    cut = tmp_path / "cut.jsonl"
    cut.write_text("\n".join(exported.read_text().splitlines()[:-1]) + "\nnonsense\n")
    done = admin("import", cut, server=b)
    assert done.returncode == 1 and "line 5: not a JSON object" in done.stdout and "not a whole export" in done.stdout
    stranger = start()
    assert admin_json_failing("import", exported, server=stranger)["rejected"] == 3  # another secret


def admin_json_failing(*arguments, **kwargs):
    done = admin(*arguments, "--json", **kwargs)
    assert done.returncode == 1, done.stdout
    return json.loads(done.stdout)


def test_the_command_line_has_tables_errors_and_exit_codes(start, keys):
    path, read, write = keys
    server = start("--admin-api-key-file", str(path))
    server.chat("Define harbour.")
    until(lambda: admin_json("entries", server=server, key=read)["entries"])
    (entry,) = admin_json("entries", server=server, key=read)["entries"]
    assert "hit rate of eligible" in admin("stats", "--group-by", "model", server=server, key=read).stdout
    assert entry["id"] in admin("entries", server=server, key=read).stdout
    assert "Define harbour." in admin("entry", entry["id"], server=server, key=read).stdout
    assert "--cache-ttl-s" in admin("config", server=server, key=read).stdout
    listed = admin("keys", server=server, key=read).stdout
    assert "writer" in listed and "you are reader with role read" in listed

    refused = admin("delete", entry["id"], server=server, key=read)
    assert refused.returncode == 1 and "needs a key of role write" in refused.stderr and read not in refused.stderr
    by_file = path.parent / "key"
    by_file.write_text(write)
    assert admin("delete", entry["id"], "--key-file", by_file, server=server).returncode == 0
    gone = admin("delete", entry["id"], server=server, key=write)
    assert gone.returncode == 1 and "there is no such entry" in gone.stderr
    assert admin("stats", server=server).returncode == 1  # no key
    assert admin("stats", "--window", "7m", server=server, key=read).returncode == 1
    for wrong in (["nonsense"], ["stats", "--nonsense", "1"], ["stats", "--url", "ftp://x"], [],
                  ["explain", "/no/such/file"], ["keys", "new", "king"]):
        done = admin(*wrong)
        assert done.returncode == 2 and done.stderr.startswith("nextgate admin: "), wrong
    nobody = admin("stats", "--url", "http://127.0.0.1:1")
    assert nobody.returncode == 1 and "127.0.0.1:1" in nobody.stderr
    assert "exit codes" in admin("--help").stdout


@pytest.mark.parametrize("more", [[], ["--embedding-model", MINILM, "--embedding-timeout-ms", "1000"]], ids=["alone", "embedder"])
def test_the_server_is_as_its_description_says(start, redis, secret, keys, tmp_path, more):
    path, _, write = keys
    server = start("--cache-url", redis.url, "--cache-secret-file", str(secret), "--admin-api-key-file", str(path), *more)
    for question in ("Define harbour.", "What does harbour mean?", "What is the meaning of harbour?", "Define rope."):
        server.chat(question)
    until(lambda: admin_json("entries", server=server, key=write)["entries"])
    schemathesis = pathlib.Path(sys.executable).with_name("schemathesis")
    config = pathlib.Path(__file__).with_name("schemathesis.toml")
    done = subprocess.run(
        [schemathesis, "--config-file", config, "run", server.admin_url + "/admin/openapi.json", "--url",
         server.admin_url, "-H", f"Authorization: Bearer {write}", "--max-examples", "25", "--phases",
         "examples,coverage,fuzzing", "--generation-database", "none", "--no-color"],
        capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.process.poll() is None
