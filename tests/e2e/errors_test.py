"""Every class of error as the official client raises it, and five hundred malformed requests."""

import json
import random

import httpx
import openai
import pytest

QUESTION = [{"role": "user", "content": "ship?"}]


def chat(client, **fields):
    return client.chat.completions.create(**{"model": "dictionary", "messages": QUESTION, "max_tokens": 4, **fields})


@pytest.mark.parametrize(
    "fields, named",
    [
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": -2.1}, "frequency_penalty"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"extra_body": {"min_p": 1.5}}, "min_p"),
        ({"extra_body": {"top_k": -2}}, "top_k"),
        ({"extra_body": {"repetition_penalty": 0}}, "repetition_penalty"),
        ({"extra_body": {"min_tokens": 9}}, "min_tokens"),
        ({"extra_body": {"cache": {"ttl": -1}}}, "cache"),
    ],
)
def test_a_bad_value_is_a_400_that_names_the_field(server, fields, named):
    with pytest.raises(openai.BadRequestError) as raised:
        chat(server.client(), **fields)
    error = raised.value.body
    assert named in error["message"] or named in (error.get("param") or "")
    assert error["type"] and error["message"]


def test_an_unknown_model_is_a_404_that_says_what_is_served(server):
    with pytest.raises(openai.NotFoundError) as raised:
        chat(server.client(), model="gpt-4")
    assert "dictionary" in raised.value.body["message"]


def test_a_prompt_that_is_too_long_says_how_long_and_how_much_fits(server):
    with pytest.raises(openai.BadRequestError) as raised:
        chat(server.client(), messages=[{"role": "user", "content": "ship " * 9000}])
    assert "4096" in raised.value.body["message"]


def test_without_the_key_it_is_a_401(start):
    server = start("--api-key", "secret-one", "secret-two")
    with pytest.raises(openai.AuthenticationError):
        chat(server.client(api_key="wrong"))
    assert httpx.post(server.url + "/v1/chat/completions", json={}).status_code == 401
    assert httpx.get(server.url + "/health").status_code == 200
    for key in ("secret-one", "secret-two"):
        assert chat(server.client(api_key=key)).choices
    assert "secret" not in server.log()


def test_unknown_paths_and_methods_are_json_errors(server):
    missing = httpx.get(server.url + "/v1/nothing")
    assert missing.status_code == 404 and missing.json()["error"]["message"]
    wrong = httpx.get(server.url + "/v1/chat/completions")
    assert wrong.status_code in (404, 405) and wrong.json()["error"]["message"]


def test_a_body_over_the_limit_is_a_413_and_the_next_request_is_served(start):
    server = start("--max-body-bytes", "20000")
    with httpx.Client(base_url=server.url) as client:
        big = client.post("/v1/completions", content=b'{"prompt": "' + b"x" * 50_000 + b'"}',
                          headers={"Content-Type": "application/json"})
        assert big.status_code == 413 and "20000" in big.json()["error"]["message"]
        assert client.post("/v1/completions", json={"model": "dictionary", "prompt": "a", "max_tokens": 2}).status_code == 200


def malformed(rng):
    """One request body that no server should accept."""
    good = {"model": "dictionary", "messages": [{"role": "user", "content": "ship?"}], "max_tokens": 4}
    kind = rng.randrange(8)
    if kind == 0:  # cut off
        text = json.dumps(good)
        return text[:rng.randrange(1, len(text) - 1)].encode()
    if kind == 1:  # not JSON at all
        return bytes(rng.randrange(256) for _ in range(rng.randrange(1, 200))) + b"\xff{"
    if kind == 2:  # nested beyond reason
        return b'{"messages": ' + b"[" * rng.choice([200, 5000, 200_000])
    if kind == 3:  # a field of the wrong type
        field = rng.choice(["model", "messages", "max_tokens", "temperature", "top_p", "n", "stop", "seed", "stream",
                            "logit_bias", "logprobs", "presence_penalty", "stream_options"])
        wrong = {"x": [1]} if field not in ("logit_bias", "stream_options") else "text"
        return json.dumps({**good, field: wrong}).encode()
    if kind == 4:  # messages that are none
        broken = rng.choice([None, 1, "x", [1], ["x"], [{}], [{"role": 1, "content": "x"}], [{"content": "x"}],
                             [{"role": "user", "content": 5}], [{"role": "user", "content": [{"type": "teapot"}]}],
                             [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]])
        return json.dumps({**good, "messages": broken}).encode()
    if kind == 5:  # a number out of every range
        field = rng.choice(["temperature", "top_p", "n", "max_tokens", "presence_penalty", "frequency_penalty"])
        return json.dumps({**good, field: rng.choice([-1e300, 1e300, -5, 10**30])}).encode()
    if kind == 6:  # not UTF-8, or half a surrogate
        return rng.choice([b'{"model": "dictionary", "messages": [{"role": "user", "content": "\xc3\x28"}]}',
                           b'{"model": "dictionary", "messages": [{"role": "user", "content": "\\ud800"}]}'])
    return json.dumps(rng.choice([[], [good], "text", 5, None, True])).encode()


def test_five_hundred_malformed_requests_get_an_answer_each(server):
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(500):
            body = malformed(rng)
            reply = client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
            assert 400 <= reply.status_code < 500, (reply.status_code, body[:200])
            assert reply.json()["error"]["message"], body[:200]
        assert client.get("/health").status_code == 200
    assert server.process.poll() is None
