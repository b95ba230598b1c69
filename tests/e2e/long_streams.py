"""Long answers that are looked at while they are being generated."""

import json
import threading
import time

import httpx

LONG_TOKENS = 3500


def until(condition, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def long_request(prompt, tokens=LONG_TOKENS, **fields):
    return {"model": "dictionary", "prompt": prompt, "max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True,
            "temperature": 0, "return_token_ids": True, **fields}


class Stream:
    """A streamed completion in a thread of its own: its texts and tokens as they come."""

    def __init__(self, server, body):
        self.tokens, self.headers, self.error, self.done = [], {}, None, False
        self.texts = {}  # of each choice
        self.thread = threading.Thread(target=self._read, args=(server, {**body, "stream": True}), daemon=True)
        self.thread.start()

    def _read(self, server, body):
        try:
            with httpx.stream("POST", server.url + "/v1/completions", json=body, timeout=120) as reply:
                self.headers = dict(reply.headers)
                for line in reply.iter_lines():
                    if line == "data: [DONE]":
                        self.done = True
                    elif line.startswith("data: "):
                        event = json.loads(line[6:])
                        if "error" in event:
                            self.error = event
                        for choice in event.get("choices", []):
                            self.texts[choice["index"]] = self.texts.get(choice["index"], "") + choice["text"]
                            self.tokens += choice.get("token_ids") or []
        except httpx.HTTPError as error:
            self.error = error

    @property
    def text(self):
        return self.texts.get(0, "")

    def wait(self):
        self.thread.join(timeout=120)
        assert not self.thread.is_alive()
        return self


def in_the_middle(leading, following, prompt, followers=1, **fields):
    """A long request that `leading` is generating and `following` follows, far from its end; or another, until it is so."""
    for attempt in range(10):
        body = long_request(f"{prompt} {attempt}", **fields)
        leader = Stream(leading, body)
        until(lambda: leader.tokens)
        others = [Stream(following, body) for _ in range(followers)]
        until(lambda: all(len(other.tokens) > 20 for other in others))
        if len(leader.tokens) < LONG_TOKENS // 2:
            return body, leader, others
        for stream in (leader, *others):
            stream.wait()
    raise AssertionError("this machine generates faster than it follows")
