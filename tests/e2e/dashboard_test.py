"""The dashboard in a real Chromium: its figures are those of the admin API after real traffic, its boxes do what they
say, with the keyboard alone too; nothing a client chose becomes markup, and nothing is asked of anybody else."""

import concurrent.futures
import json
import re
import secrets
import subprocess
import threading
import time

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from browser import Browser
from conftest import BINARY, ROOT, Server
from redis_server import RedisServer
from upstream_test import Gateway

ASSETS = ROOT / "gateway/admin/dashboard"
HOSTILE = "<img src=x onerror=window.pwned=1><b id=bold>\"'&amp;</b>"
EVERY_COLOUR = """
// Texts whose contrast with what is behind them is below 4.5 : 1.
const parse = (colour) => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d');
  canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour[3] === 255) return colour;
  }
  return [255, 255, 255];
};
const poor = [];
for (const e of document.querySelectorAll('body *')) {
  if (!e.checkVisibility() || e.closest(':disabled') || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
  const style = getComputedStyle(e), svg = e instanceof SVGElement;
  const [a, b] = [light(parse(svg ? style.fill : style.color)), light(behind(svg ? e.closest('div') : e))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) poor.push(`${e.tagName} ${e.textContent.slice(0, 40)} ${ratio.toFixed(2)}`);
}
return poor;
"""


@pytest.fixture(scope="module")
def chromium():
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


def show(browser, server):
    """The page of this server, with nothing kept from another test."""
    browser.home = server.admin_url
    browser.driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": server.admin_url, "storageTypes": "all"})
    browser.open(server.admin_url + "/dashboard")


def shown(browser):
    browser.until(lambda: browser.find("#board").is_displayed() and browser.text("#tile-requests"), "the board")


def stats(server, **query):
    return httpx.get(server.admin_url + "/admin/cache/stats", params=query).json()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def settled(server, stored, scope="instance"):
    """Nothing runs any more, and what is to be stored is."""
    until(lambda: stats(server, scope=scope)["live_requests"] == 0
          and stats(server, scope="instance")["writer"]["stored"] >= stored)


def number(text):
    return float(re.search(r"-?[\d,]*\.?\d+", text).group().replace(",", ""))


def tile(browser, name):
    return number(browser.text(f"#tile-{name} strong"))


def rows(browser, place):
    return [[cell.text for cell in row.find_elements("css selector", "td")] for row in browser.all(f"{place} tbody tr")]


def choose(browser, name, value):
    browser.find(f"input[name={name}][value='{value}']").click()


def type_into(browser, css, text):
    field = browser.find(css)
    field.clear()
    field.send_keys(text)


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


def test_who_may_not_look_is_told_why(browser, server):
    browser.may_complain = "403"
    browser.home = f"http://app.localhost:{server.admin_port}"
    browser.open(browser.home + "/dashboard")
    browser.until(lambda: "answers to localhost and addresses only" in browser.text("#alarm"))
    assert not browser.find("#board").is_displayed() and not browser.find("#sign-in").is_displayed()


def test_explain_says_what_would_happen_and_why(browser, start):
    server = start()
    show(browser, server)
    shown(browser)
    request = {"model": "dictionary", "messages": [{"role": "user", "content": "Define rope."}], "max_tokens": 32}

    def explain(body):
        type_into(browser, "#explain-request", body if isinstance(body, str) else json.dumps(body))
        browser.js("document.getElementById('outcome').replaceChildren(); document.getElementById('verdicts').replaceChildren()")
        browser.find("#explain-form button").click()
        browser.until(lambda: browser.text("#explained") != "")
        return browser.text("#explained")

    assert "Define harbour." in browser.find("#explain-request").get_property("value")  # an example stands there
    assert explain(request).startswith("MISS")
    server.post("/v1/chat/completions", request)
    settled(server, stored=1)
    assert explain(request).startswith("HIT")
    assert ["exact", "memory", "found"] == [cell for cell in rows(browser, "#explained")[0]][:3]
    sown = {**request, "seed": 2**53 + 1}  # more digits than JavaScript's numbers have
    server.post("/v1/chat/completions", sown)
    settled(server, stored=2)
    assert explain(sown).startswith("HIT") and explain({**sown, "seed": 2**53}).startswith("MISS")
    text = explain({**request, "temperature": 0.7})
    assert text.startswith("BYPASS") and "a temperature above 0 without a seed" in text
    assert "The body is not JSON" in explain("{")
    browser.may_complain = "/admin/cache/explain - .*400"  # Chromium tells of every 400
    assert "temperature" in explain({**request, "temperature": 7}).lower()
    assert stats(server)["requests"] == 2


