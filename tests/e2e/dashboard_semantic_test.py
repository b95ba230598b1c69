"""The dashboard's questions in other words in a real Chromium: figures, histogram and gates are those of the admin API."""

import json

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from dashboard_page import choose, number, readable, rows, show, shown, tab_to, type_into, until
from semantic_test import MINILM, SERVE, known, semantic

FIRST, SAME, OTHER = "What does harbour mean?", "What is the meaning of harbour?", "What does harbour not mean?"


def listed(browser, place):
    """The bars of a list: {code: number}."""
    return {item.find_element("css selector", "code").text: number(item.find_element("css selector", "b").text)
            for item in browser.all(f"{place} li")}


def figure(browser, name):
    return number(browser.text(f"#semantic-{name} b"))


def talk(server):
    """One question, the same in other words, and another one that a gate refuses."""
    server.chat(FIRST)
    known(server, 1)
    assert server.chat(SAME).headers["X-Cache-Tier"] == "semantic"
    assert server.chat(OTHER).headers["X-Cache-Reason"] == "gated"
    known(server, 2)


def test_without_an_embedder_there_is_nothing_of_it(browser, start):
    server = start()
    server.chat(FIRST)
    show(browser, server)
    shown(browser)
    browser.until(lambda: browser.text("#tile-requests strong") == "1")
    assert not browser.find("#semantic").is_displayed()


def test_figures_and_bars_are_those_of_the_stats(browser, start):
    server = start(*SERVE)
    show(browser, server)
    shown(browser)
    browser.until(lambda: browser.find("#semantic").is_displayed())
    assert "No lookup in this window." in browser.text("#semantic-outcomes")
    assert "not known" in browser.text("#semantic-wrong") and not browser.all("#semantic-cosines .semantic")
    talk(server)
    told = semantic(server, window="1h")
    assert told["outcomes"] == {"served": 1, "gated": 1, "no_candidate": 1}
    browser.until(lambda: listed(browser, "#semantic-outcomes") == told["outcomes"])
    assert listed(browser, "#semantic-gates") == {gate: n for gate, n in told["refused_by_gate"].items() if n} != {}
    assert "Serving" in browser.text("#semantic-mode")
    assert told["embedder"]["id"] in browser.text("#semantic-embedder")
    for name, value in (("lookups", 3), ("index", 2), ("compared", 1), ("rejections", 0)):
        browser.until(lambda: figure(browser, name) == value, name)

    # As many bars as bins that are not empty, each as high as its bin says, the fuller the nearer to the top.
    full = {i: n for i, n in enumerate(told["cosines"]) if n}
    drawn = {int(bar.get_attribute("data-bin")): bar.rect["height"] for bar in browser.all("#semantic-cosines .semantic")}
    assert drawn.keys() == full.keys() and sum(full.values()) == 2
    for i, n in full.items():
        assert drawn[i] / max(drawn.values()) == pytest.approx(n / max(full.values()), abs=0.02)
    browser.find("#semantic summary").click()
    assert [number(row[1]) for row in rows(browser, "#semantic-table")] == [full[i] for i in sorted(full, reverse=True)]

    httpx.post(server.admin_url + "/admin/cache/feedback", json={
        "entry": server.chat(SAME).headers["X-Cache-Entry"], "verdict": "wrong", "asked": {
            "endpoint": "/v1/chat/completions",
            "request": {"model": "dictionary", "max_tokens": 32, "messages": [{"role": "user", "content": SAME}]}}}).raise_for_status()
    browser.until(lambda: figure(browser, "rejections") == 1)


