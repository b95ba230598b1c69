"""A language model as the judge of answers: its errors are counted, and with them a verified cache opens."""

import contextlib
import csv
import http.server
import json
import os
import pathlib
import subprocess
import threading
import time

import httpx
import pytest
from conftest import BINARY
from semantic_test import MINILM, ask, content, known, semantic
from shared_cache_test import until

PAIRS = pathlib.Path(os.environ["NEXTGATE_SOURCE_DIR"]) / "cache/semantic/data/answer_pairs.tsv"
WORDS = ["harbour", "rope", "bread", "river", "winter", "music", "garden", "letter", "bridge", "island", "market", "forest", "window", "silver",
         "doctor", "summer", "paper", "horse", "stone", "candle"]


def truth():
    with PAIRS.open(newline="") as file:
        rows = csv.reader((line for line in file if not line.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE)
        return {tuple(row[4:7]): row[1] for row in rows}


class Judge:
    """A chat server whose words `say(question, first, second)` decides."""

    def __init__(self, say):
        self.say, self.requests = say, []
        judge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                judge.requests.append((self.path, self.headers["Authorization"], body))
                texts, _ = json.JSONDecoder().raw_decode(body["messages"][-1]["content"])
                word = judge.say(texts["question"], texts["first_answer"], texts["second_answer"])
                reply = json.dumps({"id": "x", "object": "chat.completion", "created": 0, "model": body["model"],
                                    "choices": [{"index": 0, "message": {"role": "assistant", "content": word}, "finish_reason": "stop"}],
                                    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def flags(judge, *more):
    return ["--embedding-model", MINILM, "--embedding-timeout-ms", "5000", "--cache-judge", judge.url, "--cache-judge-model", "big", *more]


def comparator(server, *more):
    return subprocess.run([BINARY, "admin", "comparator", "--url", server.admin_url, *more], capture_output=True, text=True, timeout=120)


def test_its_errors_are_counted_and_named(start, monkeypatch):
    monkeypatch.setenv("NEXTGATE_JUDGE_API_KEY", "sk-of-the-judge")
    known_truth = truth()
    wrong_about = "We store your data in Ireland."  # a name; seen without a judge
    missed = "Your order has been cancelled."
    with contextlib.closing(Judge(lambda q, a, b: "Same." if wrong_about in (a, b) or missed in (a, b) else known_truth[q, a, b].upper())) as judge:
        server = start(*flags(judge))
        counted = json.loads(comparator(server, "--json").stdout)
        assert counted["judge"] is True and counted["no_label"] == {}
        assert counted["flag"] == "--cache-comparator-error 1/204,0/204" and counted["in_force"] == "1/1,1/1"
        assert [m["answers"] for m in counted["mistakes"]] == [["Your order has been shipped.", missed]]
        assert len(judge.requests) == 408
        assert {(path, key, body["model"], body["temperature"]) for path, key, body in judge.requests} == {
            ("/v1/chat/completions", "Bearer sk-of-the-judge", "big", 0)}
        shown = comparator(server)
        assert shown.returncode == 0 and "1 of 204" in shown.stdout and missed in shown.stdout
        assert httpx.get(server.admin_url + "/admin/cache/stats", params={"scope": "instance"}).json()["semantic"]["comparator"]["verdicts"] == {}
        assert "sk-of-the-judge" not in server.log() and missed not in server.log()


def test_the_embedder_alone_is_counted_and_needs_no_flag(start):
    done = comparator(start("--embedding-model", "minilm", "--embedding-timeout-ms", "5000"))
    assert done.returncode == 0 and "80 unsupported" in done.stdout and "nothing to set" in done.stdout


def test_who_gives_up_is_not_asked_on_and_a_stop_does_not_wait(start):
    slow = threading.Event()
    with contextlib.closing(Judge(lambda *_: "SAME" if slow.wait(20) else "SAME")) as judge:
        server = start(*flags(judge))
        waiting = subprocess.Popen([BINARY, "admin", "comparator", "--url", server.admin_url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: len(judge.requests) >= 4)
        second = comparator(server)
        assert second.returncode == 1 and "already" in second.stderr
        before = time.monotonic()
        server.process.terminate()
        assert server.process.wait(timeout=15) == 0
        assert time.monotonic() - before < 15 and len(judge.requests) < 30
        slow.set()
        waiting.wait(timeout=20)


def test_a_judge_that_is_away_or_refuses_is_named(start):
    done = comparator(start("--embedding-model", MINILM, "--cache-judge", "http://127.0.0.1:9/v1", "--cache-judge-model", "big"))
    assert done.returncode == 1 and "refused" in done.stderr


def test_one_that_says_neither_word_is_not_taken_for_one(start):
    with contextlib.closing(Judge(lambda *_: "It depends.")) as judge:
        done = comparator(start(*flags(judge)))
    assert done.returncode == 1 and "not_judged" in done.stderr and "neither SAME nor DIFFERENT" in done.stderr


def test_the_served_model_is_asked_in_this_process(start):
    done = comparator(start("--embedding-model", MINILM, "--cache-judge", "model"))  # a dictionary is no judge
    assert done.returncode == 1 and "neither SAME nor DIFFERENT" in done.stderr


@pytest.mark.parametrize("known_error, opens", [(["--cache-comparator-error", "0/204,0/204"], True), ([], False)], ids=["counted", "unknown"])
def test_with_a_judge_whose_errors_are_known_a_verified_cache_opens(start, known_error, opens):
    with contextlib.closing(Judge(lambda *_: "SAME")) as judge:
        server = start(*flags(judge, *known_error, "--cache-semantic", "serve", "--cache-semantic-error-max", "0.4", "--cache-semantic-confidence",
                              "0.6"))
        first = {word: content(ask(server, f"What does {word} mean?")) for word in WORDS}
        known(server, len(WORDS))
        hits = 0
        for compared, word in enumerate(WORDS):
            reply = ask(server, f"What is the meaning of {word}?")
            if reply.headers["X-Cache"] == "HIT":
                hits += 1
                assert reply.headers["X-Cache-Tier"] == "semantic" and content(reply) == first[word]
            else:
                assert reply.headers["X-Cache-Reason"] in ("unproven", "observed"), reply.headers
                until(lambda: semantic(server)["comparisons"] == compared + 1 - hits)
        assert (hits > 0) is opens
        figures = semantic(server)
        assert figures["comparator"]["judge"] is True and set(figures["comparator"]["verdicts"]) <= {"judge", "equal", "numbers", "names"}
