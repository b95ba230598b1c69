"""POST /v1/embeddings with the official client, which asks for base64 unless told otherwise; the encoder's vectors
beside those of sentence-transformers (tests/golden/data/encoder); and the other embedder, a URL: here another nextgate."""

import http.server
import json
import math
import os
import pathlib
import ssl
import struct
import subprocess
import threading
import time

import httpx
import openai
import pytest

from api_keys_test import as_key, key_file, new_key
from conftest import BINARY, MODEL, ROOT, Server, free_ports

GOLDENS = ROOT / "tests/golden/data/encoder"
SMALL = GOLDENS / "small"
DEPS = pathlib.Path(os.environ.get("NEXTGATE_DEPS_PREFIX")
                    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "nextgate/deps")


def golden(stem):
    """Texts, and sentence-transformers' vectors of them."""
    rows = [json.loads(line) for line in stem.with_suffix(".jsonl").read_text().splitlines()]
    texts = [row.get("text", "") + row.get("unit", "") * row.get("count", 0) for row in rows if "ids" in row]
    data = stem.with_suffix(".safetensors").read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    about = json.loads(data[8:8 + size])["embeddings"]
    count, width = about["shape"]
    begin = 8 + size + about["data_offsets"][0]
    return texts, [list(struct.unpack_from(f"<{width}f", data, begin + 4 * width * i)) for i in range(count)]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def vectors_of(server, texts, **fields):
    answer = server.client().embeddings.create(model="small", input=texts, **fields)
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.embedding for item in answer.data]


@pytest.fixture(scope="module")
def embedding_server():
    running = Server("--embedding-model", str(SMALL))
    yield running
    assert running.stop() == 0


def post(server, **body):
    return server.post("/v1/embeddings", {"model": "small", **body})


def error_of(reply):
    return reply.status_code, reply.json()["error"]


def test_vectors_are_those_of_sentence_transformers(embedding_server):
    texts, expected = golden(SMALL / "golden")
    vectors = vectors_of(embedding_server, texts, extra_body={"truncate_prompt_tokens": -1})
    assert len(vectors) == len(expected) >= 60
    for text, ours, theirs in zip(texts, vectors, expected):
        assert cosine(ours, theirs) > 0.99999, text[:80]
        assert math.isclose(math.hypot(*ours), 1, abs_tol=1e-5)


def test_minilm_by_its_name(start):
    if not (DEPS / "share/minilm/modules.json").exists():
        pytest.skip("scripts/models.sh minilm fetches it")
    server = start("--embedding-model", "minilm", "--embedding-threads", "0")
    assert "embedder=all-MiniLM-L6-v2" in server.log() and "dimension=384" in server.log()
    texts, expected = golden(GOLDENS / "minilm")
    client = server.client()
    for name in "minilm", "all-MiniLM-L6-v2":
        answer = client.embeddings.create(model=name, input=texts[:40], extra_body={"truncate_prompt_tokens": -1})
        assert answer.model == "all-MiniLM-L6-v2"
        for text, ours, theirs in zip(texts, [item.embedding for item in answer.data], expected):
            assert cosine(ours, theirs) > 0.9999, text[:80]
    alike, unlike = (client.embeddings.create(model="minilm", input=["How do I reset my password?", other]).data
                     for other in ("I forgot my password, what now?", "What is the capital of France?"))
    assert cosine(*(item.embedding for item in alike)) > 0.6 > 0.3 > cosine(*(item.embedding for item in unlike))


def test_both_formats_one_text_or_many_are_the_same_vectors(embedding_server):
    texts = ["how do i reset my password", "好", "", "a" * 40]
    as_base64 = vectors_of(embedding_server, texts)
    as_decimals = vectors_of(embedding_server, texts, encoding_format="float")
    as_floats = [list(struct.unpack(f"<{len(vector)}f", struct.pack(f"<{len(vector)}f", *vector))) for vector in as_decimals]
    assert as_floats == as_base64, "decimals are read as the same floats"
    for text, vector in zip(texts, as_decimals):
        assert vectors_of(embedding_server, text, encoding_format="float") == [vector]


