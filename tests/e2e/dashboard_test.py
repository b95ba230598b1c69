"""The dashboard in a real Chromium: its figures are those of the admin API after real traffic, of one instance and of
several, and it says in words what it does not know."""

import concurrent.futures
import json
import secrets
import subprocess
import threading
import time

import httpx
import pytest

from conftest import BINARY, ROOT, Server
from dashboard_page import choose, number, rows, settled, show, shown, stats, tile, type_into, until
from redis_server import RedisServer
from upstream_test import Gateway


def test_the_figures_are_those_of_the_stats_after_real_traffic(browser, start):
    server = start()
    for word in ("harbour", "rope", "anchor"):
        for _ in range(3):
            server.chat(f"Define {word}.")
    assert "data: [DONE]" in server.chat("Define harbour.", stream=True).text
    server.chat("Define sail.", temperature=0.7)
    server.chat("Define sail.", headers={"Cache-Control": "no-store"})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: server.chat("Define lighthouse.", max_tokens=60, min_tokens=50), range(8)))
    settled(server, stored=4)
    expected = stats(server, window="1h")
    assert expected["requests"] == 20

    show(browser, server)
    shown(browser)
    assert tile(browser, "requests") == 20
    assert tile(browser, "rate") == pytest.approx(100 * expected["hit_rate"], abs=0.06)
    note = browser.text("#tile-rate span")
    assert number(note) == pytest.approx(100 * expected["hit_rate_of_requests"], abs=0.06)
    saved = expected["tokens_saved"]
    assert tile(browser, "tokens") == saved["prompt"] + saved["completion"] > 0
    assert tile(browser, "latency") == pytest.approx(expected["latency_ms"]["stored"]["p50"], abs=0.006)
    assert browser.text("#tile-requests span") == (
        f"{expected['hits_total']} hit, {expected['misses']} missed, {expected['bypasses_total']} bypassed")

    # Over time: what the steps hold together is what the tiles say; the bars are in their proportion.
    browser.find("summary").click()
    steps = rows(browser, "#rate-table")
    assert sum(int(step[1]) for step in steps) == 20
    assert sum(int(step[3]) for step in steps) == expected["hits"]["exact"]
    assert sum(int(step[5]) for step in steps) == expected["hits"]["coalesced"]
    drawn = browser.js("return [...document.querySelectorAll('#rate rect')].map(r => [r.getAttribute('class'), +r.getAttribute('height')])")
    heights = {kind: sum(h for k, h in drawn if k == kind) for kind in ("hit", "miss", "bypassed")}
    for kind, name in (("miss", "misses"), ("bypassed", "bypasses_total")):
        assert heights[kind] / heights["hit"] == pytest.approx(expected[name] / expected["hits_total"], abs=0.01)

    latency = {row[0]: row for row in rows(browser, "#latency")}
    for title, name in (("Stored", "stored"), ("Coalesced", "coalesced"), ("Generated", "generated")):
        assert number(latency[title][1]) == expected["latency_ms"][name]["count"]
    assert {"sampled", "no_store"} <= set(e.text for e in browser.all("#bypass code"))

    # Top entries: the most asked for first.
    browser.until(lambda: len(rows(browser, "#entries")) == 4)
    listed = rows(browser, "#entries")
    top = httpx.get(server.admin_url + "/admin/cache/entries?order=hits").json()["entries"]
    assert [(row[0], row[1]) for row in listed] == [(entry["id"][:12], str(entry["hits"])) for entry in top]
    assert top[0]["hits"] >= 3 and listed[0][6:8] == ["dictionary", "/v1/chat/completions"]

    # It goes on by itself, and stops when told to.
    server.chat("Define harbour.")
    browser.until(lambda: tile(browser, "requests") == 21)
    browser.find("#pause").click()
    assert browser.find("#pause").get_attribute("aria-pressed") == "true"
    choose(browser, "window", "1m")
    browser.until(lambda: "in the last minute" in browser.text("#rate-note"))


def test_nothing_yet_is_said_in_words(browser, start):
    show(browser, start())
    shown(browser)
    assert browser.text("#tile-rate strong") == "\u2013"
    for place, text in (("#latency", "No answers in this window"), ("#live", "Nothing is being answered right now"),
                        ("#entries", "No stored answer"), ("#invalidations", "None"), ("#bypass", "Nothing of either")):
        browser.until(lambda: text in browser.text(place), text)


def ask_until(stop, server):
    """One long request after the other, none of them stored."""
    limit = httpx.get(server.url + "/v1/models").json()["data"][0]["max_model_len"]
    body = {"model": "dictionary", "messages": [{"role": "user", "content": "Define rope."}], "stream": True,
            "max_tokens": limit - 100, "ignore_eos": True, "cache": {"no-store": True}}
    while not stop.is_set():
        with httpx.stream("POST", server.url + "/v1/chat/completions", json=body, headers={"X-Request-Id": "longest-run"},
                          timeout=60) as reply:
            for _ in reply.iter_lines():
                if stop.is_set():
                    break


