"""The next turn of a conversation is tokenised as the last one was generated, seen from outside: a client that
asks for token ids gets those of its prompt too."""

import hashlib
import json
import secrets

import httpx
import pytest

from redis_server import RedisServer

WORD = [{"role": "user", "content": "What does harbour mean?"}]
NO_STORE = {"cache": {"no-store": True}}


@pytest.fixture
def client(server):
    return server.client()


def next_turn(text, question="And haven?", **marker):
    return [*WORD, {"role": "assistant", "content": text, **marker}, {"role": "user", "content": question}]


def ids_of(server, text):
    return server.post("/tokenize", {"prompt": text}).json()["tokens"]


def text_of(server, ids):
    return server.post("/detokenize", {"tokens": ids}).json()["prompt"]


def letter_bias(server, letter="s"):
    """One letter again and again: a text that encodes in fewer tokens."""
    ids = ids_of(server, letter)
    assert len(ids) == 1
    return {str(ids[0]): 100}


def ask(client, messages, **fields):
    extra = {"return_token_ids": True, **NO_STORE, **fields.pop("extra", {})}
    fields = {"temperature": 0, "max_tokens": 8, **fields}
    answer = client.chat.completions.create(model="dictionary", messages=messages, extra_body=extra, **fields)
    return answer.model_dump()


def in_one_stream(client, messages, **fields):
    """Text, prompt ids and answer ids of a stream."""
    text, prompt, ids = "", None, []
    for chunk in client.chat.completions.create(
            model="dictionary", messages=messages, stream=True, temperature=0, max_tokens=8,
            extra_body={"return_token_ids": True, **NO_STORE}, **fields):
        told = chunk.model_dump()
        prompt = told.get("prompt_token_ids") or prompt
        for choice in told["choices"]:
            text += choice["delta"].get("content") or ""
            ids += choice.get("token_ids") or []
    return text, prompt, ids


def tokenized(server, messages):
    return server.post("/tokenize", {"messages": messages}).json()["tokens"]


def test_the_next_turn_begins_with_the_tokens_that_were_sampled(server, client):
    first = ask(client, WORD, logit_bias=letter_bias(server))
    text, sampled = first["choices"][0]["message"]["content"], first["choices"][0]["token_ids"]
    assert text == "s" * 8 and len(sampled) == 8
    assert len(ids_of(server, text)) < 8  # nobody would encode it like this
    before = first["prompt_token_ids"] + sampled

    second = ask(client, next_turn(text))
    assert second["prompt_token_ids"][:len(before)] == before
    # The usage counts what was computed, and /tokenize what the text encodes to.
    encoded = tokenized(server, next_turn(text))
    assert second["usage"]["prompt_tokens"] == len(second["prompt_token_ids"])
    assert len(second["prompt_token_ids"]) - len(encoded) == 8 - len(ids_of(server, text))
    assert text_of(server, second["prompt_token_ids"]) == text_of(server, encoded)


def test_streams_are_remembered_too_and_turns_add_up(server, client):
    messages, text, before = WORD, None, []
    for letter in "elo":
        if text is not None:
            messages = [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": letter}]
        text, prompt, sampled = in_one_stream(client, messages, logit_bias=letter_bias(server, letter))
        assert text == letter * 8 and len(ids_of(server, text)) < 8
        assert prompt[:len(before)] == before
        before = prompt + sampled


def test_a_sampled_answer_of_any_text_is_gone_on_with(server, client):
    """At a high temperature the tokens are anything, halves of characters included."""
    others = 0
    for seed in range(6):
        first = ask(client, WORD, temperature=2, seed=seed, max_tokens=24, top_p=1,
                    logit_bias={str(token): 15 for token in range(0, 280)})
        choice = first["choices"][0]
        before = first["prompt_token_ids"] + choice["token_ids"]
        if choice["finish_reason"] == "stop":
            before.pop()  # the end of the turn is the template's
        messages = next_turn(choice["message"]["content"])
        second = ask(client, messages)
        if "<|" in choice["message"]["content"]:
            continue
        assert second["prompt_token_ids"][:len(before)] == before, seed
        others += second["prompt_token_ids"] != tokenized(server, messages)
    assert others > 0


@pytest.fixture
def pair(start, tmp_path):
    redis = RedisServer()
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32))
    flags = ("--cache-url", redis.url, "--cache-secret-file", str(secret))
    yield start(*flags), start(*flags)
    redis.remove()


