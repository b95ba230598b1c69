"""Starting, leaving in the middle, stopping: what happens around a request."""

import os
import re
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest

from conftest import BINARY, MODEL


def wait_until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


LONG = {"model": "dictionary", "prompt": "Once upon a time", "max_tokens": 3500, "ignore_eos": True, "stream": True}


def test_a_client_that_leaves_stops_its_generation(server):
    before = server.metric("engine_requests_cancelled_total")
    with httpx.stream("POST", server.url + "/v1/completions", json=LONG, timeout=60) as reply:
        lines = reply.iter_lines()  # kept: a discarded iterator closes the connection
        next(lines)
        assert wait_until(lambda: server.metric("vllm:num_requests_running") >= 1)
    assert wait_until(lambda: server.metric("vllm:num_requests_running") == 0)
    assert server.metric("engine_requests_cancelled_total") == before + 1


def test_a_client_that_leaves_while_waiting_for_a_body_stops_it_too(server):
    before = server.metric("engine_requests_cancelled_total")
    body = b'{"model": "dictionary", "prompt": "Once upon", "max_tokens": 3500, "ignore_eos": true}'
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert wait_until(lambda: server.metric("vllm:num_requests_running") >= 1)
    assert wait_until(lambda: server.metric("vllm:num_requests_running") == 0)
    assert server.metric("engine_requests_cancelled_total") == before + 1


def test_signals_let_streams_finish_and_exits_with_0(start):
    server = start()
    body = {**LONG, "max_tokens": 600}
    finished = []

    def read():
        with httpx.stream("POST", server.url + "/v1/completions", json=body, timeout=60) as reply:
            finished.extend(reply.iter_lines())

    reader = threading.Thread(target=read)
    reader.start()
    assert wait_until(lambda: server.metric("vllm:num_requests_running") >= 1)
    server.process.send_signal(signal.SIGINT)  # a terminal's Ctrl-C, and what a script makes of it
    server.process.send_signal(signal.SIGTERM)
    reader.join(timeout=60)
    assert server.process.wait(timeout=30) == 0
    assert [line for line in finished if line][-1] == "data: [DONE]"


def test_sigterm_has_a_deadline(start):
    server = start("--shutdown-timeout-s", "0")
    with httpx.stream("POST", server.url + "/v1/completions", json=LONG, timeout=60) as reply:
        lines = reply.iter_lines()  # kept: a discarded iterator closes the connection
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=20) == 0


def test_health_ready_version_on_both_ports(server):
    for url in (server.url, server.admin_url):
        assert httpx.get(url + "/health").status_code == 200
        assert httpx.get(url + "/ready").status_code == 200
        assert "vllm:num_requests_running" in httpx.get(url + "/metrics").text
    assert httpx.get(server.url + "/version").json()["version"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_a_start_that_takes_long(name, tmp_path):
    hub = socket.create_server(("127.0.0.1", 0))  # accepts, and never answers
    env = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}", "HF_HOME": str(tmp_path)}
    process = subprocess.Popen([BINARY, "serve", "org/model", "--port", "0"], env=env, stderr=subprocess.PIPE, text=True)
    hub.accept()
    process.send_signal(getattr(signal, name))
    assert process.wait(timeout=20) == 0
    assert f"signal={name} while starting" in process.stderr.read()


def test_a_second_signal_cuts_the_shutdown_short(start):
    server = start()
    with httpx.stream("POST", server.url + "/v1/completions", json=LONG, timeout=60) as reply:
        lines = reply.iter_lines()  # kept: a discarded iterator closes the connection
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: "stopping" in server.log())
        time.sleep(1.1)  # sooner it counts as the same signal
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=20) == 1


def test_after_sigterm_nobody_new_is_served(start):
    server = start()
    with httpx.stream("POST", server.url + "/v1/completions", json=LONG, timeout=60) as reply:
        lines = reply.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: "stopping" in server.log())

        def refused():
            try:
                return server.chat("ship?").status_code == 503
            except httpx.TransportError:
                return True

        assert wait_until(refused)
        assert list(lines)[-2] == "data: [DONE]"
    assert server.process.wait(timeout=30) == 0


