"""`nextgate serve --upstream`: another server's answers through this one. What goes in comes out as if the upstream
had been asked directly, but for the headers of the answer cache and the identity of replays."""

import http.server
import json
import os
import secrets
import signal
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from conftest import BINARY, Server, free_ports
from long_streams import Stream, in_the_middle, long_request, until
from redis_server import RedisServer

QUESTION = [{"role": "user", "content": "What does harbour mean?"}]
# Headers that may differ: the answer cache's, the request's id, and those of the connection itself.
OF_THE_CACHE = {"x-cache", "x-cache-tier", "x-cache-reason", "cache-status", "age", "x-request-id", "content-length",
                "keep-alive"}


class Gateway(Server):
    """A nextgate without a model."""

    def __init__(self, *flags, upstreams=(), env=None, ports=None):
        self.port, self.admin_port = ports or free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        command = [BINARY, "serve", "--port", str(self.port), "--admin-port", str(self.admin_port)]
        for url in upstreams:
            command += ["--upstream", url]
        self.process = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env={**os.environ, **(env or {})})
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        deadline = time.monotonic() + 20
        while "ready:" not in self.log():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.01)


@pytest.fixture(scope="module")
def upstream():
    running = Server()  # with its answer cache: where it cuts a stream into chunks is then the same every time
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def gateway(upstream):
    running = Gateway(upstreams=[upstream.url])
    yield running
    assert running.stop() == 0


@pytest.fixture
def open_gateway():
    opened = []

    def make(*flags, **kwargs):
        opened.append(Gateway(*flags, **kwargs))
        return opened[-1]

    yield make
    for running in opened:
        running.stop()


# --- two hundred exchanges, direct and through ---


def exchanges():
    """(path, body) of 100 requests; each is sent twice through the gateway and as a stream as well."""
    chat = {"model": "dictionary", "messages": QUESTION, "max_tokens": 12}
    text = {"model": "dictionary", "prompt": "The word harbour means", "max_tokens": 8}
    for word in ("anchor", "bell", "candle", "drum", "eagle", "fence", "garden", "hammer", "island", "jar"):
        yield "/v1/chat/completions", {**chat, "messages": [{"role": "user", "content": f"Define {word}."}]}
        yield "/v1/completions", {**text, "prompt": f"The {word} is"}
    for fields in (
        {"temperature": 0}, {"temperature": 0.9, "seed": 7}, {"n": 2, "temperature": 0.9, "seed": 3},
        {"logprobs": True, "top_logprobs": 2}, {"stop": ["e"]}, {"stop": "sh", "include_stop_str_in_output": True},
        {"top_p": 1}, {"top_k": 5, "seed": 1, "temperature": 1}, {"min_p": 0.1}, {"presence_penalty": 1},
        {"frequency_penalty": -1}, {"repetition_penalty": 1.2}, {"logit_bias": {"300": 5}}, {"min_tokens": 3},
        {"ignore_eos": True, "max_tokens": 40}, {"return_token_ids": True}, {"max_completion_tokens": 5},
        {"user": "é\u2028😀"}, {"metadata": {"a": "b"}}, {"unheard_of": [1, 2.50, None]}, {"max_tokens": None},
        {"chat_template_kwargs": {"a": 1}}, {"add_generation_prompt": False}, {"skip_special_tokens": False},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Define sail."}]}]},
        {"messages": [{"role": "system", "content": "Be brief. “日本”"}, *QUESTION]},
    ):
        yield "/v1/chat/completions", {**chat, **fields}
    for fields in (
        {"logprobs": 2}, {"echo": True}, {"echo": True, "logprobs": 1, "max_tokens": 2}, {"prompt": [300, 301, 302]},
        {"prompt": ["a ship", "a bell"]}, {"prompt": [[300, 301], [302]]}, {"n": 2, "temperature": 1, "seed": 2},
        {"stop": ["a"]}, {"max_tokens": None}, {"seed": 5, "temperature": 0.7}, {"return_tokens_as_token_ids": True, "logprobs": 1},
    ):
        yield "/v1/completions", {**text, **fields}
    for fields in (  # refused by the upstream, in its own words
        {"temperature": 9}, {"temperature": "hot"}, {"n": 0}, {"model": "gpt-4"}, {"messages": []}, {"messages": "x"},
        {"messages": [{"role": "wizard", "content": "x"}]}, {"messages": [{"role": "user"}]}, {"stop": ["x"] * 17},
        {"tools": [{"type": "function", "function": {"name": "f"}}]}, {"response_format": {"type": "json_object"}},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        {"top_logprobs": 2}, {"max_tokens": 1.5}, {"max_tokens": 99999}, {"guided_regex": "a+"}, {"seed": "x"},
        {"logit_bias": {"a": 1}}, {"suffix": "x"}, {"min_tokens": 99}, {"model": None}, {"model": 7}, {"top_p": 0},
    ):
        yield "/v1/chat/completions", {**chat, **fields}
    for fields in ({"prompt": None}, {"prompt": [[]]}, {"prompt": {"a": 1}}, {"prompt": [-1]}, {"logprobs": 99},
                   {"best_of": 4}, {"suffix": "x"}, {"max_tokens": 0}):
        yield "/v1/completions", {**text, **fields}


