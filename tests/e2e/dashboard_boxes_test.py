"""The boxes of the dashboard do what they say, with the keyboard alone too."""

import json
import re

import httpx
from selenium.webdriver.common.keys import Keys

from dashboard_page import focused, rows, settled, show, shown, stats, tab_to, type_into


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
