"""Keys of clients (--api-key-file): scopes, models, rights, limits and the reload, with the official client."""

import concurrent.futures
import json
import os
import signal
import subprocess
import time

import httpx
import openai
import pytest

from conftest import BINARY
from redis_server import RedisServer


def new_key(*options, label="test"):
    out = subprocess.run([BINARY, "admin", "keys", "new-api", label, *options, "--json"], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    made = json.loads(out.stdout)
    return made["key"], made["line"]


def key_file(tmp_path, *lines, name="keys"):
    path = tmp_path / name
    path.write_text("# keys\n" + "\n".join(lines) + "\n")
    path.chmod(0o600)
    return str(path)


def as_key(key):
    return {"Authorization": f"Bearer {key}"}


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_tenants_share_no_answers_and_the_members_of_one_do(start, tmp_path):
    acme = [new_key("--tenant", "acme") for _ in range(2)]
    other, odd = new_key("--tenant", "other"), new_key("--tenant", "acme\n{}")
    server = start("--api-key-file", key_file(tmp_path, *(line for _, line in [*acme, other, odd])))

    def ask(key):
        return server.chat("Define anchor.", headers=as_key(key)).headers["X-Cache"]

    assert [ask(acme[0][0]), ask(acme[1][0])] == ["MISS", "HIT"]
    assert [ask(other[0]), ask(other[0])] == ["MISS", "HIT"]
    assert [ask(odd[0]), ask(odd[0])] == ["MISS", "HIT"]
    request = {"endpoint": "/v1/chat/completions", "request": {
        "model": "dictionary", "messages": [{"role": "user", "content": "Define anchor."}], "max_tokens": 32}}

    def explain(**question):
        return httpx.post(server.admin_url + "/admin/cache/explain", json={**request, **question}).json()

    assert explain()["outcome"] == "MISS" and explain(scope={"tenant": "acme"})["outcome"] == "HIT"
    assert explain(scope={"tenant": "acme", "team": "x"})["outcome"] == "MISS"
    assert explain(scope={"tennant": "acme"})["error"]["param"] == "scope"
    assert server.chat("Define anchor.").status_code == 401


def test_models_rights_and_expiry_of_a_key_hold(start, tmp_path):
    only, line_only = new_key("--models", "other")
    blind, line_blind = new_key("--cache", "write")
    plain, line_plain = new_key("--cache", "read,write")
    old, line_old = new_key("--expires", "2020-01-01")
    server = start("--served-model-name", "dictionary", "other", "--api-key-file",
                   key_file(tmp_path, line_only, line_blind, line_plain, line_old), "--api-key", "everything")
    with pytest.raises(openai.PermissionDeniedError, match="may not use the model 'dictionary'"):
        server.client(only).chat.completions.create(model="dictionary", messages=[{"role": "user", "content": "a"}])
    with pytest.raises(openai.NotFoundError):
        server.client(only).chat.completions.create(model="third", messages=[{"role": "user", "content": "a"}])
    server.client(only).chat.completions.create(model="other", messages=[{"role": "user", "content": "a"}], max_tokens=2)
    with pytest.raises(openai.AuthenticationError, match="expired"):
        server.client(old).models.list()
    assert {m.id for m in server.client("everything").models.list().data} == {"dictionary", "other"}

    reply = server.chat("Define bell.", headers=as_key(blind))
    assert (reply.headers["X-Cache"], reply.headers["X-Cache-Reason"]) == ("BYPASS", "key_rights")
    assert server.chat("Define bell.", headers=as_key(plain)).headers["X-Cache"] == "HIT"  # it was stored
    for fields in ({"cache": {"ttl": 5}}, {"cache": {"namespace": "n"}}, {"cache": {"no-cache": True}}):
        assert server.chat("Define bell.", headers=as_key(plain), **fields).status_code == 403, fields
    assert server.chat("Define bell.", headers=as_key(plain), cache={"no-store": True}).status_code == 200
    assert plain not in server.log() and " key=test" in server.log()


def test_limits_answer_429_and_a_hit_costs_a_request_and_no_tokens(start, tmp_path):
    few, line_few = new_key("--rpm", "3")
    tokens, line_tokens = new_key("--tpm", "150")
    server = start("--api-key-file", key_file(tmp_path, line_few, line_tokens))

    for left in (2, 1, 0):
        reply = server.chat("Define candle.", headers=as_key(few))
        assert reply.headers["x-ratelimit-limit-requests"] == "3"
        assert reply.headers["x-ratelimit-remaining-requests"] == str(left)
    reply = server.chat("Define candle.", headers=as_key(few))
    assert reply.status_code == 429 and 1 <= int(reply.headers["Retry-After"]) <= 20
    assert reply.json()["error"]["code"] == "rate_limit_exceeded" and "3 requests a minute" in reply.text

    used = server.chat("Define drum.", headers=as_key(tokens), max_tokens=100).json()["usage"]["total_tokens"]
    left = int(server.chat("Define drum.", headers=as_key(tokens), max_tokens=100).headers["x-ratelimit-remaining-tokens"])
    assert 150 - used <= left <= 150 - used + 50  # grown back a little; the hit took none
    replies = [server.chat(f"Define drum {i}.", headers=as_key(tokens), max_tokens=100, min_tokens=100, ignore_eos=True)
               for i in range(3)]
    assert replies[-1].status_code == 429 and "150 tokens a minute" in replies[-1].text
    assert server.chat("Define drum.", headers=as_key(tokens), max_tokens=100).headers["X-Cache"] == "HIT"
    assert server.metric('gateway_limited_total') >= 1


def test_concurrency_is_limited_and_comes_back(start, tmp_path):
    key, line = new_key("--concurrency", "1")
    # A stored answer that takes 40 s to be told: as slow as a test can wish.
    server = start("--api-key-file", key_file(tmp_path, line), "--cache-replay-tokens-per-s", "1")
    fields = dict(max_tokens=40, min_tokens=40, ignore_eos=True)
    assert server.chat("Define eagle.", headers=as_key(key), **fields).status_code == 200
    body = {"model": "dictionary", "messages": [{"role": "user", "content": "Define eagle."}], "stream": True, **fields}
    wait_for(lambda: server.chat("Define fence.", headers=as_key(key)).status_code == 200)  # the first is settled
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=body, headers=as_key(key), timeout=60) as reply:
        assert reply.headers["X-Cache"] == "HIT"
        pieces = reply.iter_raw()  # held: an iterator that is dropped closes the connection
        next(pieces)
        refused = server.chat("Define fence.", headers=as_key(key))
        assert refused.status_code == 429 and "1 requests at once" in refused.text
    wait_for(lambda: server.chat("Define fence.", headers=as_key(key)).status_code == 200)


