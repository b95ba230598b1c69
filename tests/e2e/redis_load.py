"""Load on two instances that share a Redis, while something happens to it. Who looks: tests/e2e/redis_faults_test.py
(nothing failed, nothing miscounted, nothing lost) and bench/redis_faults.py (and how much slower it was).

Sixteen clients, each with a connection of its own, ask one question every `pace_s`: 45 % are new, 45 % were asked by some
client before, 10 % are asked by all clients at about the same time. Which ones is the same in every run.
"""

import collections
import dataclasses
import http.client
import json
import random
import secrets
import threading
import time

import httpx

CLIENTS = 16


@dataclasses.dataclass
class Reply:
    question: str
    sent_at: float  # since the load began
    latency_s: float
    status: int = 0
    cache: str = ""
    content: str = ""
    error: str = ""


@dataclasses.dataclass
class Outcome:
    """What a load with a fault brought."""
    replies: list
    failed: list = dataclasses.field(default_factory=list)
    miscounted: list = dataclasses.field(default_factory=list)  # sentences
    stored: int = 0  # acknowledged by Redis, in all
    lost: int | None = None  # of the entries that were seen in Redis; None: Redis did not keep them
    served_later: tuple = (0, 0)  # by an instance that is new: of how many entries in Redis
    stale: int = 0  # stored answers served after --cache-max-stale-s
    beside: list = dataclasses.field(default_factory=list)  # replies of instances without Redis, at the same time


def question_of(client, number):
    draw = random.Random(f"{client}:{number}")
    kind = draw.random()
    if kind < 0.10:
        return f"Define word {number} of everybody."
    if kind < 0.55 and number > 3:
        return question_of(draw.randrange(CLIENTS), draw.randrange(number - 3))
    return f"Define word {number} of client {client}."


class Load:
    def __init__(self, servers, rounds, pace_s, max_tokens=8):
        self.servers, self.rounds, self.pace_s, self.max_tokens = servers, rounds, pace_s, max_tokens
        self.replies = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._client, args=(c,)) for c in range(CLIENTS)]

    def start(self):
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()

    def wait(self):
        for thread in self.threads:
            thread.join()
        return self.replies

    def now(self):
        return time.monotonic() - self.began

    def _client(self, c):
        if self.rounds == 0:
            return
        server = self.servers[c % len(self.servers)]
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for number in range(self.rounds):
            due = self.pace_s * (number + c / CLIENTS)
            time.sleep(max(0, due - self.now()))
            reply = self._ask(connection, question_of(c, number))
            with self.lock:
                self.replies.append(reply)
        connection.close()

    def _ask(self, connection, question):
        body = json.dumps({"model": "dictionary", "max_tokens": self.max_tokens,
                           "messages": [{"role": "user", "content": question}]})
        sent_at = self.now()
        reply = Reply(question, sent_at, 0)
        try:
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            reply.latency_s = self.now() - sent_at
            reply.status, reply.cache = answer.status, answer.headers.get("X-Cache", "")
            if answer.status == 200:
                reply.content = json.loads(text)["choices"][0]["message"]["content"]
            else:
                reply.error = text.decode()
        except (OSError, http.client.HTTPException, ValueError, KeyError) as e:
            reply.latency_s = self.now() - sent_at
            reply.error = repr(e)
            connection.close()
        return reply


class EntriesSeen:
    """The entries that were in Redis at some instant, as far as `redis` could be asked."""

    def __init__(self, redis):
        self.redis, self.keys = redis, set()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.stopping.wait(0.1):
            try:
                self.keys |= self.redis.keys("{nextgate}:e:*")
            except (OSError, RuntimeError):
                pass

    def stop(self):
        self.stopping.set()
        self.thread.join()
        return self.keys


def shared_flags(url, directory):
    secret = directory / f"secret-{secrets.token_hex(4)}"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32))
    return ["--cache-url", url, "--cache-secret-file", str(secret)]


def stats(server, scope="instance"):
    return httpx.get(server.admin_url + "/admin/cache/stats", params={"scope": scope}, timeout=30).json()


