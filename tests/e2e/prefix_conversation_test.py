"""A conversation goes on where it stopped: each turn resumes at the last block of 64 tokens that was computed before."""

import pytest

NO_STORE = {"cache": {"no-store": True, "no-cache": True}}
WORDS = ["harbour", "abandon", "candle", "ladder", "meadow", "needle", "orchard", "pebble", "quiver", "ribbon"]


@pytest.fixture
def client(server):
    return server.client()


def common(a, b):
    for i, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return i
    return min(len(a), len(b))


def ask(client, messages, stream, **fields):
    """Text, prompt ids, answer ids, cached tokens and why it ended."""
    asked = {"model": "dictionary", "messages": messages, "extra_body": {"return_token_ids": True, **NO_STORE}, **fields}
    if not stream:
        answer = client.chat.completions.create(**asked).model_dump()
        choice = answer["choices"][0]
        return (choice["message"]["content"], answer["prompt_token_ids"], choice["token_ids"],
                answer["usage"]["prompt_tokens_details"]["cached_tokens"], choice)
    text, prompt, ids, cached, last = "", None, [], None, None
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        told = chunk.model_dump()
        prompt = told.get("prompt_token_ids") or prompt
        if told.get("usage"):
            cached = told["usage"]["prompt_tokens_details"]["cached_tokens"]
        for choice in told["choices"]:
            text += choice["delta"].get("content") or ""
            ids += choice.get("token_ids") or []
            last = choice if choice.get("finish_reason") else last
    return text, prompt, ids, cached, last


def test_twenty_turns_resume_at_the_last_block_computed(client):
    messages = [{"role": "system", "content": "You explain words. " + "Be brief and exact. " * 12}]
    before, was_cut, cut_turns, resumed = [], False, 0, 0
    for turn in range(20):
        messages.append({"role": "user", "content": f"What does {WORDS[turn % 10]} mean?" + " Please." * (turn % 7)})
        fields = {"temperature": 1.0, "seed": turn, "max_tokens": 20 + 17 * (turn % 5)}
        if turn % 3 == 1:
            fields["stop"] = ["e"]
        text, prompt, ids, cached, end = ask(client, messages, stream=turn % 2 == 1, **fields)
        # What was computed before: all but the last token of an answer, which nobody needed; of an answer that was
        # cut, that one too if the next had begun already.
        c = common(prompt, before)
        expected = {64 * (min(n, len(prompt) - 1) // 64) for n in ({c, c - 1} if was_cut else {c})}
        assert cached in expected, f"turn {turn}: {cached} of {len(prompt)}, {c} in common"
        was_cut = end["finish_reason"] == "stop" and end.get("stop_reason") == "e"
        cut_turns += was_cut
        computed = ids if was_cut else ids[:-1]
        resumed += cached > 0
        before = prompt + computed
        messages.append({"role": "assistant", "content": text})
    assert cut_turns >= 4 and resumed >= 18


def test_a_shared_system_prompt_is_resumed_by_the_second_client(client):
    system = {"role": "system", "content": "You know the words of the sea. " * 20}
    shared = []
    for word in WORDS[:3]:
        _, prompt, _, cached, _ = ask(client, [system, {"role": "user", "content": word}], stream=False,
                                      temperature=0, max_tokens=4)
        if shared:
            assert cached == common(prompt, shared) // 64 * 64 > 0
        shared = prompt
