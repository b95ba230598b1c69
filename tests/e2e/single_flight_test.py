"""Several instances that share a Redis never generate the same answer twice at the same time; whoever dies in the
middle, every client of the others gets the whole answer."""

import asyncio
import os
import secrets
import signal
import threading

import httpx
import pytest

from long_streams import LONG_TOKENS, Stream, in_the_middle, long_request, until
from redis_server import RedisServer

REQUESTS = int(os.environ.get("NEXTGATE_E2E_EQUAL_REQUESTS", "200"))


@pytest.fixture
def redis():
    running = RedisServer()
    yield running
    running.remove()


@pytest.fixture
def pair(start, redis, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32))
    flags = ["--cache-url", redis.url, "--cache-secret-file", str(secret)]
    return start(*flags), start(*flags)


def shared(server):
    return stats(server)["shared"]


def stats(server):
    return httpx.get(server.admin_url + "/admin/cache/stats?scope=instance", timeout=20).json()


def reference(server, body):
    """What the engine says to this request by itself."""
    reply = server.post("/v1/completions", body, **{"Cache-Control": "no-store"})
    assert reply.status_code == 200, reply.text
    choice = reply.json()["choices"][0]
    return choice["text"], choice["token_ids"]


def test_equal_requests_on_two_instances_at_once_are_one_generation(pair):
    a, b = pair
    body = long_request("harbour", tokens=1200)
    texts, words = [], []

    async def ask(client, i):
        server, stream = pair[i % 2], i % 4 < 2
        if not stream:
            reply = await client.post(server.url + "/v1/completions", json=body)
            assert reply.status_code == 200, reply.text
            words.append(reply.headers["X-Cache"])
            texts.append(reply.json()["choices"][0]["text"])
            return
        import json
        text = ""
        async with client.stream("POST", server.url + "/v1/completions", json={**body, "stream": True}) as reply:
            assert reply.status_code == 200
            words.append(reply.headers["X-Cache"])
            async for line in reply.aiter_lines():
                if line.startswith("data: {"):
                    text += "".join(choice["text"] for choice in json.loads(line[6:])["choices"])
        texts.append(text)

    async def all_at_once():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=120, limits=limits) as client:
            await asyncio.gather(*(ask(client, i) for i in range(REQUESTS)))

    asyncio.run(all_at_once())
    assert len(texts) == REQUESTS and len(set(texts)) == 1 and len(texts[0]) > 1000
    submitted = [server.metric("engine_requests_submitted_total") for server in pair]
    assert sorted(submitted) == [0, 1], (submitted, shared(a)["single_flight"], shared(b)["single_flight"])
    counts = [stats(server) for server in pair]
    assert sum(c["requests"] for c in counts) == REQUESTS
    assert sum(c["misses"] for c in counts) == 1
    assert words.count("MISS") == 1 and words.count("COALESCED") + words.count("HIT") == REQUESTS - 1
    assert sum(c["hits"]["coalesced"] for c in counts) == words.count("COALESCED")
    assert sum(c["shared"]["single_flight"]["leads"] for c in counts) == 1


def test_a_follower_on_another_instance_hears_it_live_in_either_form(pair):
    a, b = pair
    body, leader, (follower,) = in_the_middle(a, b, "anchor")
    whole = b.post("/v1/completions", body).json()
    leader.wait(), follower.wait()
    assert leader.headers["x-cache"] == "MISS" and follower.headers["x-cache"] == "COALESCED"
    assert follower.headers["x-cache-tier"] == "coalesced"
    assert leader.text == follower.text == whole["choices"][0]["text"]
    assert leader.tokens == follower.tokens == whole["choices"][0]["token_ids"]
    assert len(leader.tokens) == whole["usage"]["completion_tokens"] == LONG_TOKENS
    assert b.metric("engine_requests_submitted_total") == 0
    until(lambda: shared(a)["single_flight"]["leading"] == 0)
    assert shared(a)["stored"] >= 1 and shared(b)["stored"] == 0, "stored once"


