"""What the tests of the dashboard do with its page."""

import re
import time

import httpx


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