def test_an_invalidation_is_counted_first_then_confirmed_then_done(browser, start):
    server = start()
    for word in ("harbour", "harp", "rope"):
        server.chat(f"Define {word}.")
    settled(server, stored=3)
    show(browser, server)
    shown(browser)
    do = browser.find("#invalidate-do")
    assert not do.is_enabled()
    browser.find("#invalidate-count").click()
    browser.until(lambda: "Fill in what the answers have in common" in browser.text("#invalidated"))
    type_into(browser, "#invalidate-form [name=prompt_prefix]", "Define har")
    browser.find("#invalidate-count").click()
    browser.until(lambda: "It would be: 2 answers in this instance\u2019s memory." in browser.text("#invalidated"))
    assert do.is_enabled() and do.text == "Invalidate 2 answers"
    assert server.chat("Define harp.").headers["X-Cache"] == "HIT"  # nothing was done
    # Whoever changes the form must count again.
    browser.find("#invalidate-form [name=prompt_prefix]").send_keys("b")
    assert not do.is_enabled()
    browser.find("#invalidate-count").click()
    browser.until(lambda: do.is_enabled() and do.text == "Invalidate 1 answer")
    do.click()
    browser.until(lambda: "Invalidated: 1 answer in" in browser.text("#invalidated"))
    assert not do.is_enabled()
    browser.until(lambda: "a beginning of the question" in browser.text("#invalidations"))
    assert "Define harb" not in browser.text("#invalidations")
    assert server.chat("Define harp.").headers["X-Cache"] == "HIT"
    assert server.chat("Define harbour.").headers["X-Cache"] == "MISS"
    assert [line for line in server.lines if "action=invalidate dry_run=true" in line and "memory=2" in line]
    assert [line for line in server.lines if "action=invalidate dry_run=false" in line and "memory=1" in line]
    type_into(browser, "#invalidate-form [name=older_than]", "soon")
    browser.find("#invalidate-count").click()
    browser.until(lambda: "whole number of seconds" in browser.text("#invalidated"))


def focused(browser):
    return browser.js("const e = document.activeElement; return e.id || e.name || e.dataset.key || e.textContent.trim() || e.tagName")


def tab_to(browser, name, key=Keys.TAB):
    for _ in range(80):
        browser.send(key)
        if focused(browser) == name:
            return
    raise AssertionError(f"the Tab key does not lead to {name}")


def test_everything_can_be_done_with_the_keyboard(browser, start):
    server = start()
    for _ in range(2):
        server.chat("Define harbour.")
    settled(server, stored=1)
    show(browser, server)
    shown(browser)
    browser.until(lambda: rows(browser, "#entries"))
    browser.send(Keys.TAB)
    assert focused(browser) == "Skip to the figures" and browser.find(".skip").rect["x"] >= 0
    tab_to(browser, "window")
    browser.send(Keys.ARROW_LEFT)
    browser.until(lambda: "in the last 5 minutes" in browser.text("#rate-note"))
    outline = browser.js("return getComputedStyle(document.activeElement.nextElementSibling).outlineStyle")
    assert outline == "solid"

    tab_to(browser, "rate")
    assert browser.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.send(Keys.END)
    browser.until(lambda: re.match(r"\d\d:\d\d:\d\d", browser.text("#rate-readout")))
    read = []
    for _ in range(30):
        read.append(browser.text("#rate-readout"))
        browser.send(Keys.ARROW_LEFT)
    assert any("exact 1" in text and "missed 1" in text and "2 requests" in text for text in read)
    assert len(set(read)) > 20  # every step was said

    (entry,) = httpx.get(server.admin_url + "/admin/cache/entries").json()["entries"]
    tab_to(browser, entry["id"])
    browser.send(Keys.ENTER)
    browser.until(lambda: browser.find("#entry").is_displayed())
    assert "Define harbour." in browser.text("#entry") and entry["id"] in browser.text("#entry")
    browser.send(Keys.ESCAPE)
    browser.until(lambda: not browser.find("#entry").is_displayed())
    assert focused(browser) == entry["id"]

    tab_to(browser, "explain-request")
    browser.send(Keys.TAB, Keys.TAB, Keys.ENTER)  # over "Header and scope"
    browser.until(lambda: browser.text("#explained").startswith("MISS"))  # the example has no max_tokens
    tab_to(browser, "prompt_prefix")
    browser.send("Define", Keys.ENTER)
    browser.until(lambda: browser.find("#invalidate-do").is_enabled())
    tab_to(browser, "invalidate-do")
    browser.send(Keys.ENTER)
    browser.until(lambda: "Invalidated: 1 answer" in browser.text("#invalidated"))
    assert focused(browser) == "invalidate-count"  # not lost with the button that is off now


