"""Questions in other words, with the real encoder: what is served, what is only recorded, and what operators see of it."""

import json
import os
import pathlib
import re
import subprocess

import httpx
from conftest import BINARY
from redis_server import RedisServer
from shared_cache_test import content, shared_flags, until

PREFIX = pathlib.Path(os.environ.get("NEXTGATE_DEPS_PREFIX") or
                      pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "nextgate/deps")
MINILM = str(PREFIX / "share/minilm")
SERVE = ["--embedding-model", MINILM, "--cache-semantic", "serve", "--cache-semantic-verifier", "static",
         "--cache-semantic-threshold", "0.8", "--cache-semantic-observe", "0", "--embedding-timeout-ms", "5000"]


def semantic(server, **params):
    return httpx.get(server.admin_url + "/admin/cache/stats", params={"scope": "instance", **params}).json()["semantic"]


def ask(server, text, **fields):
    return server.chat(text, **fields)


def known(server, entries):
    until(lambda: semantic(server)["index"]["entries"] == entries)


def explain(server, text):
    body = {"endpoint": "/v1/chat/completions", "request": {"model": "dictionary", "max_tokens": 32, "messages": [{"role": "user", "content": text}]}}
    return httpx.post(server.admin_url + "/admin/cache/explain", json=body).json()


def test_the_stored_answer_serves_a_question_in_other_words(start):
    server = start(*SERVE)
    first = ask(server, "What does harbour mean?")
    assert first.headers["X-Cache"] == "MISS" and first.headers["X-Cache-Reason"] == "no_candidate"
    known(server, 1)
    second = ask(server, "What is the meaning of harbour?")
    assert (second.headers["X-Cache"], second.headers["X-Cache-Tier"]) == ("HIT", "semantic")
    assert len(second.headers["X-Cache-Entry"]) == 32
    assert content(second) == content(first)
    other = ask(server, "What does harbour not mean?")  # near, and never the same
    assert (other.headers["X-Cache"], other.headers["X-Cache-Reason"]) == ("MISS", "gated")
    figures = semantic(server)
    assert figures["lookups"] == 3 and figures["outcomes"]["served"] == 1
    assert figures["embedder"]["dimension"] == 384
    assert re.search(r'^answer_cache_semantic_lookups_total\{[^}]*outcome="served"[^}]*\} 1$', httpx.get(server.url + "/metrics").text, re.M)


def test_the_official_client_streams_it(start):
    server = start(*SERVE)
    first = ask(server, "What does harbour mean?")
    known(server, 1)
    streamed = server.client().chat.completions.create(model="dictionary", max_tokens=32, stream=True,
                                                       messages=[{"role": "user", "content": "What is the meaning of harbour?"}])
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == content(first)
    assert semantic(server)["outcomes"]["served"] == 1


def test_shadow_is_the_default_and_only_records(start):
    server = start("--embedding-model", MINILM, "--cache-semantic-verifier", "static", "--cache-semantic-threshold", "0.8")
    ask(server, "What does harbour mean?")
    known(server, 1)
    assert ask(server, "What is the meaning of harbour?").headers["X-Cache"] == "MISS"
    until(lambda: semantic(server)["lookups"] == 2)
    figures = semantic(server)
    assert figures["outcomes"] == {"would_serve": 1, "no_candidate": 1}
    assert figures["wrong_hits"]["served"]["compared"] == 1


def test_a_request_chooses_its_mode(start):
    server = start(*SERVE)
    ask(server, "What does harbour mean?")
    known(server, 1)
    for mode in ("exact", "normalised", "shadow"):
        assert ask(server, f"What is the meaning of harbour?", cache={"mode": mode, "namespace": ""}).headers["X-Cache"] == "MISS"
        httpx.post(server.admin_url + "/admin/cache/invalidate", json={"prompt_prefix": "What is the meaning"})
    assert ask(server, "What is the meaning of harbour?", cache={"threshold": 0.9999}).headers["X-Cache-Reason"] == "unproven"


def test_explain_says_what_every_gate_sees(start):
    server = start(*SERVE)
    ask(server, "What does harbour mean?")
    known(server, 1)
    told = explain(server, "What is the meaning of harbour?")
    tier = next(t for t in told["tiers"] if t["tier"] == "semantic")
    assert told["outcome"] == "HIT" and tier["verdict"] == "served" and tier["cosine"] > 0.8
    assert {g["gate"] for g in tier["neighbours"][0]["gates"]} >= {"numbers", "negation", "antonyms", "order"}
    assert all(g["verdict"] == "pass" for g in tier["neighbours"][0]["gates"])
    tier = next(t for t in explain(server, "What does harbour not mean?")["tiers"] if t["tier"] == "semantic")
    refusing = [g["gate"] for g in tier["neighbours"][0]["gates"] if g["verdict"] == "refuse"]
    assert "negation" in refusing and tier["verdict"] in ("gated", "unproven")
    assert semantic(server)["lookups"] == 1  # explaining counts nothing


