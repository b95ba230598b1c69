"""A running `nextgate serve` for the tests, and clients that talk to it."""

import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import httpx
import openai
import pytest

ROOT = pathlib.Path(os.environ.get("NEXTGATE_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BINARY = os.environ.get("NEXTGATE_BINARY", str(ROOT / "build/release/nextgate"))
MODEL = os.environ.get("NEXTGATE_MODEL", str(ROOT / "models/dictionary"))
START_TIMEOUT_S = 60


def free_ports(count):
    import socket

    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    """One process of nextgate; its log is kept for the assertions."""

    def __init__(self, *flags, model=MODEL, env=None, under=()):
        self.port, self.admin_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        command = [*under, BINARY, "serve", model, "--served-model-name", "dictionary", "--port", str(self.port),
                   "--admin-port", str(self.admin_port), *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env={**os.environ, **(env or {})})
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self._wait_ready()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def _wait_ready(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the server did not start:\n" + "".join(self.lines)
            try:
                if httpx.get(self.url + "/ready", timeout=1).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise AssertionError("not ready in time:\n" + "".join(self.lines))

    def client(self, api_key="-", **kwargs):
        return openai.OpenAI(base_url=self.url + "/v1", api_key=api_key, max_retries=0, **kwargs)

    def post(self, path, body, **headers):
        return httpx.post(self.url + path, json=body, headers=headers, timeout=60)

    def chat(self, text, headers=None, **fields):
        body = {"model": "dictionary", "messages": [{"role": "user", "content": text}], "max_tokens": 32, **fields}
        return self.post("/v1/chat/completions", body, **(headers or {}))

    def metric(self, name):
        text = httpx.get(self.url + "/metrics", timeout=10).text
        found = re.search(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.M)
        assert found, f"no metric {name} in:\n{text}"
        return float(found.group(1))

    def log(self):
        return "".join(self.lines)

    def stop(self, timeout_s=30):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=timeout_s)
        self.reader.join(timeout=5)
        return code


@pytest.fixture(scope="module")
def server():
    running = Server()
    yield running
    assert running.stop() == 0, "exit code after SIGTERM:\n" + running.log()


@pytest.fixture
def start():
    """Starts servers with flags of their own; stops what a test left running."""
    started = []

    def make(*flags, **kwargs):
        started.append(Server(*flags, **kwargs))
        return started[-1]

    yield make
    for running in started:
        running.stop()


@pytest.fixture(scope="module")
def chromium():
    from browser import Browser

    running = Browser()
    yield running
    running.close()


@pytest.fixture
def browser(chromium, start):  # after start, whose servers are then still there at the end
    """A fresh page. What its console said and what it asked of others are checked at the end."""
    chromium.resize(1280, 900)
    chromium.prefer("light")
    chromium.requests()
    chromium.console()
    chromium.complaints.clear()
    chromium.may_complain = None
    yield chromium
    said = [line for line in chromium.console() if not (chromium.may_complain and re.search(chromium.may_complain, line))]
    asked = {url for url in chromium.requests() if not url.startswith(getattr(chromium, "home", "") + "/")}
    chromium.open("about:blank")
    assert said == []
    assert asked - {"about:blank"} == set()
