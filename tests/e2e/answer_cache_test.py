"""The exact answer cache as a client and an operator see it."""

import collections
import concurrent.futures
import json
import time

import httpx
import pytest

from long_streams import until


def ask(server, text, headers=None, **fields):
    return server.chat(text, headers=headers, **fields)


def without_identity(body):
    return {key: value for key, value in body.items() if key not in ("id", "created")}


def events(reply):
    return [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]


def stats(server):
    return httpx.get(server.admin_url + "/admin/cache/stats", params={"scope": "instance"}).json()


def test_the_second_time_is_a_hit_and_byte_equal_but_for_identity(server):
    first, second = ask(server, "What does anchor mean?"), ask(server, "What does anchor mean?")
    assert first.headers["X-Cache"] == "MISS" and second.headers["X-Cache"] == "HIT"
    assert second.headers["X-Cache-Tier"] == "exact" and int(second.headers["Age"]) >= 0
    assert without_identity(first.json()) == without_identity(second.json())
    assert first.json()["id"] != second.json()["id"]


@pytest.mark.parametrize("first_streams", [False, True])
def test_one_entry_serves_stream_and_body(server, first_streams):
    text = f"What does bell mean? {first_streams}"
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    kinds = [usage, {}] if first_streams else [{}, usage]
    first, second = (ask(server, text, **fields) for fields in kinds)
    assert (first.headers["X-Cache"], second.headers["X-Cache"]) == ("MISS", "HIT")
    body, stream = (second, first) if first_streams else (first, second)
    chunks = events(stream)
    streamed = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert streamed == body.json()["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"] == body.json()["usage"]
    assert stream.text.rstrip().endswith("data: [DONE]")


def test_a_replayed_stream_has_the_chunks_of_the_first(server):
    first, second = (ask(server, "Define candle.", stream=True) for _ in range(2))
    assert second.headers["X-Cache"] == "HIT"
    assert [without_identity(e) for e in events(first)] == [without_identity(e) for e in events(second)]


def test_controls_of_the_request(server):
    text = "Define drum."
    assert ask(server, text, headers={"Cache-Control": "only-if-cached"}).status_code == 504
    assert ask(server, text, headers={"Cache-Control": "no-store"}).headers["X-Cache"] == "BYPASS"
    assert ask(server, text).headers["X-Cache"] == "MISS"
    assert ask(server, text, headers={"Cache-Control": "only-if-cached"}).headers["X-Cache"] == "HIT"
    refreshed = ask(server, text, headers={"Cache-Control": "no-cache"})
    assert refreshed.headers["X-Cache"] == "BYPASS" and refreshed.headers["X-Cache-Reason"] == "no_cache"
    assert ask(server, text, headers={"Cache-Control": "max-age=3600"}).headers["X-Cache"] == "HIT"
    assert ask(server, text, cache={"no-cache": True}).headers["X-Cache"] == "BYPASS"
    assert ask(server, text, cache={"namespace": "other"}).headers["X-Cache"] == "MISS"


def test_eligibility_and_its_reasons(server):
    sampled = ask(server, "Define eagle.", temperature=0.7)
    assert sampled.headers["X-Cache"] == "BYPASS" and sampled.headers["X-Cache-Reason"] == "sampled"
    seeded = [ask(server, "Define eagle.", temperature=0.7, seed=5).headers["X-Cache"] for _ in range(2)]
    assert seeded == ["MISS", "HIT"]
    assert ask(server, "What is the news today?").headers["X-Cache"] == "BYPASS"
    prompt = {"model": "dictionary", "prompt": "What is the news today?", "max_tokens": 4}
    completion = server.post("/v1/completions", prompt)
    assert (completion.headers["X-Cache"], completion.headers["X-Cache-Reason"]) == ("BYPASS", "time_words")
    history = [{"role": "user", "content": "eagle?"}, {"role": "tool", "content": "4"}]
    assert server.chat("", messages=history).headers["X-Cache-Reason"] == "tools"


def test_what_changes_the_answer_changes_the_key_and_nothing_else_does(server):
    base = dict(temperature=0, seed=1)
    assert ask(server, "Define fence.", **base).headers["X-Cache"] == "MISS"
    for same in ({"user": "someone"}, {"metadata": {"a": "b"}}, {"max_tokens": 32.0}, {"n": 1}):
        assert ask(server, "Define fence.", **{**base, **same}).headers["X-Cache"] == "HIT", same
    for other in ({"max_tokens": 31}, {"seed": 2}, {"stop": ["q"]}, {"logprobs": True}, {"min_tokens": 1},
                  {"presence_penalty": 0.1}, {"n": 2}):
        assert ask(server, "Define fence.", **{**base, **other}).headers["X-Cache"] == "MISS", other


def test_a_request_without_a_model_is_one_for_the_model_served(server):
    body = {"messages": [{"role": "user", "content": "What does helm mean?"}], "max_tokens": 32}
    first = server.post("/v1/chat/completions", body)
    named = server.post("/v1/chat/completions", {"model": "dictionary", **body})
    assert (first.headers["X-Cache"], named.headers["X-Cache"]) == ("MISS", "HIT")
    assert first.json()["model"] == named.json()["model"] == "dictionary"


def test_stats_count_every_request_in_one_class(start):
    server = start()
    before = stats(server)
    assert before["requests"] == 0 and before["hit_rate"] is None
    ask(server, "Define garden.")
    ask(server, "Define garden.")
    ask(server, "Define garden.", temperature=1.0)
    ask(server, "Define garden.", temperature=9.0)  # a 400 asks nothing of the cache
    after = stats(server)
    assert after["requests"] == 3 and after["eligible"] == 2 and after["misses"] == 1
    assert after["hits"]["exact"] == 1 and after["bypass"]["sampled"] == 1
    assert after["hit_rate"] == 0.5
    elsewhere = httpx.get(server.url + "/admin/cache/stats")
    assert elsewhere.status_code == 404 and "--admin-port" in elsewhere.json()["error"]["message"]


