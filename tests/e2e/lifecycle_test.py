"""Starting, leaving in the middle, stopping: what happens around a request."""

import signal
import socket
import threading
import time

import httpx


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


def test_sigterm_lets_streams_finish_and_exits_with_0(start):
    server = start()
    body = {**LONG, "max_tokens": 600}
    finished = []

    def read():
        with httpx.stream("POST", server.url + "/v1/completions", json=body, timeout=60) as reply:
            finished.extend(reply.iter_lines())

    reader = threading.Thread(target=read)
    reader.start()
    assert wait_until(lambda: server.metric("vllm:num_requests_running") >= 1)
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


def test_request_ids_come_back_and_prompts_are_not_logged(server):
    reply = server.chat("A secret sentence about zebras", headers={"X-Request-Id": "my-id-1"})
    assert reply.headers["X-Request-Id"] == "my-id-1"
    assert server.chat("x").headers["X-Request-Id"]
    assert wait_until(lambda: "my-id-1" in server.log())
    assert "zebras" not in server.log()


def test_a_taken_port_and_a_missing_model_are_clear_errors(server):
    import subprocess

    from conftest import BINARY, MODEL

    taken = subprocess.run([BINARY, "serve", MODEL, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
    assert taken.returncode == 1 and str(server.port) in taken.stderr
    missing = subprocess.run([BINARY, "serve", "/nonexistent/model"], capture_output=True, text=True, timeout=60)
    assert missing.returncode == 1 and "/nonexistent/model" in missing.stderr
    unknown = subprocess.run([BINARY, "serve", MODEL, "--prot", "1"], capture_output=True, text=True, timeout=60)
    assert unknown.returncode == 2 and "--port" in unknown.stderr