def test_request_ids_come_back_and_neither_prompts_nor_answers_are_logged(start):
    server = start("--log-level", "debug", "--max-model-len", "128")
    reply = server.chat("A secret sentence about zebras", headers={"X-Request-Id": "my-id-1"})
    assert reply.headers["X-Request-Id"] == "my-id-1"
    answer = reply.json()["choices"][0]["message"]["content"]
    assert server.chat("zebras " * 500).status_code == 400
    assert server.chat("zebras", temperature=9, zebras_field="zebras").status_code == 400
    assert server.post("/v1/completions", {"model": "dictionary", "prompt": "zebras", "stream": True}).status_code == 200
    assert server.post("/v1/completions", {"model": "dictionary", "prompt": ["zebras", 5]}).status_code == 400
    assert server.post("/tokenize", {"model": "dictionary", "prompt": "zebras"}).status_code == 200
    assert httpx.get(server.url + "/zebras").status_code == 404
    assert wait_until(lambda: server.log().count("total_ms=") >= 7)
    assert "my-id-1" in server.log() and "zebras" not in server.log()
    assert len(answer) > 8 and answer not in server.log()


def test_every_request_has_one_access_line_an_id_and_a_count(start):
    server = start()
    asked = [("GET", "/v1/models", 200), ("GET", "/v1/models/none", 404), ("POST", "/tokenize", 400),
             ("GET", "/nowhere", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/v1/chat/completions", 400),
             ("HEAD", "/v1/models", 200)]
    for i, (method, path, status) in enumerate(asked):
        reply = httpx.request(method, server.url + path, headers={"X-Request-Id": f"line-{i}"})
        assert (reply.status_code, reply.headers["X-Request-Id"]) == (status, f"line-{i}"), path
    assert wait_until(lambda: server.log().count("req=line-") == len(asked))
    for i, (_, path, status) in enumerate(asked):
        lines = [line for line in server.lines if f"req=line-{i} " in line]
        assert len(lines) == 1 and f"status={status}" in lines[0] and "total_ms=" in lines[0], path
    counts = re.findall(r"^gateway_requests_total{(.*)} (\d+)$", httpx.get(server.url + "/metrics").text, re.M)
    assert sum(int(count) for labels, count in counts if "/ready" not in labels) == len(asked)


def test_a_full_queue_is_a_429(start):
    server = start("--max-waiting-requests", "1", "--max-num-seqs", "1")
    with httpx.stream("POST", server.url + "/v1/completions", json=LONG, timeout=60) as reply:
        lines = reply.iter_lines()  # kept: a discarded iterator closes the connection
        next(lines)
        with httpx.stream("POST", server.url + "/v1/completions", json={**LONG, "seed": 1}, timeout=60):
            assert wait_until(lambda: server.metric("vllm:num_requests_waiting") >= 1)
            refused = server.chat("ship?")
    assert refused.status_code == 429 and refused.headers["Retry-After"] == "1"
    assert "waiting" in refused.json()["error"]["message"]


def test_the_default_is_the_loopback_only(server):
    listening = subprocess.run(["cat", f"/proc/{server.process.pid}/net/tcp"], capture_output=True, text=True).stdout
    addresses = {line.split()[1] for line in listening.splitlines()[1:] if line.split()[3] == "0A"}
    for port in (server.port, server.admin_port):
        assert [a for a in addresses if a.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_dummy_weights_of_a_hub_id_need_no_weights(start, tmp_path):
    commit = "a" * 40
    folder = tmp_path / "models--org--tiny"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / "snapshots" / commit / name).symlink_to(os.path.join(MODEL, name))
    env = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    server = start("--load-format", "dummy", model="org/tiny", env=env)
    assert server.chat("ship?").json()["usage"]["completion_tokens"] > 0
    assert re.search(r"loaded weights: \d+\.\d MB in \d", server.log()), server.log()
    without = subprocess.run([BINARY, "serve", "org/tiny"], env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert without.returncode == 1 and "*.safetensors is missing" in without.stderr


def test_a_taken_port_and_a_missing_model_are_clear_errors(server, tmp_path):
    taken = subprocess.run([BINARY, "serve", MODEL, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
    assert taken.returncode == 1 and str(server.port) in taken.stderr
    missing = subprocess.run([BINARY, "serve", "/nonexistent/model"], capture_output=True, text=True, timeout=60)
    assert missing.returncode == 1 and "/nonexistent/model" in missing.stderr
    (tmp_path / "loop").symlink_to("loop")  # names that the file system itself refuses
    for name, word in (("a" * 300, "96"), ("loop", "'loop'"), ("./" + "b" * 300, "no directory"), ("c\nd", "id")):
        refused = subprocess.run([BINARY, "serve", name], capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert refused.returncode == 1 and word in refused.stderr, refused.stderr
    unknown = subprocess.run([BINARY, "serve", MODEL, "--prot", "1"], capture_output=True, text=True, timeout=60)
    assert unknown.returncode == 2 and "--port" in unknown.stderr