def test_two_instances_share_the_limits_and_each_goes_on_alone_without_redis(start, tmp_path):
    key, line = new_key("--rpm", "10")
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef")
    secret.chmod(0o600)
    redis = RedisServer()
    try:
        flags = ["--api-key-file", key_file(tmp_path, line), "--cache-url", redis.url, "--cache-secret-file", str(secret)]
        servers = [start(*flags) for _ in range(2)]

        def ask(i):
            return servers[i % 2].chat("Define garden.", headers=as_key(key)).status_code

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(ask, range(20)))
        assert 10 <= codes.count(200) <= 12 and codes.count(429) == 20 - codes.count(200), codes
    finally:
        redis.remove()
    assert [ask(i) for i in range(4)].count(200) >= 2  # each has half of its own count left
    assert any(server.metric("gateway_limits_alone_total") > 0 for server in servers)


def test_a_reload_takes_the_new_file_or_keeps_the_old_one_and_says_why(start, tmp_path):
    first, line_first = new_key()
    second, line_second = new_key()
    path = key_file(tmp_path, line_first)
    server = start("--api-key-file", path)

    def known(key):
        return server.client(key).with_options(max_retries=0).models.with_raw_response.list().status_code == 200

    def rejected(key):
        return httpx.get(server.url + "/v1/models", headers=as_key(key)).status_code == 401

    assert known(first) and rejected(second)
    with open(path, "w") as file:
        file.write(line_second + "\n{broken")
    os.kill(server.process.pid, signal.SIGHUP)
    wait_for(lambda: "result=kept" in server.log() and "line 2" in server.log())
    assert known(first) and rejected(second)
    with open(path, "w") as file:
        file.write(line_second)
    os.kill(server.process.pid, signal.SIGHUP)
    wait_for(lambda: "result=ok keys=1" in server.log())
    assert known(second) and rejected(first)