def without_identity(value):
    if isinstance(value, dict):
        return {k: v for k, v in value.items() if k not in ("id", "created")}
    return value


def record(server, path, content):
    """What an exchange was: status, headers, and the body or the events, byte by byte but for the identity."""
    reply = httpx.post(server.url + path, content=content, headers={"Content-Type": "application/json"}, timeout=60)
    headers = {k: v for k, v in reply.headers.items() if k not in OF_THE_CACHE}
    if not reply.headers["content-type"].startswith("text/event-stream"):
        return reply, (reply.status_code, headers, list(reply.json()), without_identity(reply.json()))
    assert reply.text.endswith("\n\n")
    events = [e.removeprefix("data: ") for e in reply.text.split("\n\n")[:-1]]
    parsed = [(list(json.loads(e)), without_identity(json.loads(e))) if e != "[DONE]" else e for e in events]
    return reply, (reply.status_code, headers, len(events), parsed)


def text_of(replied):
    """Per choice: all its text. Equal for streams and bodies."""
    texts = {}
    if replied.headers["content-type"].startswith("text/event-stream"):
        chunks = [json.loads(e[6:]) for e in replied.text.split("\n\n") if e.startswith("data: {")]
    else:
        chunks = [replied.json()]
    for chunk in chunks:
        for choice in chunk["choices"]:
            said = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
            texts[choice["index"]] = texts.get(choice["index"], "") + (said.get("content") or "")
    return texts


def test_nothing_differs_from_talking_to_the_upstream_directly(upstream, gateway):
    compared = errors = 0
    kinds = [{}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}]
    for path, body in exchanges():
        for kind in kinds:
            _, direct = record(upstream, path, json.dumps({**body, **kind}, ensure_ascii=False).encode())
            apart = {"cache": {"namespace": str(compared)}}  # every one is asked for
            reply, through = record(gateway, path, json.dumps({**body, **kind, **apart}, ensure_ascii=False).encode())
            assert reply.headers["x-cache"] in ("MISS", "BYPASS")
            assert through == direct, (path, body, kind)
            errors += direct[0] != 200
            compared += 1
    assert compared >= 250 and errors > 60, (compared, errors)
    for content in (b"", b"{", b"[1]", b'"x"', b'{"model": "dictionary", "messages": [{"role": "user", "content": "\xff"}]}',
                    b'{"a":' * 100 + b"1" + b"}" * 100):
        assert record(upstream, "/v1/chat/completions", content)[1] == record(gateway, "/v1/chat/completions", content)[1]


def test_a_replay_of_the_same_form_is_equal_too(upstream, open_gateway):
    compared = 0
    for stream in ({}, {"stream": True}):
        gateway = open_gateway(upstreams=[upstream.url])
        for path, body in exchanges():
            content = json.dumps({**body, **stream}).encode()
            first, first_record = record(gateway, path, content)
            second, second_record = record(gateway, path, content)
            if first.status_code == 200 and first.headers["x-cache"] != "BYPASS" and second.headers["x-cache"] == "HIT":
                assert first.content != second.content  # an id of its own
                compared += 1
            assert first_record == second_record, content
    assert compared >= 60, compared