def test_the_cache_can_be_switched_off(start):
    server = start("--no-enable-answer-cache")
    assert [ask(server, "Define hammer.").headers["X-Cache"] for _ in range(2)] == ["BYPASS", "BYPASS"]


def test_equal_requests_at_once_are_generated_once(start):
    server = start()
    long = {"max_tokens": 1500, "ignore_eos": True, "min_tokens": 1500}

    def one(i):
        reply = ask(server, "What does sail mean?", stream=i % 2 == 0, **long)
        if i % 2 == 0:
            chunks = events(reply)
            return reply, "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
        return reply, reply.json()["choices"][0]["message"]["content"]

    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(one, range(60)))
    assert len({text for _, text in answers}) == 1
    assert server.metric("engine_requests_submitted_total") == 1
    classes = collections.Counter(reply.headers["X-Cache"] for reply, _ in answers)
    assert classes["MISS"] == 1 and classes["COALESCED"] > 0, classes
    counts = stats(server)
    assert counts["requests"] == 60 and counts["misses"] == 1
    assert counts["hits"]["coalesced"] == classes["COALESCED"] and counts["hits"]["exact"] == classes["HIT"]


def test_cache_status_says_in_rfc_9211s_words_what_happened(server):
    def status(text, headers=None, **fields):
        return ask(server, text, headers=headers, **fields).headers["Cache-Status"]

    text = "What does kettle mean?"
    assert status(text, headers={"Cache-Control": "only-if-cached"}) == "nextgate; detail=only_if_cached"
    assert status(text) == "nextgate; fwd=miss; stored"
    hit, ttl = status(text).rsplit("=", 1)
    assert hit == "nextgate; hit; ttl" and 86400 - 60 < int(ttl) <= 86400
    assert status("What does ladder mean?", stream=True) == "nextgate; fwd=miss"  # not known yet
    assert status(text, temperature=1.0) == "nextgate; fwd=bypass; detail=sampled"
    assert status(text, headers={"Cache-Control": "no-cache"}) == "nextgate; fwd=bypass; detail=no_cache; stored"


def test_a_replayed_stream_keeps_the_pace_that_was_set(start):
    server = start("--cache-replay-tokens-per-s", "100")
    fields = dict(max_tokens=61, min_tokens=61, ignore_eos=True)
    first = ask(server, "Define lamp.", stream=True, **fields)
    until(lambda: ask(server, "Define lamp.", **fields).headers["X-Cache"] == "HIT")
    began = time.monotonic()
    second = ask(server, "Define lamp.", stream=True, **fields)
    assert second.headers["X-Cache"] == "HIT"
    assert time.monotonic() - began >= 0.59
    assert [without_identity(e) for e in events(first)] == [without_identity(e) for e in events(second)]


def test_a_client_that_leaves_a_slow_replay_ends_it(start):
    server = start("--cache-replay-tokens-per-s", "1")
    fields = dict(max_tokens=40, min_tokens=40, ignore_eos=True)
    until(lambda: ask(server, "Define mirror.", **fields).headers["X-Cache"] == "HIT")
    body = {"model": "dictionary", "messages": [{"role": "user", "content": "Define mirror."}], "stream": True, **fields}
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=body, timeout=60) as reply:
        assert reply.headers["X-Cache"] == "HIT"
        next(reply.iter_raw())
    deadline = time.monotonic() + 20  # the whole would take 39 s
    while "status=499" not in server.log() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "status=499" in server.log(), server.log()


def test_times_to_live_sizes_and_controls_are_the_operators(start):
    server = start("--cache-ttl-s", "500", "--cache-ttl-max-s", "700", "--cache-route-ttl-s", "/v1/completions=0",
                   "--cache-prompt-bytes-max", "60", "--cache-controls", "ttl")

    def ttl(reply):
        return int(reply.headers["Cache-Status"].split("ttl=")[1])

    for text, cache, expected in (("Define harbour.", {}, 500), ("Define rope.", {"ttl": 5000}, 700),
                                  ("Define ship.", {"ttl": 90}, 90)):
        assert server.chat(text, cache=cache).headers["X-Cache"] == "MISS"
        hit = server.chat(text, cache=cache)
        assert hit.headers["X-Cache"] == "HIT" and expected - 30 < ttl(hit) <= expected
    for _ in range(2):  # looked up, and never stored
        body = {"model": "dictionary", "prompt": "harbour", "max_tokens": 4}
        assert server.post("/v1/completions", body).headers["X-Cache"] == "MISS"
    long = server.chat("Define " + 60 * "x")
    assert (long.headers["X-Cache"], long.headers["X-Cache-Reason"]) == ("BYPASS", "prompt_too_long")
    for cache, param in (({"namespace": "n"}, "cache.namespace"), ({"no-cache": True}, "Cache-Control")):
        refused = server.chat("Define harbour.", cache=cache)
        assert refused.status_code == 403 and refused.json()["error"]["param"] == param
        assert "or without one" in refused.json()["error"]["message"]
    assert server.chat("Define harbour.", cache={"no-store": True}).status_code == 200
    small = start("--cache-entry-bytes-max", "1024")
    for _ in range(2):
        assert small.chat("Define harbour." + 1024 * " ").headers["X-Cache"] in ("MISS", "COALESCED")
    stored = httpx.get(small.admin_url + "/admin/cache/stats", params={"scope": "instance"}).json()
    assert stored["entries"] == 0 and stored["hits"]["exact"] == 0
