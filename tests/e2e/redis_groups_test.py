"""Redis behind Sentinels and Redis Cluster, over the real thing: passwords, TLS, rights, invalidation, limits, takeovers."""

import hashlib
import json
import re
import subprocess
import threading

import httpx
import pytest

from conftest import ROOT
from long_streams import in_the_middle
from redis_groups import Cluster, Watched, until
from redis_load import shared_flags, stats
from redis_server import RedisServer


@pytest.fixture
def make():
    made = []

    def build(kind, *arguments, **settings):
        made.append(kind(*arguments, **settings))
        return made[-1]

    yield build
    for one in made:
        one.remove()


def knows(server, text):
    return server.chat(text, headers={"Cache-Control": "only-if-cached"}).status_code == 200


def exercise(a, b):
    """Whatever two instances do with a Redis: entries, single flight, invalidation, statistics, listings."""
    assert a.chat("Define harbour.").headers["X-Cache"] == "MISS"
    until(lambda: stats(a)["shared"]["stored"] == 1)
    assert b.chat("Define harbour.").headers["X-Cache"] == "HIT"
    replies = []
    threads = [threading.Thread(target=lambda s=s: replies.append(s.chat("Tell me about wharf.", max_tokens=200)))
               for s in (a, b) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.status_code for r in replies] == [200] * 16
    assert len({r.json()["choices"][0]["message"]["content"] for r in replies}) == 1
    assert sum(r.headers["X-Cache"] == "MISS" for r in replies) == 1
    until(lambda: stats(a)["shared"]["stored"] + stats(b)["shared"]["stored"] == 2)
    for server in (a, b):
        flight = stats(server)["shared"]["single_flight"]
        assert flight["publish_errors"] == flight["alone"] == flight["leases_lost"] == 0, flight
    entries = httpx.get(b.admin_url + "/admin/cache/entries").json()["entries"]
    assert len(entries) == 2
    until(lambda: stats(a, "cluster").get("requests") == 18)
    assert httpx.get(a.admin_url + f"/admin/cache/entries/{entries[0]['id']}").status_code == 200
    assert httpx.delete(a.admin_url + f"/admin/cache/entries/{entries[0]['id']}").json()["deleted"]["redis"]
    exported = httpx.get(a.admin_url + "/admin/cache/export").text
    assert httpx.post(b.admin_url + "/admin/cache/import", content=exported).status_code == 200
    reply = httpx.post(a.admin_url + "/admin/cache/invalidate", json={"all": True}).json()
    assert reply["shared"] is True
    until(lambda: not knows(b, "Define harbour."))
    until(lambda: {"all": True} in [r["parts"] for r in
                                    httpx.get(b.admin_url + "/admin/cache/invalidations").json()["invalidations"]])


def take_over(a, b):
    """`a` is killed while it generates what `b` follows."""
    _, leader, (follower,) = in_the_middle(a, b, "quay")
    a.process.kill()
    assert follower.wait().done and follower.headers["x-cache"] == "COALESCED"
    assert follower.tokens[:len(leader.tokens)] == leader.tokens
    assert stats(b)["shared"]["single_flight"]["takeovers"] == 1


def key_flags(directory):
    """A key with limits, and the flag that makes them known."""
    key = "sk-only-for-this-test"
    file = directory / "keys"
    file.touch(0o600)
    file.write_text(json.dumps({"key_sha256": hashlib.sha256(key.encode()).hexdigest(), "label": "one", "rpm": 3,
                                "tpm": 100000, "concurrency": 8}) + "\n")
    return key, ["--api-key-file", str(file)]


def limits_hold(a, b, key):
    headers = {"Authorization": f"Bearer {key}"}
    codes = [server.chat(f"Define {i}.", headers=headers).status_code for i, server in enumerate((a, b, a, b, a, b))]
    assert codes[:3] == [200] * 3 and 429 in codes[3:], codes
    assert a.metric("gateway_limits_alone_total") == b.metric("gateway_limits_alone_total") == 0


def documented_rights(word):
    """The commands that docs/api.md names behind `word`, as rights of an ACL user."""
    found = re.search(rf"{word}\s+`([A-Z| ]+)`", (ROOT / "docs/api.md").read_text())
    return [f"+{name.lower()}" for name in found.group(1).split()]


@pytest.mark.parametrize("kind", ["server", "sentinel", "cluster"])
def test_an_acl_user_with_the_rights_the_docs_name_is_enough(kind, make, start, tmp_path):
    redis = {"server": lambda: make(RedisServer), "sentinel": lambda: make(Watched),
             "cluster": lambda: make(Cluster, replica=False)}[kind]()
    rights = documented_rights("needs") + documented_rights("limits of keys")
    if kind != "server":
        rights += documented_rights({"sentinel": "Sentinels", "cluster": "a cluster"}[kind])
    if kind == "sentinel":
        redis.wait_ready()
    for server in {"server": lambda: [redis], "sentinel": lambda: redis.servers, "cluster": lambda: redis.nodes}[kind]():
        server.ask("ACL", "SETUSER", "gate", "on", ">pass-pass-pass", "~{nextgate}:*", *rights)
    key, limited = key_flags(tmp_path)
    flags = shared_flags(redis.url.replace("://", "://gate@"), tmp_path)
    environment = {"NEXTGATE_CACHE_PASSWORD": "pass-pass-pass"}
    a, b = (start(*flags, env=environment) for _ in range(2))
    assert stats(a)["shared"]["available"] and stats(b)["shared"]["available"], a.log()
    exercise(a, b)
    take_over(a, b)
    b.stop()
    limits_hold(*(start(*flags, *limited, env=environment) for _ in range(2)), key)
    for server in {"server": lambda: [redis], "sentinel": lambda: redis.servers, "cluster": lambda: redis.nodes}[kind]():
        refused = [entry for entry in server.ask("ACL", "LOG") if b"gate" in str(entry).encode()]
        assert not refused, refused