def test_an_answer_from_the_answer_cache_is_remembered_by_another_server(pair):
    one, other = pair
    fields = {"extra": {"cache": {}}, "logit_bias": letter_bias(one)}
    first = ask(one.client(), WORD, **fields)
    text = first["choices"][0]["message"]["content"]
    sampled = first["prompt_token_ids"] + first["choices"][0]["token_ids"]
    assert ask(other.client(), next_turn(text))["prompt_token_ids"] == tokenized(other, next_turn(text))
    told = other.client().chat.completions.with_raw_response.create(
        model="dictionary", messages=WORD, temperature=0, max_tokens=8, logit_bias=letter_bias(one),
        extra_body={"return_token_ids": True, "cache": {}})
    assert told.headers["X-Cache"] == "HIT"
    second = ask(other.client(), next_turn(text))["prompt_token_ids"]
    assert second[:len(sampled)] == sampled and second != tokenized(other, next_turn(text))


def test_tenants_and_salts_do_not_learn_of_each_other(start, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("".join(json.dumps({"key_sha256": hashlib.sha256(name.encode()).hexdigest(), "tenant": name}) + "\n"
                            for name in ("acme", "other")))
    server = start("--api-key-file", str(keys))

    def chat(key, messages, **fields):
        return ask(server.client(api_key=key), messages, **fields)["prompt_token_ids"]

    def post(path, body):
        return httpx.post(server.url + path, json=body, headers={"Authorization": "Bearer acme"}).json()

    bias = {str(post("/tokenize", {"prompt": "s"})["tokens"][0]): 100}
    chat("acme", WORD, logit_bias=bias)
    turn = next_turn("s" * 8)
    encoded = post("/tokenize", {"messages": turn})["tokens"]
    assert chat("other", turn) == encoded
    assert chat("acme", turn, extra={"cache_salt": "x"}) == encoded
    assert chat("acme", turn) != encoded
    chat("acme", WORD, logit_bias=bias, extra={"cache_salt": "x"})
    assert chat("acme", turn, extra={"cache_salt": "x"}) != encoded


def test_markers_change_neither_the_prompt_nor_the_answer(server, client):
    marker = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    marked = [{"role": "system", "content": [{"type": "text", "text": "Be brief.", **marker}]},
              {**WORD[0], **marker}]
    plain = [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, WORD[0]]
    assert tokenized(server, marked) == tokenized(server, plain)
    body = {"model": "dictionary", "temperature": 0, "max_tokens": 8}
    assert server.post("/v1/chat/completions", {**body, "messages": plain}).headers["X-Cache"] == "MISS"
    assert server.post("/v1/chat/completions", {**body, "messages": marked}).headers["X-Cache"] == "HIT"


def test_a_bad_marker_is_named(server):
    for marker, message in (({"type": "forever"}, "messages[0].cache_control.type: expected 'ephemeral', got 'forever'"),
                            (1, 'messages[0].cache_control: expected {"type": "ephemeral"}, got 1')):
        reply = server.post("/v1/chat/completions", {"messages": [{**WORD[0], "cache_control": marker}]})
        assert reply.status_code == 400
        assert reply.json()["error"]["message"] == message
        assert reply.json()["error"]["param"] == "messages"


def test_prompts_of_text_completions_are_encoded(server, client):
    first = ask(client, WORD, logit_bias=letter_bias(server, "e"))
    text = first["choices"][0]["message"]["content"]
    assert text == "e" * 8
    completion = client.completions.create(model="dictionary", prompt=text, max_tokens=1, temperature=0,
                                           extra_body={"return_token_ids": True}).model_dump()
    assert completion["choices"][0]["prompt_token_ids"] == ids_of(server, text)
