"""The dashboard's prefix cache in a real Chromium: figures and map are those of the admin API, with the keyboard too."""

import json

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from dashboard_page import number, readable, rows, show, shown, tab_to, type_into, until
from prefix_test import chat, system, user
from upstream_test import Gateway


def prefix(server, what="stats"):
    return httpx.get(f"{server.admin_url}/admin/prefix/{what}").json()


def figure(page, name):
    return number(page.text(f"#prefix-{name} b"))


def talk(server):
    """Two beginnings, from one of which three go on."""
    for words, question in ((150, "harbour?"), (150, "What is a rope?"), (150, "anchor!"), (40, "Define sail.")):
        chat(server, [system("dashboard", words), user(question)])


def test_figures_and_map_are_those_of_the_engine(browser, start):  # noqa: F811
    server = start()
    show(browser, server)
    shown(browser)
    browser.until(lambda: "Nothing is known yet" in browser.text("#prefix"))
    assert not browser.find("#prefix-map").is_displayed() and not browser.find("#prefix-tiers").is_displayed()
    talk(server)
    stats = prefix(server)
    browser.until(lambda: figure(browser, "lookups") == 4)
    assert figure(browser, "computed") == stats["tokens"]["computed"]
    assert figure(browser, "rate") == pytest.approx(100 * stats["hit_rate"], abs=0.06)
    assert figure(browser, "blocks") == stats["blocks"]["cached"] > 0
    assert figure(browser, "checkpoints") == stats["checkpoints"]["used"] > 0
    legend = {item.text.rsplit(" ", 1)[0]: number(item.text.rsplit(" ", 1)[1]) for item in browser.all("#prefix-legend li")}
    assert [legend[name] for name in ("resumed", "replayed", "lost")] == [
        stats["tokens"][name] for name in ("resumed", "replayed", "lost")]
    assert sum(legend.values()) == stats["tokens"]["queried"]

    nodes = prefix(server, "map")["nodes"]
    browser.until(lambda: len(browser.all("#prefix-map .run")) == len(nodes))
    assert len(browser.all("#prefix-map .state")) == len([n for n in nodes if n["checkpoint"]])
    assert browser.all("#prefix-map .hits")
    browser.find("#prefix summary").click()
    assert [number(row[0]) for row in rows(browser, "#prefix-table")] == [node["begin"] for node in nodes]
    # A run begins where the one it goes on from ends, and lies beside it.
    box = {int(e.get_attribute("data-run")): e.rect for e in browser.all("#prefix-map .run")}
    for index, node in enumerate(nodes):
        if node["parent"] is not None:
            before, after = box[node["parent"]], box[index]
            assert before["x"] + before["width"] == pytest.approx(after["x"], abs=1.6)
            assert before["y"] - 0.1 <= after["y"] and after["y"] + after["height"] <= before["y"] + before["height"] + 0.1

    httpx.post(server.admin_url + "/admin/prefix/reset")
    browser.until(lambda: "Nothing is known yet" in browser.text("#prefix") and figure(browser, "blocks") == 0)


def test_the_tiers_are_those_of_the_engine(browser, start, tmp_path):  # noqa: F811
    tiers = ("--prefix-host-gib", "0.01", "--prefix-disk-dir", str(tmp_path), "--prefix-disk-gib", "0.25")
    first = start(*tiers)
    talk(first)
    until(lambda: all(tier["stored"] >= 2 for tier in prefix(first)["tiers"]))
    first.stop()
    server = start(*tiers)
    talk(server)
    show(browser, server)
    shown(browser)

    def agree():
        told, read = prefix(server)["tiers"], rows(browser, "#prefix-tiers")
        figures = [[t["records"], t["stored"], t["loaded"], t["store_failures"] + t["load_failures"]] for t in told]
        return (read and [row[0] for row in read] == ["host memory", "disk"] and all(row[1] == "works" for row in read)
                and [[number(row[i]) for i in (2, 4, 5, 6)] for row in read] == figures)

    browser.until(agree)
    (host, disk) = rows(browser, "#prefix-tiers")
    assert number(disk[2]) >= 2 and number(disk[5]) >= 1, "what the first one stored is loaded"
    assert " of 10." in host[3] and disk[3].endswith(" of 256.0 MiB") and number(disk[3]) > 0
    head = [cell.text for cell in browser.all("#prefix-tiers th")]
    assert head == ["Tier", "State", "Records", "Bytes", "Stored", "Loaded", "Failures"]
    for width in (1280, 390):
        browser.resize(width, 900)
        readable(browser)
        assert browser.js("return document.documentElement.scrollWidth") <= width


def test_the_map_is_read_with_the_keyboard(browser, start):  # noqa: F811
    server = start()
    talk(server)
    show(browser, server)
    shown(browser)
    browser.until(lambda: browser.all("#prefix-map .run"))
    nodes = prefix(server, "map")["nodes"]
    tab_to(browser, "prefix-map")
    assert browser.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.send(Keys.HOME)
    said = lambda: browser.text("#prefix-readout")  # noqa: E731
    assert said().startswith("Tokens 0 to ") and browser.all("#prefix-map .chosen")
    read = {said()}
    for _ in range(20):  # along a prompt to its end
        browser.send(Keys.ARROW_RIGHT)
        read.add(said())
    assert len(read) > 2 and "0 blocks hang on it" in said()
    end = said()
    browser.send(Keys.ARROW_LEFT)
    assert said() != end
    for key in (Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP):
        browser.send(key)
    browser.send(Keys.HOME, Keys.ARROW_DOWN)  # the other beginning
    assert said().startswith("Tokens 0 to ")
    browser.send(Keys.ESCAPE)
    assert said().startswith("Point at a run") and not browser.all("#prefix-map .chosen")
    assert "resumed from 2 times" in " ".join(read) or any((n["checkpoint"] or {}).get("hits") == 2 for n in nodes)


def test_explain_tells_of_it_too(browser, start):  # noqa: F811
    server = start()
    request = {"model": "dictionary", "messages": [system("dashboard", 100), user("harbour?")]}
    chat(server, request["messages"])
    show(browser, server)
    shown(browser)
    type_into(browser, "#explain-request", json.dumps(request))
    browser.find("#explain-form button").click()
    browser.until(lambda: "would be resumed" in browser.text("#explained"))
    resumed = number(browser.text(".prefix-verdict").split("tokens ")[1])
    again = chat(server, request["messages"])
    assert resumed == again.usage.prompt_tokens_details.cached_tokens > 0


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_and_fits(browser, start, scheme, width):  # noqa: F811
    server = start()
    talk(server)
    browser.resize(width, 900)
    browser.prefer(scheme)
    show(browser, server)
    shown(browser)
    browser.until(lambda: browser.all("#prefix-map .run"))
    browser.find("#prefix summary").click()
    readable(browser)
    assert browser.js("return document.documentElement.scrollWidth") <= width


def test_switched_off_it_says_so(browser, start):  # noqa: F811
    server = start("--no-enable-prefix-caching")
    show(browser, server)
    shown(browser)
    assert "Switched off" in browser.text("#prefix") and not browser.find("#prefix-on").is_displayed()


def test_in_front_of_another_server_it_is_not_there(browser, server):  # noqa: F811
    gateway = Gateway(upstreams=[server.url])
    try:
        show(browser, gateway)
        shown(browser)
        assert not browser.find("#prefix").is_displayed()
    finally:
        assert gateway.stop() == 0
