"""The prefix cache as clients and operators see it: cached_tokens in usage, the same answers with and without it, and
an admin API, a command line and metrics that agree."""

import json
import random
import re

import httpx
import openai
import pytest

from admin_test import admin, admin_json, keys, until  # noqa: F401 (keys is a fixture)
from conftest import ROOT
from upstream_test import Gateway

FRESH = {"Cache-Control": "no-store"}  # past the answer cache
WORDS = [line.split("\t")[0] for line in (ROOT / "models/dictionary/glosses.tsv").read_text().splitlines()]


def text_of(seed, words):
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def system(seed, words=60):
    return {"role": "system", "content": f"You define words. Mind these: {text_of(seed, words)}."}


def user(text):
    return {"role": "user", "content": text}


def border(server, messages):
    """Tokens of these messages, to where the next one begins."""
    return server.post("/tokenize", {"messages": messages, "add_generation_prompt": False}).json()["count"]


def chat(server, messages, **fields):
    fields = {"max_tokens": 8, "temperature": 0, "extra_headers": FRESH, **fields}
    return server.client().chat.completions.create(model="dictionary", messages=messages, **fields)


def complete(server, prompt, **fields):
    fields = {"max_tokens": 4, "temperature": 0, "extra_headers": FRESH, **fields}
    return server.client().completions.create(model="dictionary", prompt=prompt, **fields)


def cached(answer):
    return answer.usage.prompt_tokens_details.cached_tokens


def ids(seed, count):
    return random.Random(seed).choices(range(100, 4000), k=count)


@pytest.mark.parametrize("words", [30, 60, 300])
def test_a_shared_system_prompt_is_resumed_from_the_second_request_on(server, words):
    common = system(words, words)
    at = border(server, [common])
    assert at % 64 < 61  # the next message's opening, three tokens that all have, ends in another block
    expected = at // 64 * 64
    first = chat(server, [common, user("harbour?")])
    assert cached(first) == 0 and first.usage.prompt_tokens > at
    for question in ("What is rope?", "Define anchor, please."):
        assert cached(chat(server, [common, user(question)])) == expected > 0


def test_streams_report_what_bodies_do(server):
    common = system("streams")
    expected = border(server, [common]) // 64 * 64
    chat(server, [common, user("harbour?")])
    stream = chat(server, [common, user("rope?")], stream=True, stream_options={"include_usage": True})
    *_, last = stream
    assert last.choices == [] and cached(last) == expected
    prompt = ids("streams", 200)
    assert cached(complete(server, prompt)) == 0
    *_, last = complete(server, prompt, stream=True, stream_options={"include_usage": True})
    assert cached(last) == 192


def test_a_prompt_counts_once_and_several_prompts_add_up(server):
    common = [system("n"), user("Define harbour.")]
    length = chat(server, common).usage.prompt_tokens
    several = chat(server, common, n=3, temperature=0.8, seed=1)
    assert several.usage.prompt_tokens == length and cached(several) == (length - 1) // 64 * 64
    a, b, c = ids("a", 200), ids("b", 129), ids("c", 500)
    complete(server, a)
    complete(server, b)
    together = complete(server, [a, b, c])
    assert together.usage.prompt_tokens == 829 and cached(together) == 192 + 128


def test_a_conversation_goes_on_where_it_was(server):
    messages = [system("conversation"), user("Define harbour.")]
    for question in ("And rope?", "And anchor?", "And lighthouse?"):
        answer = chat(server, messages, max_tokens=40)
        known = border(server, messages)
        messages += [{"role": "assistant", "content": answer.choices[0].message.content}, user(question)]
        assert cached(chat(server, messages)) >= known // 64 * 64 > 0


def test_a_cache_salt_separates(server):
    common = [system("salt"), user("Define harbour.")]
    chat(server, common)
    for salt in ("one", "another"):
        assert cached(chat(server, common, extra_body={"cache_salt": salt})) == 0
        assert cached(chat(server, common, extra_body={"cache_salt": salt})) > 0
    assert cached(chat(server, common)) > 0