def becomes(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def failures(replies, contents):
    """Those without an answer, or with another one than the question had before (`contents`, which grows)."""
    return [r for r in replies
            if r.status != 200 or r.content != contents.setdefault(r.question, r.content)]


def miscounted(servers, replies):
    """What the instances say of a load that is over, against what its clients saw."""
    errors = []
    seen = collections.Counter("hits" if r.cache in ("HIT", "COALESCED") else r.cache for r in replies)
    counted = [stats(server) for server in servers]
    total = {"requests": sum(c["requests"] for c in counted), "hits": sum(c["hits_total"] for c in counted),
             "misses": sum(c["misses"] for c in counted), "bypasses": sum(c["bypasses_total"] for c in counted)}
    wanted = {"requests": len(replies), "hits": seen["hits"], "misses": seen["MISS"], "bypasses": seen["BYPASS"]}
    if total != wanted:
        errors.append(f"the instances counted {total}, their clients saw {wanted}")
    names = ("requests", "hits_total", "misses", "bypasses_total")

    def cluster_agrees():
        cluster = stats(servers[0], "cluster")
        return all(cluster.get(name) == sum(c[name] for c in counted) for name in names)

    # The Sentinels demote a master that wakes up after 10 s; until then an instance may count there what is lost with it.
    if not becomes(cluster_agrees, timeout_s=30):
        cluster = stats(servers[0], "cluster")
        errors.append(f"the cluster counted { {n: cluster.get(n) for n in names} }, its instances {total}")
    return errors


def served_by(server, questions, entries, max_tokens=8):
    """How many of the questions a server answers from what is stored. A look-up that Redis does not answer in 40 ms is a
    miss, which a busy machine makes now and then: as long as there are fewer than `entries`, what was missed is asked again."""
    body = {"model": "dictionary", "max_tokens": max_tokens}
    missed = set(questions)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for _ in range(5):
            missed -= {q for q in missed if client.post(
                "/v1/chat/completions", headers={"Cache-Control": "only-if-cached"},
                json={**body, "messages": [{"role": "user", "content": q}]}).status_code == 200}
            if len(questions) - len(missed) >= entries:
                break
    return len(questions) - len(missed)


def run_fault(fault, start, directory, *, rounds, pace_s, contents, beside=()):
    """The load while `fault` (redis_faults.py) happens from 30 % of it to 65 % of it. `beside`: instances without Redis
    that get the same load at the same time."""
    fault.set_up()
    flags = [*shared_flags(fault.url, directory), *fault.flags]
    servers = [start(*flags), start(*flags)]
    if not becomes(lambda: all(stats(s)["shared"]["available"] for s in servers)):
        raise AssertionError("Redis is not found")
    load = Load(servers, rounds, pace_s)
    control = Load(beside, rounds if beside else 0, pace_s)
    seen = EntriesSeen(fault.keeper())
    load.start()
    control.start()
    time.sleep(0.30 * rounds * pace_s)
    fault.break_down()
    broken_at = load.now()
    time.sleep(max(0, 0.65 * rounds * pace_s - load.now()))
    repaired_at = load.now()
    fault.repair()
    replies = load.wait()
    outcome = Outcome(replies, failures(replies, contents), beside=control.wait())
    if not becomes(lambda: all(stats(s)["shared"]["available"] for s in servers)):
        outcome.miscounted.append("Redis was not found again")
        return outcome
    if fault.max_stale_s:
        outcome.stale = sum(r.cache == "HIT" and broken_at + fault.max_stale_s + 1 < r.sent_at and
                            r.sent_at + r.latency_s < repaired_at for r in replies)
    outcome.miscounted = miscounted(servers, replies)
    outcome.stored = sum(stats(s)["shared"]["stored"] for s in servers)
    kept = seen.stop()
    now = fault.keeper().keys("{nextgate}:e:*")
    if fault.keeps_entries:
        outcome.lost = len(kept - now)
    outcome.served_later = (served_by(start(*flags), {r.question for r in replies}, len(now)), len(now))
    return outcome
