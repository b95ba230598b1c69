// The page: signs in if the server asks for a key, then shows and refreshes everything.

import { clock, find, sentence } from "./elements.js";
import * as entries from "./entries.js";
import * as explain from "./explain.js";
import * as invalidate from "./invalidate.js";
import * as prefix from "./prefix.js";
import { showSemantic } from "./semantic.js";
import { ask, key } from "./server.js";
import { showRequests, showStats } from "./traffic.js";

const EVERY_MS = 2000;
const AGAIN_MS = 3000; // after an error
const THEME = "nextgate-theme";

let paused = false, started = false, timer = 0;
let round = 0; // of questions; what an older one brings is not shown

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
const scope = () => (find("scope").hidden ? undefined : chosen("scope"));

function alarm(text) {
  const place = find("alarm");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}

// Figures, again and again while somebody looks.
async function refresh() {
  clearTimeout(timer);
  if (document.hidden || !started) return;
  const mine = ++round;
  let wait_ms = EVERY_MS;
  prefix.refresh(); // on its own: the engine may be in the middle of a long step
  try {
    const [stats, requests] = await Promise.all([ask.stats(scope(), chosen("window")), ask.requests()]);
    if (mine !== round) return;
    showStats(stats);
    showSemantic(stats.semantic);
    showRequests(requests, stats.scope === "cluster");
    find("updated").textContent = `Updated ${clock(Date.now() / 1000, true)}`;
    alarm("");
  } catch (error) {
    if (mine !== round) return;
    if (error.status === 401) return leave("the server does not know this key any more");
    wait_ms = AGAIN_MS;
    const hint = error.status === 503 && scope() === "cluster" ? " \u201cThis instance\u201d still has its own figures." : "";
    alarm(`${sentence(error.message)}${hint} Asking again every ${AGAIN_MS / 1000} s.`);
  }
  if (!paused) timer = setTimeout(refresh, wait_ms);
}

function signIn(error) {
  find("board").hidden = find("window").hidden = find("scope").hidden = true;
  find("sign-in").hidden = false;
  find("sign-in-error").textContent = error;
  find("key").focus();
}

function leave(why) {
  key.forget();
  started = false;
  signIn(sentence(why));
}

async function begin() {
  try {
    const [{ caller }, config] = await Promise.all([ask.keys(), ask.config()]);
    alarm("");
    board(caller, config);
  } catch (error) {
    if (error.status === 401) {
      const known = key.get() !== null;
      key.forget();
      signIn(known ? "The server does not know this key." : "");
      return;
    }
    alarm(sentence(error.message) + (error.status === 0 ? ` Asking again every ${AGAIN_MS / 1000} s.` : ""));
    if (error.status === 0) setTimeout(begin, AGAIN_MS);
  }
}

let wired = false;

function board(caller, config) {
  find("sign-in").hidden = true;
  find("board").hidden = false;
  find("served").textContent = `${config.model_names.join(", ")} \u00b7 version ${config.version}`;
  document.title = `${config.model_names[0]} \u2013 nextgate`;
  find("window").hidden = false;
  find("scope").hidden = config.flags["cache-url"] === null;
  find("caller").textContent = key.get() ? `Signed in as ${caller.label}, role ${caller.role}` : "Open on the loopback";
  find("forget").hidden = key.get() === null;
  if (!wired) {
    wired = true;
    entries.start(scope);
    explain.start(config.model_names[0], config.flags["enable-prefix-caching"]);
    invalidate.start(() => entries.showEntries());
  }
  invalidate.allow(caller);
  prefix.start(config.flags["enable-prefix-caching"]);
  started = true;
  refresh();
  entries.showEntries();
  invalidate.showInvalidations();
}

function choose(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function wire() {
  const theme = localStorage.getItem(THEME) ?? "";
  choose(theme);
  const known = document.querySelector(`input[name=theme][value="${theme === "light" || theme === "dark" ? theme : ""}"]`);
  known.checked = true;
  find("theme").addEventListener("change", () => {
    localStorage.setItem(THEME, chosen("theme"));
    choose(chosen("theme"));
  });
  find("window").addEventListener("change", refresh);
  find("scope").addEventListener("change", () => {
    refresh();
    entries.showEntries();
  });
  find("pause").addEventListener("click", () => {
    paused = !paused;
    find("pause").setAttribute("aria-pressed", paused);
    find("pause").textContent = paused ? "Paused" : "Pause";
    if (!paused) refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (!paused) refresh();
  });
  find("forget").addEventListener("click", () => {
    key.forget();
    location.reload(); // nothing that was shown stays
  });
  find("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = find("key").value.trim();
    find("key").value = "";
    if (!/^[\x21-\x7e]+$/.test(given)) return signIn("A key is made of visible characters without spaces.");
    key.set(given);
    begin();
  });
}

wire();
begin();