def test_whose_prompt_is_to_be_judged_is_computed(server):
    prompt = ids("logprobs", 300)
    plain = complete(server, prompt)
    assert cached(complete(server, prompt)) == 256
    limited = server.metric("nextgate_prefix_lookups_limited_total")
    for fields in ({"extra_body": {"prompt_logprobs": 1}}, {"echo": True, "logprobs": 1}):
        judged = complete(server, prompt, **fields)
        assert cached(judged) == 0 and judged.choices[0].text.endswith(plain.choices[0].text)
    assert server.metric("nextgate_prefix_lookups_limited_total") == limited + 2


def test_a_stored_answer_keeps_the_usage_it_was_made_with(server):
    common = system("stored")
    chat(server, [common, user("harbour?")])
    asked = {"model": "dictionary", "messages": [common, user("rope?")], "max_tokens": 8, "temperature": 0}
    made = server.post("/v1/chat/completions", asked)
    assert made.headers["X-Cache"] == "MISS" and made.json()["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    until(lambda: server.post("/v1/chat/completions", asked).headers["X-Cache"] == "HIT")
    again = server.post("/v1/chat/completions", asked)
    assert again.json()["usage"] == made.json()["usage"]


def test_answers_are_the_same_without_it(start):
    with_it, without = start(), start("--no-enable-prefix-caching")
    draw = random.Random(3)
    resumed = 0
    for conversation in range(4):
        messages = [system(conversation % 2, 80)]
        for _ in range(4):
            messages.append(user(f"Define {draw.choice(WORDS)}."))
            answers = [chat(server, messages, max_tokens=30, logprobs=True, top_logprobs=3) for server in (with_it, without)]
            assert answers[0].choices[0].message == answers[1].choices[0].message
            assert answers[0].choices[0].logprobs == answers[1].choices[0].logprobs
            assert cached(answers[1]) == 0
            resumed += cached(answers[0])
            messages.append({"role": "assistant", "content": answers[0].choices[0].message.content})
    assert resumed > 2000
    stats = httpx.get(without.admin_url + "/admin/prefix/stats").json()
    assert stats["enabled"] is False and stats["lookups"] == 0 and stats["blocks"]["cached"] == 0
    explained = explain(without, {"messages": messages[:-1]})
    assert explained["verdict"] == "disabled" and explained["would_leave"] == []
    assert "off" in admin("prefix", "stats", server=without).stdout


def explain(server, request, endpoint="/v1/chat/completions"):
    reply = httpx.post(server.admin_url + "/admin/prefix/explain", json={"endpoint": endpoint, "request": request})
    assert reply.status_code == 200, reply.text
    (one,) = reply.json()["prompts"]
    return one


def test_stats_explain_and_reset_agree_with_what_happens(start, tmp_path):
    server = start()
    common = system("admin", 150)
    at = border(server, [common]) // 64 * 64
    question = tmp_path / "question.json"

    def told(messages):
        question.write_text(json.dumps({"model": "dictionary", "messages": messages}))
        (one,) = admin_json("prefix", "explain", question, server=server)["prompts"]
        return one

    first = [common, user("harbour?")]
    before = told(first)
    assert (before["verdict"], before["resumed_tokens"], before["checkpoints"]) == ("unknown", 0, [])
    assert {"tokens": at, "kind": "border"} in before["would_leave"]
    made = chat(server, first)
    assert made.usage.prompt_tokens == before["prompt_tokens"] == before["computed_tokens"]

    second = [common, user("What is a rope?")]
    explained = told(second)
    assert explained["verdict"] == "resumed" and explained["resumed_tokens"] == at
    assert explained["resumed_from"] == {"tokens": at, "kind": "border", "hits": 0}
    assert cached(chat(server, second)) == at
    again = told(second)
    assert {"tokens": at, "kind": "border", "hits": 1} in again["checkpoints"]
    text = admin("prefix", "explain", question, server=server).stdout
    assert text.startswith("resumed: ") and "resumed from" in text

    stats = admin_json("prefix", "stats", server=server)
    assert stats["lookups"] == 2 and stats["tokens"]["resumed"] == at
    assert stats["hit_rate"] == at / stats["tokens"]["queried"]
    tokens = stats["tokens"]
    assert tokens["matched"] == tokens["resumed"] + tokens["replayed"] + tokens["lost"]
    assert tokens["computed"] == tokens["queried"] - tokens["resumed"] == server.metric("engine_prompt_tokens_total")
    assert server.metric("vllm:prefix_cache_queries_total") == tokens["queried"] == server.metric("vllm:prompt_tokens_total")
    assert server.metric("vllm:prefix_cache_hits_total") == tokens["resumed"]
    assert server.metric("nextgate_prefix_blocks_cached") == stats["blocks"]["cached"] > 0
    assert stats["state_format"] == "fp32" and stats["checkpoints"]["used"] == stats["checkpoints"]["made"] > 0
    assert "blocks of 64 tokens" in admin("prefix", "stats", server=server).stdout

    nodes = httpx.get(server.admin_url + "/admin/prefix/map").json()
    assert nodes["blocks_shown"] == nodes["blocks_cached"] == stats["blocks"]["cached"]
    assert sum(node["tokens"] for node in nodes["nodes"]) == 64 * nodes["blocks_cached"]
    for index, node in enumerate(nodes["nodes"]):
        parent = nodes["nodes"][node["parent"]] if node["parent"] is not None else {"begin": 0, "tokens": 0}
        assert node["begin"] == parent["begin"] + parent["tokens"] and (node["parent"] is None or node["parent"] < index)
    assert {"tokens": at, "kind": "border", "hits": 1} in [node["checkpoint"] for node in nodes["nodes"]]

    done = admin("prefix", "reset", server=server)
    assert done.returncode == 0 and f"dropped {stats['blocks']['cached']} blocks" in done.stdout
    until(lambda: "action=reset_prefix_cache" in server.log())
    assert told(second)["verdict"] == "unknown"
    assert cached(chat(server, second)) == 0
    assert httpx.get(server.admin_url + "/admin/prefix/stats").json()["lookups"] == 3


def test_explain_says_why_not(server):
    request = {"prompt": ids("why", 300)}
    assert explain(server, request, "/v1/completions")["verdict"] == "unknown"
    complete(server, request["prompt"])
    told = explain(server, request, "/v1/completions")
    assert told["verdict"] == "resumed" and told["resumed_tokens"] == told["resume_limit"] == 256
    told = explain(server, {**request, "prompt_logprobs": 1}, "/v1/completions")
    assert (told["verdict"], told["resume_limit"], told["known_tokens"]) == ("limited", 0, 256)
    assert explain(server, {"prompt": ids("why", 64)}, "/v1/completions")["verdict"] == "too_short"
    assert explain(server, {**request, "cache_salt": "s"}, "/v1/completions")["verdict"] == "unknown"
    url = server.admin_url + "/admin/prefix/explain"
    for wrong, param in (({"prompt": ids("why", 5000)}, "request.prompt"), ({"prompt": []}, "request.prompt"),
                         ({"messages": []}, "request.prompt")):
        refused = httpx.post(url, json={"endpoint": "/v1/completions", "request": wrong})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == param, refused.text


def test_the_states_format_and_the_checkpoints_share_can_be_chosen(start):
    few = start("--prefix-cache-fraction", "0", "--prefix-state-format", "int8")
    common = system("format")
    chat(few, [common, user("harbour?")])
    lost = chat(few, [common, user("rope?")])
    assert cached(lost) == 0
    stats = httpx.get(few.admin_url + "/admin/prefix/stats").json()
    assert stats["state_format"] == "int8" and stats["checkpoints"]["total"] == 0 and stats["tokens"]["lost"] > 0
    assert explain(few, {"messages": [common, user("anchor?")]})["verdict"] == "lost"


def test_a_restart_finds_the_disk_again_and_another_instance_shares_it(start, tmp_path):
    flags = ["--prefix-disk-dir", str(tmp_path), "--prefix-disk-gib", "0.25", "--prefix-host-gib", "0.01"]
    common = system("disk")

    def tier(server, name):
        (one,) = [t for t in httpx.get(server.admin_url + "/admin/prefix/stats").json()["tiers"] if t["name"] == name]
        return one

    first = start(*flags)
    expected = chat(first, [common, user("harbour?")])
    until(lambda: tier(first, "disk")["stored"] >= 1 and tier(first, "host")["stored"] >= 1)
    beside = start(*flags)
    shared = chat(beside, [common, user("harbour?")])
    first.stop()
    again = start(*flags)
    resumed = chat(again, [common, user("harbour?")])
    for answer in (shared, resumed):
        assert cached(answer) > 0
        assert answer.choices[0].message.content == expected.choices[0].message.content
    assert tier(again, "disk")["discovered"] >= 1 and tier(again, "disk")["loaded"] == 1
    assert "disk" in admin("prefix", "stats", server=again).stdout

    def exposed(name, what):
        text = httpx.get(again.url + "/metrics").text
        (value,) = re.findall(rf'^nextgate_prefix_tier_records_total{{(?=.*tier="{name}")(?=.*what="{what}").*}} (\d+)$', text, re.M)
        return int(value)

    assert exposed("disk", "loaded") == 1 and exposed("host", "discovered") == 0
    for name in ("disk", "host"):
        for what in ("stored", "discovered", "evicted"):  # copying may still go on
            until(lambda: exposed(name, what) == tier(again, name)[what])  # noqa: B023
    assert list(tmp_path.rglob("*.prefix")) != []
    assert httpx.post(again.admin_url + "/admin/prefix/reset", timeout=30).status_code == 200
    assert list(tmp_path.rglob("*.prefix")) == []  # when the reply is there, they are gone


def test_a_reset_needs_the_role_to_write(start, keys):  # noqa: F811
    path, read, write = keys
    server = start("--admin-api-key-file", str(path))
    assert admin("prefix", "stats", server=server, key=read).returncode == 0
    refused = admin("prefix", "reset", server=server, key=read)
    assert refused.returncode == 1 and "role write" in refused.stderr
    assert admin("prefix", "reset", server=server, key=write).returncode == 0
    until(lambda: "audit" in server.log())
    (line,) = [line for line in server.lines if "audit" in line]
    assert "who=writer action=reset_prefix_cache blocks_dropped=0 blocks_in_use=0" in line
    for wrong in (["prefix"], ["prefix", "map"], ["prefix", "stats", "x"], ["prefix", "explain"],
                  ["prefix", "reset", "--endpoint", "/v1/completions"], ["prefix", "explain", "/no/such"]):
        assert admin(*wrong, server=server, key=read).returncode == 2, wrong


def test_in_front_of_another_server_there_is_none(server):
    gateway = Gateway(upstreams=[server.url])
    try:
        for method, path in (("GET", "stats"), ("GET", "map"), ("POST", "explain"), ("POST", "reset")):
            refused = httpx.request(method, f"{gateway.admin_url}/admin/prefix/{path}")
            assert refused.status_code == 404 and "--upstream" in refused.json()["error"]["message"]
        done = admin("prefix", "stats", server=gateway)
        assert done.returncode == 1 and "no engine" in done.stderr
        assert "prefix_" not in httpx.get(gateway.url + "/metrics").text
        # What the upstream reports is passed on.
        common = system("upstream")
        client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="-", max_retries=0)
        ask = lambda text: client.chat.completions.create(  # noqa: E731
            model="dictionary", messages=[common, user(text)], max_tokens=4, extra_headers=FRESH)
        ask("harbour?")
        assert cached(ask("rope?")) == border(server, [common]) // 64 * 64
    finally:
        assert gateway.stop() == 0
