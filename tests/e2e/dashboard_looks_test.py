"""How the dashboard looks: readable in light and dark, on wide screens and narrow ones, and to who cannot see it."""

import re

import pytest

from dashboard_page import choose, readable, settled, show, shown


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