def test_a_request_is_shown_while_it_runs(browser, start):
    server = start()
    show(browser, server)
    shown(browser)
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_until, stop, server)
        try:
            browser.until(lambda: [row[1] for row in rows(browser, "#live")] == ["generating"]
                          and number(rows(browser, "#live")[0][2]) > 0 and tile(browser, "live") == 1)
            (row,) = rows(browser, "#live")
            assert row[3] == "dictionary" and row[5] == "longest-run"
            listed = subprocess.run([BINARY, "admin", "requests", "--url", server.admin_url], capture_output=True, text=True)
            assert listed.returncode == 0 and "longest-run" in listed.stdout and "rope" not in listed.stdout
        finally:
            stop.set()
        asking.result()
    browser.until(lambda: "Nothing is being answered" in browser.text("#live") and tile(browser, "live") == 0)


def test_nothing_is_asked_while_nobody_looks(browser, start):
    server = start()
    show(browser, server)
    shown(browser)
    browser.js("Object.defineProperty(document, 'hidden', {get: () => true, configurable: true});"
               "document.dispatchEvent(new Event('visibilitychange'))")
    until(lambda: browser.js("return performance.getEntriesByType('resource').every(r => r.responseEnd > 0)"))
    server.chat("Define harbour.")
    browser.requests()
    time.sleep(4.5)  # over two rounds
    assert browser.requests() == [] and tile(browser, "requests") == 0
    browser.js("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    browser.until(lambda: tile(browser, "requests") == 1)


def test_a_server_that_is_gone_is_said_in_words_and_found_again(browser, start):
    server = start()
    show(browser, server)
    shown(browser)
    browser.may_complain = "ERR_CONNECTION_REFUSED"
    server.stop()
    browser.until(lambda: "The server did not answer." in browser.text("#alarm"))
    assert browser.find("#board").is_displayed()  # the last figures stay
    again = Server.__new__(Server)
    again.port, again.admin_port, again.url, again.admin_url = server.port, server.admin_port, server.url, server.admin_url
    again.process = subprocess.Popen(
        [BINARY, "serve", str(ROOT / "models/dictionary"), "--served-model-name", "dictionary", "--port", str(server.port),
         "--admin-port", str(server.admin_port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        again.lines = []
        again._wait_ready()
        browser.until(lambda: not browser.find("#alarm").is_displayed())
    finally:
        again.process.terminate()
        again.process.wait()


def test_instances_that_share_a_redis_are_one_cluster(browser, start, tmp_path):
    redis = RedisServer()
    try:
        secret = tmp_path / "secret"
        secret.touch(0o600)
        secret.write_text(secrets.token_hex(32))
        flags = ["--cache-url", redis.url, "--cache-secret-file", str(secret)]
        a, b = start(*flags), start(*flags)
        for server in (a, a, b):
            server.chat("Define harbour.")
            settled(server, stored=0)
            until(lambda: stats(a, scope="cluster")["shared"]["stored"] == 1)
        until(lambda: stats(a, scope="cluster")["requests"] == 3)
        show(browser, a)
        shown(browser)
        assert browser.find("#scope").is_displayed()
        browser.until(lambda: tile(browser, "requests") == 3)
        assert "in 2 instances" in browser.text("#tile-live")
        instances = rows(browser, "#instances")
        assert [row[0] for row in instances] == sorted(
            [f"127.0.0.1:{a.port} this one", f"127.0.0.1:{b.port}"])
        browser.until(lambda: rows(browser, "#entries") and "In Redis" in browser.text("#entries-note"))
        choose(browser, "scope", "instance")
        browser.until(lambda: tile(browser, "requests") == 2)
        assert not browser.find("#instances-card").is_displayed()
        choose(browser, "scope", "cluster")
        type_into(browser, "#invalidate-form [name=model]", "dictionary")
        browser.find("#invalidate-count").click()
        browser.until(lambda: "1 answer in this instance\u2019s memory, 1 answer in Redis" in browser.text("#invalidated"))
        browser.find("#invalidate-do").click()
        browser.until(lambda: "all instances" in browser.text("#invalidations"))
        until(lambda: b.chat("Define harbour.").headers["X-Cache"] == "MISS")
        browser.may_complain = "503"
        redis.kill()
        browser.until(lambda: "Redis" in browser.text("#alarm") and "This instance" in browser.text("#alarm"))
        choose(browser, "scope", "instance")
        browser.until(lambda: not browser.find("#alarm").is_displayed() and tile(browser, "requests") == 2)
    finally:
        redis.remove()


def test_in_front_of_another_server_it_shows_the_same(browser, server):
    gateway = Gateway(upstreams=[server.url])
    try:
        question = {"model": "dictionary", "messages": [{"role": "user", "content": "Define rope."}]}
        for _ in range(3):
            gateway.post("/v1/chat/completions", question)
        settled(gateway, stored=1)
        show(browser, gateway)
        shown(browser)
        assert (tile(browser, "requests"), tile(browser, "rate")) == (3, 66.7)
        type_into(browser, "#explain-request", json.dumps(question))
        browser.find("#explain-form button").click()
        browser.until(lambda: browser.text("#explained").startswith("HIT"))
    finally:
        assert gateway.stop() == 0
