"""Several instances, one Redis: what one has answered, the others know; Redis may go away at any time."""

import secrets
import time

import httpx
import pytest

from redis_server import RedisServer


@pytest.fixture
def redis():
    running = RedisServer()
    yield running
    running.remove()


@pytest.fixture
def pair(start, redis, tmp_path):
    flags = shared_flags(redis, tmp_path)
    return start(*flags), start(*flags)


def shared_flags(redis, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32))
    return ["--cache-url", redis.url, "--cache-secret-file", str(secret)]


def stats(server):
    return httpx.get(server.admin_url + "/admin/cache/stats", params={"scope": "instance"}).json()


def content(reply):
    return reply.json()["choices"][0]["message"]["content"]


def until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_one_has_answered_the_other_knows(pair, redis):
    a, b = pair
    first = a.chat("What does harbour mean?")
    assert first.headers["X-Cache"] == "MISS"
    until(lambda: stats(a)["shared"]["stored"] == 1)
    second = b.chat("What does harbour mean?")
    assert (second.headers["X-Cache"], second.headers["X-Cache-Tier"]) == ("HIT", "exact")
    assert content(second) == content(first) and second.json()["usage"] == first.json()["usage"]
    client = b.client()
    streamed = client.chat.completions.create(model="dictionary", max_tokens=32, stream=True,
                                              messages=[{"role": "user", "content": "What does harbour mean?"}])
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == content(first)
    assert b.metric("engine_requests_submitted_total") == 0
    assert stats(b)["hits"]["exact"] == 2 and stats(b)["shared"]["hits"] == 1  # the second time it knew it itself
    assert redis.command("KEYS", "{nextgate}:e:*") == b"*1"


def test_instances_with_another_secret_share_nothing(start, redis, tmp_path):
    (tmp_path / "other").mkdir()
    a = start(*shared_flags(redis, tmp_path))
    b = start(*shared_flags(redis, tmp_path / "other"))
    a.chat("Define anchor.")
    until(lambda: stats(a)["shared"]["stored"] == 1)
    assert b.chat("Define anchor.").headers["X-Cache"] == "MISS"


def test_a_redis_that_dies_hangs_and_comes_back_fails_no_request(pair, redis):
    a, b = pair
    for breakdown, repair in ((redis.kill, redis.start), (redis.pause, redis.resume)):
        breakdown()
        for i in range(20):
            reply = a.chat(f"Define word number {i} of {breakdown.__name__}.")
            assert reply.status_code == 200 and reply.headers["X-Cache"] == "MISS"
            again = a.chat(f"Define word number {i} of {breakdown.__name__}.")
            assert again.status_code == 200
        until(lambda: not stats(a)["shared"]["available"])
        assert a.metric("answer_cache_shared_available") == 0
        # Of the flight, if the writer still waits for Redis to take the answer.
        assert a.chat(f"Define word number 3 of {breakdown.__name__}.").headers["X-Cache"] in ("HIT", "COALESCED")
        repair()
        until(lambda: stats(a)["shared"]["available"] and stats(b)["shared"]["available"], timeout_s=60)
        stored = stats(a)["shared"]["stored"]
        a.chat(f"Define harbour after {breakdown.__name__}.")
        until(lambda: stats(a)["shared"]["stored"] == stored + 1)
        assert b.chat(f"Define harbour after {breakdown.__name__}.").headers["X-Cache"] == "HIT"
    counts = stats(a)
    assert counts["requests"] == counts["hits_total"] + counts["misses"] + counts["bypasses_total"] == 84
    changes = [line for line in a.lines if "is away" in line or "shared through" in line]
    assert len(changes) == 5, changes  # one line per change


def test_it_starts_and_serves_without_the_redis_it_was_promised(start, redis, tmp_path):
    redis.kill()
    server = start(*shared_flags(redis, tmp_path))
    assert "is away" in server.log()
    assert server.chat("Define lamp.").headers["X-Cache"] == "MISS"
    assert server.chat("Define lamp.").headers["X-Cache"] == "HIT"


def test_the_password_comes_from_a_file_or_the_environment_and_is_nowhere_to_be_seen(start, tmp_path):
    redis = RedisServer("--requirepass", "hunter2-hunter2")
    try:
        flags = shared_flags(redis, tmp_path)
        password = tmp_path / "password"
        password.write_text("hunter2-hunter2\n")
        by_file = start(*flags, "--cache-password-file", str(password))
        by_environment = start(*flags, env={"NEXTGATE_CACHE_PASSWORD": "hunter2-hunter2"})
        without = start(*flags)
        wrong = start(*flags, env={"NEXTGATE_CACHE_PASSWORD": "hunter3-hunter3"})
        for server, available in ((by_file, True), (by_environment, True), (without, False), (wrong, False)):
            assert stats(server)["shared"]["available"] is available
            assert server.chat("Define rope.").status_code == 200
            everything = server.log() + httpx.get(server.admin_url + "/metrics").text + str(stats(server))
            assert "hunter" not in everything
        assert "everybody may read this secret" in by_file.log()
        assert "NOAUTH" in without.log() and "WRONGPASS" in wrong.log()
    finally:
        redis.remove()