def test_feedback_purges_and_forbids(start):
    server = start(*SERVE)
    ask(server, "What does harbour mean?")
    known(server, 1)
    hit = ask(server, "What is the meaning of harbour?")
    asked = {"endpoint": "/v1/chat/completions",
             "request": {"model": "dictionary", "max_tokens": 32, "messages": [{"role": "user", "content": "What is the meaning of harbour?"}]}}
    url = server.admin_url + "/admin/cache/feedback"
    said = httpx.post(url, json={"entry": hit.headers["X-Cache-Entry"], "verdict": "wrong", "asked": asked})
    assert said.status_code == 200 and said.json()["counted"] is True and said.json()["cosine"] > 0.8
    assert ask(server, "What does harbour mean?").headers["X-Cache"] == "MISS"  # purged
    until(lambda: ask(server, "What does harbour mean?").headers["X-Cache"] == "HIT")
    assert ask(server, "What is the meaning of harbour?").headers["X-Cache-Reason"] in ("rejected", "gone", "no_candidate")
    for wrong, param in (({"verdict": "wrong", "asked": asked}, "entry"),
                         ({"entry": "0" * 32, "verdict": "maybe", "asked": asked}, "verdict"),
                         ({"entry": "0" * 32, "verdict": "wrong"}, "asked"),
                         ({"entry": "0" * 32, "verdict": "wrong", "asked": asked, "more": 1}, "more")):
        refused = httpx.post(url, json=wrong)
        assert refused.status_code == 400 and refused.json()["error"]["param"] == param


def test_without_an_embedder_it_is_off_and_says_so(start):
    server = start()
    refused = ask(server, "What does harbour mean?", cache={"mode": "serve"})
    assert refused.status_code == 501 or refused.status_code == 400
    assert "--embedding-model" in refused.json()["error"]["message"]
    assert httpx.get(server.admin_url + "/admin/cache/thresholds").status_code == 404
    tier = next(t for t in explain(server, "What does harbour mean?")["tiers"] if t["tier"] == "semantic")
    assert tier["verdict"] == "disabled"


def test_instances_share_what_they_know(start, tmp_path):
    redis = RedisServer()
    try:
        flags = shared_flags(redis, tmp_path) + SERVE
        a, b = start(*flags), start(*flags)
        first = ask(a, "What does harbour mean?")
        known(b, 1)
        second = ask(b, "What is the meaning of harbour?")
        assert (second.headers["X-Cache"], second.headers["X-Cache-Tier"]) == ("HIT", "semantic")
        assert content(second) == content(first)
        redis.kill()
        third = ask(b, "Tell me what harbour means.")  # known here by now
        assert third.status_code == 200
        redis.start()
    finally:
        redis.remove()


def test_the_command_line_shows_and_tells(start, tmp_path):
    def admin(*arguments, server=None):
        url = ["--url", server.admin_url] if server else []
        return subprocess.run([BINARY, "admin", *map(str, arguments), *url], capture_output=True, text=True, timeout=60)

    made = json.loads(admin("keys", "new-api", "web", "--semantic", "serve", "--cache", "read,write,semantic", "--json").stdout)
    assert json.loads(made["line"])["semantic"] == "serve" and "semantic" in json.loads(made["line"])["cache"]
    refused = admin("keys", "new-api", "web", "--semantic", "on")
    assert refused.returncode == 2 and "--semantic: expected off, shadow or serve" in refused.stderr

    # The key's own mode goes before the server's, which only records.
    keys = tmp_path / "keys"
    keys.touch(0o600)
    keys.write_text(made["line"] + "\n")
    server = start(*SERVE, "--cache-semantic", "shadow", "--api-key-file", str(keys))
    key = {"Authorization": f"Bearer {made['key']}"}
    server.chat("What does harbour mean?", headers=key)
    known(server, 1)
    hit = server.chat("What is the meaning of harbour?", headers=key)
    assert (hit.headers["X-Cache"], hit.headers["X-Cache-Tier"]) == ("HIT", "semantic")
    shown = admin("stats", "--scope", "instance", server=server).stdout
    assert re.search(r"^questions in other words +shadow$", shown, re.M) and re.search(r"^ +served +1$", shown, re.M)
    assert "1 question in 1 group" in shown
    assert "nothing was compared yet" in admin("thresholds", server=server).stdout
    assert json.loads(admin("thresholds", "--json", server=server).stdout)["verifier"] == "static"

    question = tmp_path / "question.json"
    question.write_text(json.dumps({"model": "dictionary", "max_tokens": 32, "cache": {"mode": "serve"},
                                    "messages": [{"role": "user", "content": "What is the meaning of harbour?"}]}))
    explained = admin("explain", question, server=server).stdout
    assert "mode serve, cosine 0." in explained and hit.headers["X-Cache-Entry"] in explained and "no gate" in explained
    for missing in (["--verdict", "wrong", "--file", question], ["--entry", "0" * 32, "--file", question],
                    ["--entry", "0" * 32, "--verdict", "wrong"]):
        done = admin("feedback", *missing, server=server)
        assert done.returncode == 2 and done.stderr.startswith("nextgate admin: feedback: expected --"), missing
    told = admin("feedback", "--entry", hit.headers["X-Cache-Entry"], "--verdict", "wrong", "--file", question, server=server)
    assert told.returncode == 0 and "never matched again" in told.stdout, told.stderr
    assert re.search(r"^ +rejected pairs +1$", admin("stats", server=server).stdout, re.M)
    assert f"action=feedback id={hit.headers['X-Cache-Entry']} verdict=wrong counted=true" in server.log()
    assert "harbour" not in server.log()
