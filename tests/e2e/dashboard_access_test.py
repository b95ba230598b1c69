"""Who may look at the dashboard and do what; nothing that a client chose becomes markup, and its policy lets nothing else
in."""

import json
import re
import subprocess

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from conftest import BINARY, ROOT
from dashboard_page import focused, settled, show, shown, type_into

ASSETS = ROOT / "gateway/admin/dashboard"
HOSTILE = "<img src=x onerror=window.pwned=1><b id=bold>\"'&amp;</b>"


def test_who_may_not_look_is_told_why(browser, server):
    browser.may_complain = "403"
    browser.home = f"http://app.localhost:{server.admin_port}"
    browser.open(browser.home + "/dashboard")
    browser.until(lambda: "answers to localhost and addresses only" in browser.text("#alarm"))
    assert not browser.find("#board").is_displayed() and not browser.find("#sign-in").is_displayed()


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