def test_another_chat_template_shares_nothing(start, redis, tmp_path):
    flags = shared_flags(redis, tmp_path)
    a = start(*flags)
    b = start(*flags, "--chat-template", "{% for m in messages %}Word: {{ m.content }}\n{% endfor %}")
    assert a.chat("Define harbour.").headers["X-Cache"] == "MISS"
    until(lambda: stats(a)["shared"]["stored"] == 1)
    assert b.chat("Define harbour.").headers["X-Cache"] == "MISS"


def test_the_normalised_tier_reaches_across_instances(start, redis, tmp_path):
    flags = [*shared_flags(redis, tmp_path), "--cache-normalised"]
    a, b = start(*flags), start(*flags)
    first = a.chat("What does harbour mean?")
    until(lambda: stats(a)["shared"]["stored"] == 1)
    explained = httpx.post(b.admin_url + "/admin/cache/explain", json={
        "endpoint": "/v1/chat/completions", "request": {
            "model": "dictionary", "max_tokens": 32,
            "messages": [{"role": "user", "content": "what does harbour mean"}]}}).json()
    assert explained["outcome"] == "HIT"
    verdicts = {(t["tier"], t.get("where")): t["verdict"] for t in explained["tiers"]}
    assert verdicts[("normalised", "redis")] == "hit" and verdicts[("exact", "redis")] == "miss"
    near = b.chat("what does  harbour mean")
    assert (near.headers["X-Cache"], near.headers["X-Cache-Tier"]) == ("HIT", "normalised")
    assert content(near) == content(first) and near.json()["usage"] == first.json()["usage"]
    again = b.chat("What does harbour mean")  # from its own memory now
    assert again.headers["X-Cache-Tier"] == "normalised" and content(again) == content(first)
    assert b.chat("What does harbour mean?").headers["X-Cache-Tier"] == "exact"
    assert b.chat("what does harbour mean", cache={"mode": "exact"}).headers["X-Cache"] == "MISS"
    counts = stats(b)
    assert counts["hits"]["normalised"] == 2 and counts["hits"]["exact"] == 1 and counts["misses"] == 1
    assert b.metric("engine_requests_submitted_total") == 1
    # The exact answer goes before the nearly same one.
    until(lambda: stats(b)["shared"]["stored"] == 1)
    assert a.chat("what does harbour mean").headers["X-Cache-Tier"] == "exact"
    # Whose entry is deleted is no longer found through it.
    for entry in httpx.get(a.admin_url + "/admin/cache/entries").json()["entries"]:
        for server in (a, b):
            httpx.delete(server.admin_url + f"/admin/cache/entries/{entry['id']}")
    assert b.chat("What  does harbour mean").headers["X-Cache"] == "MISS"


def test_a_deleted_entry_is_gone_on_all_instances(pair, redis):
    a, b = pair
    a.chat("What does harbour mean?")
    until(lambda: stats(a)["shared"]["stored"] == 1)
    assert b.chat("What does harbour mean?").headers["X-Cache"] == "HIT"  # and kept in its memory
    (entry,) = httpx.get(a.admin_url + "/admin/cache/entries").json()["entries"]
    gone = httpx.delete(a.admin_url + f"/admin/cache/entries/{entry['id']}").json()
    assert gone["deleted"] == {"memory": True, "redis": True} and gone["everywhere"] is True
    until(lambda: stats(b)["entries"] == 0)
    for server in pair:
        assert server.chat("What does harbour mean?", max_tokens=32).headers["X-Cache"] in ("MISS", "HIT")
    assert a.metric("engine_requests_submitted_total") + b.metric("engine_requests_submitted_total") == 2


def test_who_writes_to_redis_cannot_lead_the_normalised_tier_to_another_answer(start, redis, tmp_path):
    flags = [*shared_flags(redis, tmp_path), "--cache-normalised"]
    a, b = start(*flags), start(*flags)
    harbour, rope = content(a.chat("What does harbour mean?")), content(a.chat("What does rope mean?"))
    until(lambda: stats(a)["shared"]["stored"] == 2)
    # Every alias leads to the same entry now.
    moved = redis.command("EVAL", "local aliases = redis.call('KEYS', '*:n:*') local id = redis.call('GET', aliases[1]) "
                                  "for _, key in ipairs(aliases) do redis.call('SET', key, id) end return #aliases", 0)
    assert moved == b":2"
    got = {word: b.chat(f"what does {word} mean") for word in ("harbour", "rope")}
    assert sorted(r.headers["X-Cache"] for r in got.values()) == ["HIT", "MISS"]
    # Each is answered as it was asked; the model may put the answer to the other writing differently.
    hit = next(word for word, reply in got.items() if reply.headers["X-Cache"] == "HIT")
    assert content(got[hit]) == {"harbour": harbour, "rope": rope}[hit]
    redis.command("EVAL", "for _, key in ipairs(redis.call('KEYS', '*:n:*')) do redis.call('SET', key, 'nonsense') end", 0)
    c = start(*flags)
    assert c.chat("What  does harbour mean").headers["X-Cache"] == "MISS"
