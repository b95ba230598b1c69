"""Pictures of the dashboard for docs/images, from some minutes of real traffic on models/dictionary: two instances that
share a Redis, three clients with keys of their own. scripts/screenshots runs it.

    python tests/e2e/dashboard_screenshots.py DIRECTORY [SECONDS OF TRAFFIC]
"""

import concurrent.futures
import contextlib
import json
import pathlib
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time

import httpx

from browser import Browser
from conftest import BINARY, ROOT, Server
from redis_server import RedisServer
from semantic_test import MINILM

WIDTH = 1280
CLIENTS = ("web", "support", "nightly")
PHRASINGS = ("Define {}.", "What does {} mean?", "What is the meaning of {}?")
ANOTHER = "Tell me what {} means."
SEMANTIC = ("--embedding-model", MINILM, "--embedding-timeout-ms", "500", "--cache-semantic", "serve", "--cache-semantic-verifier",
            "static", "--cache-semantic-threshold", "0.85", "--cache-semantic-observe", "0.1")


def client_keys(directory):
    made = [json.loads(subprocess.run([BINARY, "admin", "keys", "new-api", name, "--json"], capture_output=True, text=True,
                                      check=True).stdout) for name in CLIENTS]
    path = directory / "keys"
    path.touch(0o600)
    path.write_text("".join(m["line"] + "\n" for m in made))
    return str(path), [m["key"] for m in made]


class Traffic:
    """People who mostly ask what others asked: words by Zipf's law, few phrasings, now and then something new at once."""

    def __init__(self, servers, keys):
        self.servers, self.keys, self.random = servers, keys, random.Random(7)
        words = [line.split("\t")[0] for line in (ROOT / "models/dictionary/glosses.tsv").read_text().splitlines()]
        self.words = self.random.sample(words, 400)
        self.weights = [1 / (rank + 1) for rank in range(len(self.words))]

    def ask(self, key, text, **fields):
        body = {"model": "dictionary", "messages": [{"role": "user", "content": text}], **fields}
        server = self.random.choice(self.servers)
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(server.url + "/v1/chat/completions", json=body, timeout=60, headers={"Authorization": f"Bearer {key}"})

    def one(self):
        r = self.random
        (word,) = r.choices(self.words, self.weights)
        fields = {}
        if r.random() < 0.06:
            fields["temperature"] = 0.8
        elif r.random() < 0.02:
            fields["cache"] = {"no-cache": True}
        elif r.random() < 0.05:
            fields["cache"] = {"namespace": "drafts"}
        self.ask(r.choice(self.keys), r.choice(PHRASINGS).format(word), stream=r.random() < 0.5, **fields)

    def run(self, seconds):
        ends = time.monotonic() + seconds
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            while time.monotonic() < ends:
                if self.random.random() < 0.05:  # many ask the same new thing at once
                    text = f"Define {self.random.choice(self.words)} in the year {self.random.randrange(1500, 2000)}."
                    for _ in range(6):
                        pool.submit(self.ask, self.keys[0], text, min_tokens=40, max_tokens=60)
                pool.submit(self.one)
                time.sleep(self.random.expovariate(8))


def long_runs(servers, keys, stop):
    """Requests that are still being answered when the picture is taken."""
    def run(server, key, word):
        limit = httpx.get(server.url + "/v1/models", headers={"Authorization": f"Bearer {key}"}).json()["data"][0]["max_model_len"]
        body = {"model": "dictionary", "messages": [{"role": "user", "content": f"Define {word}."}], "stream": True,
                "ignore_eos": True, "max_tokens": limit - 100}
        while not stop.is_set():
            with httpx.stream("POST", server.url + "/v1/chat/completions", json=body, timeout=60,
                              headers={"Authorization": f"Bearer {key}"}) as reply:
                for _ in reply.iter_lines():
                    if stop.is_set():
                        return
    plan = [(servers[0], keys[0], "harbour"), (servers[0], keys[1], "lighthouse"), (servers[0], keys[1], "lighthouse"),
            (servers[1], keys[2], "anchor")]
    threads = [threading.Thread(target=run, args=item) for item in plan]
    for thread in threads:
        thread.start()
    return threads


def prepare(browser, server, question):
    browser.open(server.admin_url + "/dashboard")
    browser.until(lambda: browser.find("#board").is_displayed() and browser.text("#tile-requests"))
    browser.find("input[name=window][value='5m']").click()
    browser.until(lambda: "last 5 minutes" in browser.text("#rate-note") and browser.all("#rate rect"))
    field = browser.find("#explain-request")
    field.clear()
    field.send_keys(json.dumps({"model": "dictionary", "messages": [{"role": "user", "content": question}]}))
    browser.find("#explain-form button").click()
    browser.until(lambda: browser.text("#explained"))
    browser.find("#invalidate-form [name=prompt_prefix]").send_keys("Define ")
    browser.find("#invalidate-count").click()
    browser.until(lambda: "It would be" in browser.text("#invalidated"))
    browser.until(lambda: len(browser.all("#live tbody tr")) >= 3)


def take(browser, directory):
    browser.js("document.activeElement.blur(); scrollTo(0, 0)")
    browser.resize(WIDTH, browser.js("return Math.ceil(document.querySelector('main').getBoundingClientRect().bottom)"))
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        time.sleep(0.5)  # colours fade
        browser.driver.save_screenshot(str(directory / f"dashboard-{scheme}.png"))


def main():
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 290
    with contextlib.ExitStack() as cleanup:
        directory = pathlib.Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        redis = RedisServer()
        cleanup.callback(redis.remove)
        secret = directory / "secret"
        secret.touch(0o600)
        secret.write_text(secrets.token_hex(32))
        path, keys = client_keys(directory)
        servers = []
        for _ in range(2):
            servers.append(Server("--cache-url", redis.url, "--cache-secret-file", str(secret), "--api-key-file", path, *SEMANTIC))
            cleanup.callback(servers[-1].stop)
        browser = Browser(WIDTH, 900)
        cleanup.callback(browser.close)
        people = Traffic(servers, keys)
        traffic = threading.Thread(target=people.run, args=(seconds,))
        traffic.start()
        time.sleep(max(0, seconds - 15))
        stop = threading.Event()
        runs = long_runs(servers, keys, stop)
        try:
            prepare(browser, servers[0], ANOTHER.format(people.words[0]))
            take(browser, target)
        finally:
            stop.set()
            for thread in [traffic, *runs]:
                thread.join()
    for picture in sorted(target.glob("dashboard-*.png")):
        subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", picture], check=True)
        print(f"{picture}: {picture.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
