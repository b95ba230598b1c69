"""How the dashboard looks: readable in light and dark, on wide screens and narrow ones, and to who cannot see it."""

import re
import time

import pytest

from dashboard_page import choose, settled, show, shown

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