def test_from_an_entry_to_its_invalidation(browser, start):
    server = start()
    server.chat("Define harbour.")
    server.chat("Define rope.")
    settled(server, stored=2)
    show(browser, server)
    shown(browser)
    browser.until(lambda: len(rows(browser, "#entries")) == 2)
    browser.find("#entries button").click()
    browser.until(lambda: browser.find("#entry").is_displayed())
    browser.find("#entry-body button").click()
    assert focused(browser) == "invalidate-count"
    browser.send(Keys.ENTER)
    browser.until(lambda: browser.find("#invalidate-do").is_enabled())
    browser.find("#invalidate-do").click()
    browser.until(lambda: len(rows(browser, "#entries")) == 1)


def test_what_clients_chose_is_shown_as_text(browser, start):
    server = start("--served-model-name", "dictionary", HOSTILE)
    server.chat(HOSTILE, model=HOSTILE, cache={"namespace": HOSTILE})
    settled(server, stored=1)
    httpx.post(server.admin_url + "/admin/cache/invalidate", json={"namespace": HOSTILE + " "})
    show(browser, server)
    shown(browser)
    browser.until(lambda: HOSTILE in browser.text("#entries"))
    browser.until(lambda: HOSTILE in browser.text("#invalidations"))
    assert HOSTILE in browser.text("#served")
    browser.find("#entries button").click()
    browser.until(lambda: browser.find("#entry").is_displayed())
    assert HOSTILE in [block.text for block in browser.all("#entry-body pre")]
    browser.find("#entry-body summary").click()
    assert json.dumps(HOSTILE) in browser.text("#entry-body")
    browser.find("#entry-close").click()
    request = {"model": "dictionary", "messages": [{"role": "user", "content": HOSTILE}]}
    type_into(browser, "#explain-request", json.dumps(request))
    browser.find("#explain-form button").click()
    browser.until(lambda: "MISS" in browser.text("#explained"))
    for details in browser.all("#explained summary"):
        details.click()
    browser.until(lambda: json.dumps(HOSTILE) in browser.text("#explained"))
    assert browser.all("#bold, main img") == [] and browser.js("return window.pwned") is None


@pytest.fixture
def admin_keys(tmp_path):
    made = {}
    for role in ("read", "write"):
        out = subprocess.run([BINARY, "admin", "keys", "new", role, role + "er", "--json"], capture_output=True, text=True)
        made[role] = json.loads(out.stdout)
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text("".join(m["line"] + "\n" for m in made.values()))
    return str(path), made["read"]["key"], made["write"]["key"]


def sign_in(browser, key):
    browser.until(lambda: browser.find("#key").is_displayed())
    browser.find("#key").send_keys(key, Keys.ENTER)


