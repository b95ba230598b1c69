"""The official `openai` client against the real binary: every call its users make."""

import pytest

# The model is sure of its answers; this gives two hundred tokens a chance, so that samples differ.
FLAT = {str(token): 15 for token in range(300, 500)}
QUESTION = [{"role": "user", "content": "What does harbour mean?"}]


@pytest.fixture
def client(server):
    return server.client()


def stream_of(client, **fields):
    return list(client.chat.completions.create(model="dictionary", messages=QUESTION, stream=True,
                                               stream_options={"include_usage": True}, **fields))


def text_of(chunks, index=0):
    return "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices if c.index == index)


def test_models_are_listed(client):
    listed = client.models.list().data
    assert [m.id for m in listed] == ["dictionary"]
    assert client.models.retrieve("dictionary").id == "dictionary"


def test_a_chat_streams_the_same_text_and_usage_as_its_body(client):
    body = client.chat.completions.create(model="dictionary", messages=QUESTION, max_tokens=48, temperature=0)
    chunks = stream_of(client, max_tokens=48, temperature=0)
    assert body.choices[0].message.role == "assistant"
    assert body.choices[0].message.content and text_of(chunks) == body.choices[0].message.content
    finish = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert finish == [body.choices[0].finish_reason]
    usage = [chunk.usage for chunk in chunks if chunk.usage][-1]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(usage, name) == getattr(body.usage, name)
    assert body.usage.prompt_tokens_details.cached_tokens is not None
    assert body.usage.total_tokens == body.usage.prompt_tokens + body.usage.completion_tokens


def test_a_generated_stream_equals_a_generated_body(client):
    """The same without the answer cache in between: both are computed."""
    headers = {"Cache-Control": "no-store"}
    body = client.chat.completions.create(model="dictionary", messages=QUESTION, temperature=0, max_tokens=40,
                                          extra_headers=headers)
    chunks = stream_of(client, temperature=0, max_tokens=40, extra_headers=headers)
    assert text_of(chunks) == body.choices[0].message.content
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"


def test_completions_stream_and_body(client):
    fields = dict(model="dictionary", prompt="The word harbour means", max_tokens=12, temperature=0)
    body = client.completions.create(**fields)
    text = "".join(c.choices[0].text for c in client.completions.create(stream=True, **fields) if c.choices)
    assert body.choices[0].text == text
    assert body.object == "text_completion"


def test_completions_take_token_ids_arrays_and_echo(client, server):
    tokens = server.post("/tokenize", {"model": "dictionary", "prompt": "harbour and ship"}).json()["tokens"]
    fields = dict(model="dictionary", max_tokens=8, temperature=0)
    from_text = client.completions.create(prompt="harbour and ship", **fields).choices[0].text
    assert client.completions.create(prompt=tokens, **fields).choices[0].text == from_text
    both = client.completions.create(prompt=["harbour and ship", "a small dog"], **fields)
    assert [c.index for c in both.choices] == [0, 1]
    assert both.choices[0].text == from_text
    echoed = client.completions.create(prompt="harbour and ship", echo=True, **fields).choices[0].text
    assert echoed == "harbour and ship" + from_text


def test_tokenize_and_detokenize_are_inverse(server):
    text = "Wörter, 你好 and\nnew lines"
    tokens = server.post("/tokenize", {"model": "dictionary", "prompt": text}).json()
    assert tokens["count"] == len(tokens["tokens"]) > 0
    assert tokens["max_model_len"] == 4096
    assert server.post("/detokenize", {"model": "dictionary", "tokens": tokens["tokens"]}).json()["prompt"] == text
    chat = server.post("/tokenize", {"model": "dictionary", "messages": QUESTION}).json()
    assert chat["count"] > 4


def test_n_choices_are_independent_samples(client):
    answer = client.chat.completions.create(model="dictionary", messages=QUESTION, n=3, temperature=2, seed=7,
                                            max_tokens=16, logit_bias=FLAT)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert len({c.message.content for c in answer.choices}) > 1
    greedy = client.chat.completions.create(model="dictionary", messages=QUESTION, n=3, temperature=0, max_tokens=16)
    assert len({c.message.content for c in greedy.choices}) == 1
    chunks = stream_of(client, n=3, temperature=2, seed=7, max_tokens=16, logit_bias=FLAT,
                       extra_headers={"Cache-Control": "no-store"})
    for choice in answer.choices:
        assert text_of(chunks, choice.index) == choice.message.content