def test_sentinels_and_master_behind_passwords(make, start, tmp_path):
    secret = "hunter2-hunter2"
    redis = make(Watched, "--requirepass", secret, "--masterauth", secret,
                 settings=(f"sentinel auth-pass ours {secret}", f"requirepass {secret}"), password=secret)
    redis.wait_ready()
    flags = shared_flags(redis.url, tmp_path)
    a, b = (start(*flags, env={"NEXTGATE_CACHE_PASSWORD": secret}) for _ in range(2))
    exercise(a, b)
    wrong = start(*flags, env={"NEXTGATE_CACHE_PASSWORD": "wrong"})
    assert stats(wrong)["shared"]["available"] is False and "WRONGPASS" in wrong.log()
    for server in (a, b, wrong):
        assert secret not in server.log()


def test_it_says_what_stands_in_the_way(make, start, tmp_path):
    sentinels = make(Watched)
    cluster = make(Cluster, replica=False)
    other = next(n for n in cluster.nodes if n is not cluster.owner())
    for url, words in ((sentinels.url.replace("/ours", "/theirs"), "knows no master 'theirs'"),
                       (other.url, "this is a node of a cluster; say redis+cluster://"),
                       (sentinels.servers[0].url.replace("redis://", "redis+cluster://"), "cluster support disabled")):
        server = start(*shared_flags(url, tmp_path))
        assert words in server.log(), server.log()
        assert server.chat("Define lamp.").headers["X-Cache"] == "MISS"


def test_an_orderly_failover_by_hand_loses_nothing(make, start, tmp_path):
    redis = make(Watched)
    redis.wait_ready()
    flags = shared_flags(redis.url, tmp_path)
    a, b = start(*flags), start(*flags)
    for i in range(5):
        a.chat(f"Define word {i}.")
    until(lambda: stats(a)["shared"]["stored"] == 5)
    for round in range(2):  # there and back again
        old = redis.master
        until(lambda: redis.sentinels[0].command("SENTINEL", "FAILOVER", "ours") == b"+OK")
        until(lambda: redis.master not in (None, old))
        until(lambda: all(stats(s)["shared"]["available"] for s in (a, b)))
        until(lambda: a.chat(f"Define harbour {round}.") and knows(b, f"Define harbour {round}."))
        redis.wait_ready()
    assert stats(a)["shared"]["moves"] >= 2 and a.metric("answer_cache_shared_moves_total") >= 2
    late = start(*flags)
    assert all(knows(late, f"Define word {i}.") for i in range(5))
    httpx.post(a.admin_url + "/admin/cache/invalidate", json={"all": True})
    until(lambda: not knows(b, "Define word 0."))


def test_a_slot_that_moves_while_an_answer_is_followed_fails_nobody(make, start, tmp_path):
    redis = make(Cluster, replica=False)
    flags = shared_flags(redis.url, tmp_path)
    a, b = start(*flags), start(*flags)
    a.chat("Define harbour.")
    until(lambda: stats(a)["shared"]["stored"] == 1)
    assert knows(b, "Define harbour.")
    replies = []

    def ask(server, i):
        replies.append(server.chat(f"Tell me about wharf {i // 2}.", max_tokens=120))

    def in_between():
        assert httpx.post(a.admin_url + "/admin/cache/invalidate", json={"id": "0" * 32}).json()["shared"] is True
        until(lambda: len(httpx.get(b.admin_url + "/admin/cache/invalidations").json()["invalidations"]) == 1)

    threads = [threading.Thread(target=ask, args=((a, b)[i % 2], i)) for i in range(12)]
    for thread in threads:
        thread.start()
    target = next(n for n in redis.nodes if n is not redis.owner())
    redis.move_slot(target, between=in_between)
    for thread in threads:
        thread.join()
    assert [r.status_code for r in replies] == [200] * 12
    until(lambda: a.chat("Define anchor.").status_code == 200 and knows(b, "Define anchor."))
    assert target.keys("{nextgate}:e:*") and knows(start(*flags), "Define harbour.")


def test_tls_to_sentinels_and_servers(make, start, tmp_path):
    for command in ("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem",
                    "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis -keyout server.key -out server.csr",
                    "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem"):
        (tmp_path / "san").write_text("subjectAltName=IP:127.0.0.1")
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    tls = {"tls-cert-file": tmp_path / "server.pem", "tls-key-file": tmp_path / "server.key",
           "tls-ca-cert-file": tmp_path / "ca.pem", "tls-auth-clients": "no", "tls-replication": "yes"}
    redis = make(Watched, tls=tls)
    redis.wait_ready()
    assert redis.url.startswith("rediss+sentinel://")
    flags = [*shared_flags(redis.url, tmp_path), "--cache-tls-ca-file", str(tmp_path / "ca.pem")]
    exercise(start(*flags), start(*flags))