@pytest.mark.parametrize("fields", [{}, {"seed": 7, "temperature": 1, "frequency_penalty": 0.1}])
def test_a_leader_killed_in_mid_stream_is_gone_on_from(pair, fields):
    a, b = pair
    body, _, followers = in_the_middle(a, b, "lamp", followers=5, **fields)
    a.process.send_signal(signal.SIGKILL)
    heard = min(len(follower.tokens) for follower in followers)
    whole = b.post("/v1/completions", body).json()["choices"][0]
    for follower in followers:
        follower.wait()
    flight = shared(b)["single_flight"]
    assert (flight["takeovers"], flight["leads"]) == (1, 1)
    assert 0 < b.metric("engine_generated_tokens_total") <= LONG_TOKENS - heard, "from where it was"
    expected_text, expected_tokens = reference(b, body)
    for follower in followers:
        assert follower.done and follower.error is None
        assert follower.tokens == expected_tokens
        assert follower.text == expected_text
        assert follower.headers["x-cache"] == "COALESCED"
    assert whole["text"] == expected_text
    until(lambda: shared(b)["stored"] == 1)


def test_a_leader_stopped_past_its_lease_and_resumed_mixes_nothing(pair, redis):
    a, b = pair
    body, leader, (follower,) = in_the_middle(a, b, "rope", seed=3, temperature=1)
    a.process.send_signal(signal.SIGSTOP)
    follower.wait()
    expected_text, expected_tokens = reference(b, body)
    assert follower.tokens == expected_tokens and follower.text == expected_text
    assert shared(b)["single_flight"]["takeovers"] == 1
    a.process.send_signal(signal.SIGCONT)
    leader.wait()
    assert leader.done and leader.tokens == expected_tokens and leader.text == expected_text
    until(lambda: shared(a)["single_flight"]["leases_lost"] == 1)
    until(lambda: shared(b)["stored"] == 1)
    assert shared(a)["not_stored"] == 1, "who lost the turn overwrites nothing"
    assert a.post("/v1/completions", body).json()["choices"][0]["text"] == expected_text
    assert b.post("/v1/completions", body).json()["choices"][0]["text"] == expected_text


def test_the_last_client_of_the_leader_leaves_and_the_follower_goes_on(pair):
    a, b = pair
    body = long_request("boat")
    expected_text, expected_tokens = reference(b, body)
    with httpx.stream("POST", a.url + "/v1/completions", json={**body, "stream": True}, timeout=60) as reply:
        next(reply.iter_lines())
        follower = Stream(b, body)
        until(lambda: len(follower.tokens) > 50)
    follower.wait()
    assert follower.tokens == expected_tokens and follower.text == expected_text
    assert shared(a)["single_flight"]["leases_lost"] == 0
    until(lambda: shared(b)["stored"] == 1)


@pytest.mark.parametrize("breakdown", ["kill", "pause"])
def test_redis_lost_in_mid_stream_ends_no_answer(pair, redis, breakdown):
    a, b = pair
    body, leader, (follower,) = in_the_middle(a, b, "sail")
    getattr(redis, breakdown)()
    for stream in (leader, follower):
        stream.wait()
    expected_text, expected_tokens = reference(b, body)
    for stream in (leader, follower):
        assert stream.done and stream.error is None
        assert stream.tokens == expected_tokens and stream.text == expected_text
    if breakdown == "pause":
        redis.resume()


def test_a_prompt_that_is_too_long_is_refused_alike_on_every_instance(pair):
    replies = []

    def ask(server):
        replies.append(server.post("/v1/completions", long_request("x", tokens=5000)))

    threads = [threading.Thread(target=ask, args=(pair[i % 2],)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.status_code for r in replies] == [400] * 20
    assert len({r.json()["error"]["message"] for r in replies}) == 1