def test_the_answer_has_openais_shape(embedding_server):
    reply = post(embedding_server, input=["one", "two words"], user="u")
    assert reply.status_code == 200 and reply.headers["X-Request-Id"]
    body = reply.json()
    assert set(body) == {"object", "data", "model", "usage"} and body["object"] == "list" and body["model"] == "small"
    assert [set(item) for item in body["data"]] == [{"object", "index", "embedding"}] * 2
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 4  # with the special ones
    assert len(body["data"][0]["embedding"]) == 24
    assert embedding_server.post("/v1/embeddings", {"input": "no model is the only one"}).status_code == 200
    assert post(embedding_server, input="x", dimensions=24).status_code == 200


def test_many_texts_are_answered_in_their_order(embedding_server):
    texts = [f"word {i}" for i in range(300)]
    vectors = vectors_of(embedding_server, texts)
    for i in 0, 7, 150, 299:
        assert vectors_of(embedding_server, texts[i]) == [vectors[i]]


def test_what_cannot_be_answered_is_a_400_that_names_the_field(embedding_server):
    cases = [
        ({}, "input", "missing"),
        ({"input": None}, "input", "missing"),
        ({"input": []}, "input", "1 to 2048"),
        ({"input": ["x"] * 2049}, "input", "1 to 2048"),
        ({"input": {"text": "x"}}, "input", "an object"),
        ({"input": [1, 2, 3]}, "input", "token ids are not taken"),
        ({"input": [[1, 2], [3]]}, "input", "token ids are not taken"),
        ({"input": ["x", 7]}, "input", "input[1]: expected a text, got 7"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format", "float or base64"),
        ({"input": "x", "dimensions": 12}, "dimensions", "24 values, got 12"),
        ({"input": "x", "dimensions": "24"}, "dimensions", "whole number"),
        ({"input": "x", "truncate_prompt_tokens": 5}, "truncate_prompt_tokens", "-1"),
    ]
    for body, field, says in cases:
        status, error = error_of(post(embedding_server, **body))
        assert (status, error["param"], error["type"]) == (400, field, "invalid_request_error"), body
        assert says in error["message"], body
    assert httpx.post(embedding_server.url + "/v1/embeddings", content=b"{").status_code == 400
    assert httpx.get(embedding_server.url + "/v1/embeddings").status_code == 405


def test_a_text_that_is_too_long_is_refused_unless_its_end_may_be_cut_off(embedding_server):
    long = "password " * 1000
    status, error = error_of(post(embedding_server, input=["short", long]))
    assert (status, error["code"]) == (400, "context_length_exceeded")
    assert error["message"].startswith("input[1] is longer")
    assert post(embedding_server, input=["short", long], truncate_prompt_tokens=-1).status_code == 200


def test_models_keys_and_limits(start, tmp_path):
    chat_only, both = new_key("--models", "dictionary"), new_key("--rpm", "3", label="limited")
    server = start("--embedding-model", str(SMALL), "--api-key-file",
                   key_file(tmp_path, *(line for _, line in (chat_only, both))))
    assert error_of(post(server, input="x"))[0] == 401
    status, error = error_of(server.post("/v1/embeddings", {"model": "small", "input": "x"}, **as_key(chat_only[0])))
    assert status == 403 and "may not use the model 'small'" in error["message"]
    client = server.client(both[0])
    assert [model.id for model in client.models.list().data] == ["dictionary", "small"]
    assert client.models.retrieve("small").id == "small"
    reply = client.embeddings.with_raw_response.create(model="small", input="x")
    assert reply.headers["x-ratelimit-remaining-requests"] == "2"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="dictionary", input="x")
    assert unknown.value.code == "model_not_found"
    for _ in range(2):
        client.embeddings.create(model="small", input="x")
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model="small", input="x")
    assert f"route=/v1/embeddings status=200 key=limited path=embedder" in server.log()
    assert 'route="/v1/embeddings"' in httpx.get(server.url + "/metrics").text


def test_without_an_embedder_it_is_said_which_flag_is_missing(server):
    status, error = error_of(post(server, input="x"))
    assert status == 404 and "--embedding-model" in error["message"] and "--embedding-url" in error["message"]
    assert [model["id"] for model in httpx.get(server.url + "/v1/models").json()["data"]] == ["dictionary"]


def test_nothing_of_a_text_is_logged(start):
    server = start("--embedding-model", str(SMALL), "--log-level", "debug")
    post(server, input=["a confidential text", "confidential " * 1000])
    post(server, input="a confidential text", confidential="x")
    server.stop()
    assert "route=/v1/embeddings status=200" in server.log()
    assert "confidential" not in server.log().replace('ignored_field="confidential"', "")