def test_a_server_with_keys_asks_for_one_and_a_reading_key_cannot_invalidate(browser, start, admin_keys):
    path, read, write = admin_keys
    server = start("--admin-api-key-file", path)
    browser.may_complain = r"/admin/(keys|config) - .*401"
    show(browser, server)
    browser.until(lambda: browser.find("#key").is_displayed())
    assert not browser.find("#board").is_displayed() and focused(browser) == "key"
    sign_in(browser, "wrong-wrong-wrong-wrong")
    browser.until(lambda: "does not know this key" in browser.text("#sign-in-error"))
    sign_in(browser, "schl\u00fcssel \u2026")
    browser.until(lambda: "visible characters" in browser.text("#sign-in-error"))
    sign_in(browser, read)
    shown(browser)
    assert "reader, role read" in browser.text("#caller")
    assert "has the role read" in browser.text("#invalidate-off")
    assert not browser.find("#invalidate-form [name=all]").is_enabled() and not browser.find("#invalidate-count").is_enabled()
    kept = browser.js("return [JSON.stringify(localStorage), document.cookie, location.href, document.documentElement.outerHTML]")
    assert not any(read in text for text in kept)
    browser.driver.refresh()
    shown(browser)  # this tab knows it still
    browser.find("#forget").click()
    browser.until(lambda: browser.find("#key").is_displayed() and not browser.find("#board").is_displayed())
    assert browser.js("return sessionStorage.length") == 0
    sign_in(browser, write)
    shown(browser)
    assert browser.text("#invalidate-off") == "" and browser.find("#invalidate-count").is_enabled()
    assert read not in server.log() and write not in server.log()


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


def readable(browser):
    """Once the colours have stopped fading, every text is."""
    poor = []
    for _ in range(50):
        poor = browser.js(EVERY_COLOUR)
        if not poor:
            return
        time.sleep(0.05)
    raise AssertionError(poor)


def test_light_and_dark_are_readable_and_the_choice_is_kept(browser, server):
    for _ in range(2):
        server.chat("Define harbour.")
    server.chat("Define harbour.", temperature=0.9)
    settled(server, stored=1)
    show(browser, server)
    shown(browser)
    browser.find("#explain-form button").click()
    browser.until(lambda: browser.text("#explained"))

    def page():
        return browser.js("return getComputedStyle(document.body).backgroundColor")

    light = page()
    readable(browser)
    browser.prefer("dark")
    dark = page()
    assert light != dark and sum(map(int, re.findall(r"\d+", dark)[:3])) < 150
    readable(browser)
    choose(browser, "theme", "light")
    assert page() == light
    browser.driver.refresh()
    shown(browser)
    assert page() == light
    choose(browser, "theme", "")
    assert page() == dark


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_every_control_has_a_name(browser, server, width):
    browser.resize(width, 900)
    show(browser, server)
    shown(browser)
    assert browser.js("return document.documentElement.scrollWidth") <= width
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = [n for n in nodes if not n.get("ignored") and n.get("role", {}).get("value") in
                ("button", "textbox", "combobox", "checkbox", "radio", "group", "region", "link")]
    assert len(controls) > 30
    assert [n for n in controls if not n.get("name", {}).get("value")
            and n["role"]["value"] != "group"] == []


def test_the_page_is_built_in_and_its_policy_is_strict(server):
    page = httpx.get(server.admin_url + "/dashboard")
    assert page.headers["Content-Type"].startswith("text/html") and page.text == (ASSETS / "page.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page.text)
    names = {f.name for f in ASSETS.iterdir()} - {"page.html", "dashboard.cc", "dashboard.h", "README.md"}
    for name in names:
        served = httpx.get(f"{server.admin_url}/dashboard/{name}")
        assert served.status_code == 200 and served.text == (ASSETS / name).read_text(), name
        assert "script-src 'self';" in served.headers["Content-Security-Policy"]
        assert served.headers["X-Content-Type-Options"] == "nosniff"
        if name.endswith(".js"):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", served.text), name
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", served.text), name
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy == {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'",
                      "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
    assert httpx.get(server.admin_url + "/dashboard/nothing.js").status_code == 404
    assert httpx.get(server.admin_url + "/dashboard/", follow_redirects=True).text == page.text
    assert httpx.get(server.url + "/dashboard").status_code == 404  # only on the admin port