def test_wrong_options_of_new_api_are_named():
    for options, message in ((["--rpm", "0"], "--rpm"), (["--cache", "all"], "--cache"), (["--expires", "soon"], "expires"),
                             (["--tenant", "x" * 200], "tenant")):
        out = subprocess.run([BINARY, "admin", "keys", "new-api", "l", *options], capture_output=True, text=True)
        assert out.returncode == 2 and message in out.stderr, (options, out)


def test_the_admin_api_reloads_both_files_or_neither_and_says_what_needs_a_restart(start, tmp_path):
    def made(role):
        out = subprocess.run([BINARY, "admin", "keys", "new", role, role], capture_output=True, text=True, check=True)
        line = next(x for x in out.stdout.splitlines() + out.stderr.splitlines() if "sha256:" in x).strip()
        return next(w for w in out.stdout.split() if w.startswith("nga_")), line[line.index(role + ":"):]

    write, write_line = made("write")
    read, read_line = made("read")
    new, new_line = made("write")
    first, line_first = new_key()
    second, line_second = new_key()
    path = key_file(tmp_path, line_first)
    admins = tmp_path / "admins"
    admins.touch(0o600)
    admins.write_text(f"{write_line}\n{read_line}\n")
    config = tmp_path / "config.toml"
    config.write_text("cache-ttl-s = 100\n")
    server = start("--api-key-file", path, "--admin-api-key-file", str(admins), "--config", str(config))

    def reload(key):
        return httpx.post(server.admin_url + "/admin/config/reload", headers=as_key(key))

    def allowed(key):
        return httpx.get(server.url + "/v1/models", headers=as_key(key)).status_code == 200

    assert reload(read).status_code == 403 and reload("nga_unknown").status_code == 401
    # One of the two is wrong: neither is taken.
    admins.write_text(f"{new_line}\nwrite:short\n")
    with open(path, "w") as file:
        file.write(line_second)
    wrong = reload(write)
    assert wrong.status_code == 400, wrong.text
    message = wrong.json()["error"]["message"]
    assert "nothing was changed" in message and "line 2" in message and str(admins) in message and "short" not in message
    wait_for(lambda: "who=write action=reload result=kept" in server.log())
    assert allowed(first) and not allowed(second)
    os.kill(server.process.pid, signal.SIGHUP)
    wait_for(lambda: "who=SIGHUP action=reload result=kept" in server.log())
    # Both right.
    admins.write_text(f"{new_line}\n")
    config.write_text("cache-ttl-s = 200\n")
    done = reload(write)
    assert done.json() == {"reloaded": {"admin-api-key-file": {"keys": 1}, "api-key-file": {"keys": 1}},
                           "needs_restart": ["cache-ttl-s"]}
    wait_for(lambda: "who=write action=reload result=ok keys=2" in server.log())
    assert allowed(second) and not allowed(first)
    assert reload(write).status_code == 401 and reload(new).status_code == 200
    shown = httpx.get(server.admin_url + "/admin/config", headers=as_key(new)).json()
    assert shown["flags"]["cache-ttl-s"] == 100 and shown["reloadable"] == ["admin-api-key-file", "api-key-file"]
    # The file of the configuration is checked too.
    config.write_text("cache-tlt-s = 200\n")
    assert "cache-tlt-s" in reload(new).json()["error"]["message"]
    out = subprocess.run([BINARY, "admin", "reload", "--url", server.admin_url], capture_output=True, text=True,
                         env={**os.environ, "NEXTGATE_ADMIN_KEY": new})
    assert out.returncode == 1 and "nothing was changed" in out.stderr
    config.write_text("cache-ttl-s = 200\n")
    out = subprocess.run([BINARY, "admin", "reload", "--url", server.admin_url], capture_output=True, text=True,
                         env={**os.environ, "NEXTGATE_ADMIN_KEY": new})
    assert out.returncode == 0 and "--cache-ttl-s is another now; it needs a restart" in out.stdout, out


def test_the_configuration_shown_is_the_effective_one(start):
    server = start()
    shown = httpx.get(server.admin_url + "/admin/config").json()
    flags = shown["flags"]
    (model,) = httpx.get(server.url + "/v1/models").json()["data"]
    assert flags["max-model-len"] == model["max_model_len"] > 0
    assert flags["num-threads"] >= 1 and flags["device"] == "cpu"
    assert flags["served-model-name"] == ["dictionary"] == shown["model_names"]
    assert (flags["port"], flags["admin-port"]) == (server.port, server.admin_port)