def test_a_seed_repeats_and_another_seed_differs(client):
    def ask(seed):
        return client.chat.completions.create(
            model="dictionary", messages=QUESTION, temperature=2, seed=seed, max_tokens=24, logit_bias=FLAT,
            extra_headers={"Cache-Control": "no-store"}).choices[0].message.content

    assert ask(1) == ask(1)
    assert len({ask(seed) for seed in range(1, 6)}) > 1


def test_chat_logprobs_cover_every_token(client):
    answer = client.chat.completions.create(model="dictionary", messages=QUESTION, temperature=0, max_tokens=10,
                                            logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert answer.usage.completion_tokens >= len(content) >= answer.usage.completion_tokens - 1
    for position in content:
        assert position.logprob <= 0 and len(position.top_logprobs) == 3
        assert position.top_logprobs[0].logprob == pytest.approx(position.logprob)  # greedy takes the likeliest
        assert bytes(position.bytes).decode("utf-8", "replace") == position.token
    assert "".join(p.token for p in content).startswith(answer.choices[0].message.content)


def test_completion_logprobs_and_prompt_echo(client):
    answer = client.completions.create(model="dictionary", prompt="harbour and ship", max_tokens=4, temperature=0,
                                       logprobs=2, echo=True)
    logprobs = answer.choices[0].logprobs
    count = answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset) == count
    assert logprobs.token_logprobs[0] is None  # nothing precedes the first token
    assert all(value <= 0 for value in logprobs.token_logprobs[1:])


def test_stop_strings_end_the_text_before_them(client):
    full = client.chat.completions.create(model="dictionary", messages=QUESTION, temperature=0, max_tokens=32)
    text = full.choices[0].message.content
    stop = text[len(text) // 2:len(text) // 2 + 3]
    expected = text[:text.index(stop)]
    answer = client.chat.completions.create(model="dictionary", messages=QUESTION, temperature=0, max_tokens=32,
                                            stop=[stop, "never seen"])
    assert answer.choices[0].message.content == expected
    assert answer.choices[0].finish_reason == "stop"
    chunks = stream_of(client, temperature=0, max_tokens=32, stop=stop, extra_headers={"Cache-Control": "no-store"})
    assert text_of(chunks) == expected
    kept = client.chat.completions.create(model="dictionary", messages=QUESTION, temperature=0, max_tokens=32,
                                          stop=stop, extra_body={"include_stop_str_in_output": True})
    assert kept.choices[0].message.content == expected + stop


def test_length_and_min_tokens_are_kept(client):
    short = client.chat.completions.create(model="dictionary", messages=QUESTION, temperature=0, max_tokens=3)
    assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 3
    longer = client.chat.completions.create(model="dictionary", messages=QUESTION, temperature=0, max_tokens=60,
                                            extra_body={"ignore_eos": True})
    assert longer.usage.completion_tokens == 60 and longer.choices[0].finish_reason == "length"
    at_least = client.chat.completions.create(model="dictionary", messages=QUESTION, temperature=0, max_tokens=60,
                                              extra_body={"min_tokens": 50})
    assert at_least.usage.completion_tokens >= 50


def test_logit_bias_forces_and_bans_tokens(client, server):
    token = server.post("/tokenize", {"model": "dictionary", "prompt": "ship"}).json()["tokens"][0]
    answer = client.completions.create(model="dictionary", prompt="a", max_tokens=3, temperature=0,
                                       logit_bias={str(token): 100}, extra_body={"return_token_ids": True})
    assert answer.choices[0].token_ids == [token] * 3


def test_max_completion_tokens_and_multi_turn(client):
    turns = QUESTION + [{"role": "assistant", "content": "A place for ships."}, {"role": "user", "content": "ship?"}]
    answer = client.chat.completions.create(model="dictionary", messages=[{"role": "system", "content": "Be brief."}] + turns,
                                            max_completion_tokens=5, temperature=0)
    assert answer.usage.completion_tokens <= 5


def test_eight_at_once_get_what_one_alone_gets(server):
    """Answers do not depend on who runs beside them."""
    import concurrent.futures

    questions = [f"What does {w} mean?" for w in ("ship", "dog", "harbour", "tree", "water", "house", "king", "bread")]

    def ask(question):
        reply = server.chat(question, headers={"Cache-Control": "no-store"}, temperature=0.9, seed=3)
        return reply.json()["choices"][0]["message"]["content"]

    alone = [ask(q) for q in questions]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, questions)) == alone