def test_one_entry_serves_both_forms(upstream, open_gateway):
    for order in ([{}, {"stream": True}], [{"stream": True}, {}]):
        gateway = open_gateway(upstreams=[upstream.url])
        equal = 0
        for path, body in exchanges():
            first, second = (gateway.post(path, {**body, **kind}) for kind in order)
            if first.status_code != 200 or second.headers["x-cache"] != "HIT":
                continue
            assert text_of(first) == text_of(second)
            if order[1] == {} and "return_token_ids" not in body:  # whose body says more than its stream
                # A stream added up is the body that the upstream gives.
                direct = upstream.post(path, body)
                assert without_identity(second.json()) == without_identity(direct.json()), body
            equal += 1
        assert equal >= 40, equal


def test_markers_reach_the_upstream_and_are_not_part_of_what_is_stored(upstream, gateway):
    marker = {"cache_control": {"type": "ephemeral"}}
    body = {"model": "dictionary", "temperature": 0, "max_tokens": 8}
    plain = [{"role": "system", "content": [{"type": "text", "text": "Mark."}]}, {"role": "user", "content": "harbour?"}]
    marked = [{"role": "system", "content": [{"type": "text", "text": "Mark.", **marker}]}, {**plain[1], **marker}]

    def ask(messages, **headers):
        return gateway.post("/v1/chat/completions", {**body, "messages": messages}, **headers)

    assert ask(marked).headers["X-Cache"] == "MISS"
    assert ask(plain).headers["X-Cache"] == "HIT"
    wrong = [{**plain[0], "cache_control": {"type": "forever"}}, plain[1]]
    refused = ask(wrong)
    assert refused.status_code == 400 and "cache_control" in refused.text, "the upstream has read it"


# --- the official client ---


def test_the_official_client_sees_no_difference(upstream, gateway):
    for client in (upstream.client(), gateway.client()):
        assert [m.id for m in client.models.list().data] == ["dictionary"]
        assert client.models.retrieve("dictionary").id == "dictionary"
        body = client.chat.completions.create(model="dictionary", messages=QUESTION, max_tokens=20)
        chunks = list(client.chat.completions.create(model="dictionary", messages=QUESTION, max_tokens=20, stream=True,
                                                     stream_options={"include_usage": True}))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == body.choices[0].message.content
        assert chunks[-1].usage.total_tokens == body.usage.total_tokens
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4")
        with pytest.raises(openai.BadRequestError) as raised:
            client.chat.completions.create(model="dictionary", messages=QUESTION, temperature=9)
        assert raised.value.body["param"] == "temperature"


def test_tokenize_and_models_are_the_upstreams(upstream, gateway):
    for path, body in (("/tokenize", {"prompt": "a harbour"}), ("/tokenize", {"messages": QUESTION}),
                       ("/detokenize", {"tokens": [300, 301]}), ("/tokenize", {}), ("/detokenize", {"tokens": "x"})):
        direct, through = upstream.post(path, body), gateway.post(path, body)
        assert (direct.status_code, direct.json()) == (through.status_code, through.json())
    for path in ("/v1/models", "/v1/models/dictionary", "/v1/models/a%20b/c", "/v1/models/x%0d%0aX-A:b"):
        direct, through = httpx.get(upstream.url + path), httpx.get(gateway.url + path)
        assert (direct.status_code, direct.json()) == (through.status_code, through.json()), path


# --- operation ---