def test_a_model_that_is_not_there_is_an_error_at_start_with_the_command_that_fetches_it(tmp_path):
    def start_error(*flags, **env):
        done = subprocess.run([BINARY, "serve", MODEL, "--port", "0", *flags], capture_output=True, text=True, timeout=60,
                              env={**os.environ, **env})
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "scripts/models.sh minilm" in start_error("--embedding-model", "minilm", NEXTGATE_DEPS_PREFIX=str(tmp_path))
    assert "expected a directory, or minilm" in start_error("--embedding-model", "nonsense")
    assert "--embedding-model" in start_error("--embedding-model", str(tmp_path))


# --- the other embedder: a URL ---


def url_flags(url, dimension=24):
    return ("--embedding-url", url, "--embedding-url-model", "small", "--embedding-dimension", str(dimension))


def test_another_servers_vectors_come_through(start, embedding_server):
    server = start(*url_flags(embedding_server.url + "/v1"), "--embedding-revision", "r7")
    assert "embedder=small revision=r7 dimension=24" in server.log()
    texts, _ = golden(SMALL / "golden")
    texts = [text for text in texts if len(text) < 60]
    for ours, theirs in zip(vectors_of(server, texts), vectors_of(embedding_server, texts)):
        assert ours == pytest.approx(theirs, abs=1e-6)
    status, error = error_of(post(server, input="password " * 1000))
    assert status == 500 and "status 400" in error["message"]


class Relay:
    """Hands requests on to `target`, another server, which may be set later."""

    def __init__(self, port=0, target=None, tls=None):
        self.target, self.keys = target, []
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                relay.keys.append(self.headers["Authorization"])
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = httpx.post(relay.target + self.path, content=body, headers={"Via": self.headers["Via"]}, timeout=60)
                self.send_response(reply.status_code)
                self.send_header("Content-Length", str(len(reply.content)))
                self.end_headers()
                self.wfile.write(reply.content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_a_server_that_is_away_is_no_reason_not_to_start_and_is_found_when_it_is_back(start, embedding_server):
    (port,) = free_ports(1)
    server = start(*url_flags(f"http://127.0.0.1:{port}"))
    assert "nothing is found by meaning until it answers" in server.log()
    assert server.chat("What does harbour mean?").status_code == 200
    status, error = error_of(post(server, input="x"))
    assert status == 503 and error["type"] == "server_error"
    with Relay(port, embedding_server.url):
        deadline = time.monotonic() + 30
        while (reply := post(server, input="x")).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert reply.status_code == 200


def test_a_url_with_other_vectors_is_told_at_start_and_refused(start, embedding_server):
    server = start(*url_flags(embedding_server.url, dimension=12))
    assert "its vectors have 24 values, --embedding-dimension is 12" in server.log()
    status, error = error_of(post(server, input="x"))
    assert status == 500 and "24 values" in error["message"]


def test_a_url_that_leads_back_here_is_noticed(start, embedding_server):
    with Relay(target=embedding_server.url) as relay:
        server = start(*url_flags(f"http://127.0.0.1:{relay.port}"))
        assert post(server, input="x").status_code == 200
        relay.target = server.url
        status, error = error_of(post(server, input="x"))
        assert status == 500 and "status 400" in error["message"]


def test_tls_and_the_key_which_is_shown_nowhere(start, embedding_server, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days",
                    "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    secret = tmp_path / "secret"
    secret.write_text("sk-hunter2\n")
    secret.chmod(0o600)
    with Relay(target=embedding_server.url, tls=context) as relay:
        url = f"https://localhost:{relay.port}/v1"
        trusting = start(*url_flags(url), "--embedding-tls-ca-file", str(certificate), "--embedding-api-key-file", str(secret))
        assert vectors_of(trusting, ["x"]) == [pytest.approx(vectors_of(embedding_server, ["x"])[0], abs=1e-6)]
        assert set(relay.keys) == {"Bearer sk-hunter2"}
        config = httpx.get(trusting.admin_url + "/admin/config").text
        assert "hunter2" not in config and json.loads(config)["secrets"]["embedding-api-key"] == "set"
        assert json.loads(config)["flags"]["embedding-url"] == url
        careful = start(*url_flags(url))
        assert error_of(post(careful, input="x"))[0] == 503
        trusting.stop()
        assert "hunter2" not in trusting.log()