def test_shadow_says_how_often_it_would_have_been_wrong(browser, start):
    server = start("--embedding-model", MINILM, "--cache-semantic-verifier", "static", "--cache-semantic-threshold", "0.8")
    server.chat(FIRST)
    known(server, 1)
    server.chat(SAME)
    until(lambda: semantic(server)["comparisons"] == 1 and semantic(server)["served_error"]["compared"] == 1)
    told = semantic(server, window="1h")
    show(browser, server)
    shown(browser)
    browser.until(lambda: "Shadow: recorded, not served" in browser.text("#semantic-mode"))
    assert listed(browser, "#semantic-outcomes") == told["outcomes"] == {"would_serve": 1, "no_candidate": 1}
    browser.until(lambda: figure(browser, "compared") == 1)
    table = {row[0]: row for row in rows(browser, "#semantic-wrong")}
    for name, one in (("Served, or would have been", told["wrong_hits"]["served"]),
                      ("Served, corrected, all there ever was", told["served_error"])):
        row = table[name]
        assert [number(row[1]), number(row[2])] == [one["compared"], one["wrong"]] and one["compared"] == 1
        assert number(row[3]) == pytest.approx(100 * one["rate"], abs=0.006)
        low, high = map(number, row[4].split(" to "))
        assert (low, high) == pytest.approx((100 * one["low"], 100 * one["high"]), abs=0.006)
    assert table["Refused by a gate alone"][1:5] == ["0", "0", "\u2013", "not known"]
    assert len(browser.all("#semantic-wrong .range")) == 2  # a bar only where something was compared


def test_it_is_read_with_the_keyboard_and_in_every_colour(browser, start):
    server = start(*SERVE)
    talk(server)
    show(browser, server)
    shown(browser)
    browser.until(lambda: browser.all("#semantic-cosines .semantic"))
    tab_to(browser, "semantic-cosines")
    assert browser.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.send(Keys.END)
    browser.until(lambda: browser.text("#semantic-readout").startswith("Cosine 0.98 to 1.00: "))
    read = []
    for _ in range(25):
        read.append(browser.text("#semantic-readout"))
        browser.send(Keys.ARROW_LEFT)
    assert len(set(read)) == 25 and read[-1].startswith("Cosine up to 0.52: ")
    assert sum(number(text.split(": ")[1]) for text in read) == 2
    browser.send(Keys.ESCAPE)
    browser.until(lambda: browser.text("#semantic-readout").startswith("Point at a bar"))
    tab_to(browser, "As a table")
    browser.send(Keys.ENTER)
    browser.until(lambda: rows(browser, "#semantic-table"))
    readable(browser)
    choose(browser, "theme", "dark")
    readable(browser)
    browser.resize(390, 900)
    browser.until(lambda: browser.js("return document.documentElement.scrollWidth") <= 390)


def test_explain_shows_what_is_near_and_what_every_gate_says(browser, start):
    server = start(*SERVE)
    server.chat(FIRST)
    known(server, 1)
    show(browser, server)
    shown(browser)

    def explain(text):
        body = {"model": "dictionary", "max_tokens": 32, "messages": [{"role": "user", "content": text}]}
        type_into(browser, "#explain-request", json.dumps(body))
        browser.js("document.getElementById('outcome').replaceChildren(); document.getElementById('verdicts').replaceChildren()")
        browser.find("#explain-form button").click()
        browser.until(lambda: browser.text("#outcome") and browser.text("#verdicts"))
        told = httpx.post(server.admin_url + "/admin/cache/explain",
                          json={"endpoint": "/v1/chat/completions", "request": body}).json()
        return next(tier for tier in told["tiers"] if tier["tier"] == "semantic")

    def gates():
        return {row[0]: row[1:] for row in rows(browser, "#verdicts .neighbour")}

    tier = explain(SAME)
    assert browser.text("#outcome").startswith("HIT")
    assert f"Cosine {tier['cosine']:.3f}: every gate passes" in browser.text("#verdicts .neighbour summary")
    assert tier["neighbours"][0]["id"] in browser.text("#verdicts .neighbour")
    assert {gate: row[0] for gate, row in gates().items()} == {g["gate"]: "passes" for g in tier["neighbours"][0]["gates"]}
    (row,) = [row for row in rows(browser, "#verdicts") if row[0] == "semantic"]
    assert row[2] == "served" and f"cosine {tier['cosine']:.3f}; served from 0.800" in row[4]

    tier = explain(OTHER)
    assert browser.text("#outcome").startswith("MISS")
    refusing = {g["gate"]: g["detail"] for g in tier["neighbours"][0]["gates"] if g["verdict"] == "refuse"}
    assert "negation" in refusing
    assert {gate: row[2] for gate, row in gates().items() if row[0] == "refuses"} == refusing
    assert f"refused by {', '.join(refusing)}" in browser.text("#verdicts .neighbour summary")
    explain("Who paints green elephants on Thursdays?")
    assert not browser.all("#verdicts .neighbour")
    assert semantic(server)["lookups"] == 1  # explaining counts nothing