def test_it_starts_without_its_upstream_and_is_ready_when_that_is(open_gateway, monkeypatch):
    port, admin = free_ports(2)
    gateway = open_gateway("--upstream-retries", "0", upstreams=[f"http://127.0.0.1:{port}/v1"])
    assert httpx.get(gateway.url + "/health").status_code == 200
    assert httpx.get(gateway.url + "/ready").status_code == 503
    reply = gateway.chat("Define harbour.")
    assert reply.status_code == 502 and "cannot be reached" in reply.json()["error"]["message"]
    assert gateway.metric("upstream_requests_total") >= 1
    assert "engine_" not in httpx.get(gateway.url + "/metrics").text
    monkeypatch.setattr("conftest.free_ports", lambda _: [port, admin])
    upstream = Server()
    try:
        deadline = time.monotonic() + 20
        while httpx.get(gateway.url + "/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert gateway.chat("Define harbour.").headers["X-Cache"] == "MISS"
    finally:
        upstream.stop()
    assert gateway.chat("Define harbour.").headers["X-Cache"] == "HIT"  # what it knows it still knows


def test_the_first_upstream_that_works_answers(upstream, open_gateway):
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    gateway = open_gateway(upstreams=[dead, upstream.url])
    for i in range(8):
        assert gateway.chat(f"Define word {i}.").status_code == 200
    text = httpx.get(gateway.url + "/metrics").text
    assert f'upstream_breaker_state{{state="open",upstream="{dead}/v1"}} 1' in text
    assert f'upstream_failures_total{{phase="connect",upstream="{dead}/v1"}} 5' in text
    assert "it is left alone for a while" in gateway.log()


def test_keys_models_and_revisions(start, open_gateway, tmp_path):
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text("sk-of-the-upstream\n")
    upstream = start("--api-key", "sk-of-the-upstream")
    with_key = open_gateway("--upstream-api-key-file", str(key), "--api-key", "sk-of-the-gateway",
                            "--upstream-model", "dictionary", upstreams=[upstream.url])
    without = open_gateway(upstreams=[upstream.url])
    mine = {"Authorization": "Bearer sk-of-the-gateway"}
    assert with_key.chat("Define rope.", headers=mine, model="whatever").json()["model"] == "dictionary"
    assert with_key.chat("Define rope.", headers=mine, model="anything").headers["X-Cache"] == "HIT"
    assert with_key.chat("Define rope.").status_code == 401
    theirs = {"Authorization": "Bearer sk-of-the-upstream"}  # a client's key is not handed on
    refused = without.chat("Define rope.", headers=theirs)
    assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"
    everything = with_key.log() + httpx.get(with_key.admin_url + "/metrics").text
    assert "sk-of" not in everything


@pytest.fixture
def redis_flags(tmp_path):
    running = RedisServer()
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32))
    yield ["--cache-url", running.url, "--cache-secret-file", str(secret)]
    running.remove()


def test_upstreams_that_share_a_redis_share_answers_by_url_model_and_revision(upstream, open_gateway, redis_flags):
    a, b = (open_gateway(*redis_flags, upstreams=[upstream.url]) for _ in range(2))
    other = open_gateway(*redis_flags, "--upstream-revision", "2", upstreams=[upstream.url])
    first = a.chat("Define lamp.", stream=True)
    stats = a.admin_url + "/admin/cache/stats?scope=instance"
    until(lambda: httpx.get(stats, timeout=20).json()["shared"]["stored"] == 1)
    second = b.chat("Define lamp.")
    assert second.headers["X-Cache"] == "HIT" and text_of(second) == text_of(first)
    assert other.chat("Define lamp.").headers["X-Cache"] == "MISS"


@pytest.mark.parametrize("fields", [{}, {"n": 3, "seed": 5, "temperature": 1, "max_tokens": 1200, "min_tokens": 1200}])
def test_a_gateway_killed_in_mid_stream_is_gone_on_from_by_the_other(start, redis_flags, open_gateway, fields):
    upstream = start("--no-enable-answer-cache")
    a, b = (open_gateway(*redis_flags, upstreams=[upstream.url]) for _ in range(2))
    body, leader, (follower,) = in_the_middle(a, b, "lamp", **fields)
    with ThreadPoolExecutor() as pool:
        as_body = pool.submit(b.post, "/v1/completions", body)
        a.process.send_signal(signal.SIGKILL)
        leader.wait()
        follower.wait()
        assert as_body.result().status_code == 200
    whole = upstream.post("/v1/completions", body).json()["choices"]
    assert (follower.done, follower.error) == (True, None), b.log()
    assert follower.texts == {choice["index"]: choice["text"] for choice in whole}
    assert sum(len(choice["token_ids"]) for choice in whole) == len(follower.tokens)
    assert follower.headers["x-cache"] == "COALESCED"
    again = b.post("/v1/completions", body)
    for reply in (as_body.result(), again):
        assert {choice["index"]: choice["text"] for choice in reply.json()["choices"]} == follower.texts
        assert {choice["index"]: choice["token_ids"] for choice in reply.json()["choices"]} == {
            choice["index"]: choice["token_ids"] for choice in whole}


