"""What the tests of the dashboard do with its page."""

import re
import time

import httpx
from selenium.webdriver.common.keys import Keys


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


def focused(browser):
    return browser.js("const e = document.activeElement; return e.id || e.name || e.dataset.key || e.textContent.trim() || e.tagName")


def tab_to(browser, name, key=Keys.TAB):
    for _ in range(80):
        browser.send(key)
        if focused(browser) == name:
            return
    raise AssertionError(f"the Tab key does not lead to {name}")


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