def test_a_body_is_gone_on_with_too(start, redis_flags, open_gateway):
    """Who follows asked for a body; what was said are the chunks of a stream."""
    upstream = start("--no-enable-answer-cache")
    a, b = (open_gateway(*redis_flags, upstreams=[upstream.url]) for _ in range(2))
    body = long_request("rope")
    leader = Stream(a, body)
    with ThreadPoolExecutor() as pool:
        until(lambda: leader.tokens)
        follower = pool.submit(b.post, "/v1/completions", body)
        until(lambda: httpx.get(b.admin_url + "/admin/cache/stats?scope=instance",
                                timeout=20).json()["shared"]["single_flight"]["follows"] == 1)
        a.process.send_signal(signal.SIGKILL)
        reply = follower.result()
    leader.wait()
    (choice,), (expected,) = reply.json()["choices"], upstream.post("/v1/completions", body).json()["choices"]
    assert (choice["text"], choice["token_ids"]) == (expected["text"], expected["token_ids"])
    assert reply.headers["x-cache"] == "COALESCED"


def test_an_upstream_that_leads_back_here_is_told(open_gateway):
    ports = free_ports(4)
    a = open_gateway(ports=ports[:2], upstreams=[f"http://127.0.0.1:{ports[2]}"])
    b = open_gateway(ports=ports[2:], upstreams=[a.url])
    for asked in (a, b):
        reply = asked.chat("Define lamp.")
        assert reply.status_code == 400 and "has been here before" in reply.json()["error"]["message"]
        reply = httpx.get(asked.url + "/v1/models", timeout=20)
        assert reply.status_code == 400 and "has been here before" in reply.json()["error"]["message"]


def test_a_client_that_leaves_cancels_the_upstreams_generation(start, open_gateway):
    upstream = start("--no-enable-answer-cache")
    gateway = open_gateway(upstreams=[upstream.url])
    body = {"model": "dictionary", "messages": QUESTION, "max_tokens": 3000, "ignore_eos": True, "min_tokens": 3000}
    for stream in (True, False):
        cancelled = upstream.metric("engine_requests_cancelled_total")
        with pytest.raises(httpx.ReadTimeout) if not stream else _nothing():
            with httpx.stream("POST", gateway.url + "/v1/chat/completions", json={**body, "stream": stream},
                              timeout=60 if stream else 0.3) as reply:
                next(reply.iter_raw())
        deadline = time.monotonic() + 20
        while upstream.metric("engine_requests_cancelled_total") == cancelled:
            assert time.monotonic() < deadline
            time.sleep(0.02)


class _nothing:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return False


def test_an_upstream_that_dies_in_mid_stream_ends_it_with_an_error_and_nothing_is_stored(start, open_gateway):
    upstream = start()
    gateway = open_gateway("--upstream-retries", "0", upstreams=[upstream.url])
    body = {"model": "dictionary", "messages": QUESTION, "max_tokens": 3000, "ignore_eos": True, "min_tokens": 3000,
            "stream": True}
    with httpx.stream("POST", gateway.url + "/v1/chat/completions", json=body, timeout=60) as reply:
        lines = reply.iter_lines()
        next(lines)
        upstream.process.kill()
        rest = [line for line in lines if line]
    assert "error" in json.loads(rest[-1][6:])
    again = gateway.post("/v1/chat/completions", body)
    assert again.status_code == 502 and again.headers["X-Cache"] == "MISS"


def test_https_is_checked_against_the_given_authorities(open_gateway, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days",
                    "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": {"prompt_tokens": 1},
              "choices": [{"index": 0, "message": {"role": "assistant", "content": "by TLS"}, "finish_reason": "stop"}]}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"https://127.0.0.1:{server.server_port}/v1"
        trusting = open_gateway("--upstream-tls-ca-file", str(certificate), upstreams=[url])
        for i in range(3):
            assert text_of(trusting.chat(f"Define word {i}.")) == {0: "by TLS"}
        wary = open_gateway("--upstream-retries", "0", upstreams=[url])
        refused = wary.chat("Define word.")
        assert refused.status_code == 502 and "not trusted" in refused.json()["error"]["message"]
    finally:
        server.shutdown()
