// What became of the requests: tiles, the charts over time, latency, reasons, what runs now.

import { BUILT, TIERS, TimeChart } from "./charts.js";
import { REASONS, bytes, clock, count, counted, draw, duration, find, make, milliseconds, percent, table } from "./elements.js";

const STEP_S = { "1m": 10, "5m": 10, "1h": 60, "24h": 1800, total: 1800 };
const IN_WINDOW = { "1m": "in the last minute", "5m": "in the last 5 minutes", "1h": "in the last hour",
  "24h": "in the last day", total: "since the first start" };
const PHASES = { lookup: "looking it up", replay: "sending a stored answer", follow: "following another request",
  generate: "generating" };
const HINT = "Point at a step, or focus the chart and use the arrow keys.";
const SERVED = { stored: "Stored", coalesced: "Coalesced", generated: "Generated" };

let step_s = STEP_S["1h"];
const chart = new TimeChart(find("rate"), readOut);

function stepName(step) {
  const ends = Math.floor(step.begins_unix_s / step_s) * step_s + step_s;
  return `${clock(step.begins_unix_s, step_s < 60)}\u2013${clock(ends, step_s < 60)}`;
}

function readOut(step) {
  const place = find("rate-readout"), text = step === null ? HINT : stepText(step);
  if (place.textContent !== text) place.textContent = text; // else it would be read out again
}

function stepText(step) {
  const tiers = TIERS.filter((tier) => step.hits[tier] > 0).map((tier) => `${tier} ${count(step.hits[tier])}`);
  return `${stepName(step)}: hit rate ${percent(step.hit_rate)}; ` + [...tiers,
    `missed ${count(step.misses)}`, `bypassed ${count(step.bypasses_total)}`].join(", ") +
    `; ${counted(step.requests, "request", "requests")}.`;
}

function tile(id, title, value, note) {
  return make("div", { class: "tile", id }, make("dt", {}, title),
    make("dd", {}, make("strong", {}, value), make("span", {}, note)));
}

function showTiles(stats) {
  const { stored, generated } = stats.latency_ms;
  const saved = stats.tokens_saved;
  find("tiles").replaceChildren(
    tile("tile-rate", "Hit rate", percent(stats.hit_rate),
      `of those that may use it; ${percent(stats.hit_rate_of_requests)} of all`),
    tile("tile-requests", "Requests", count(stats.requests),
      `${count(stats.hits_total)} hit, ${count(stats.misses)} missed, ${count(stats.bypasses_total)} bypassed`),
    tile("tile-tokens", "Tokens saved", count(saved.prompt + saved.completion),
      `${count(saved.completion)} of answers, ${count(saved.prompt)} of prompts`),
    tile("tile-latency", "Median latency of a hit", milliseconds(stored.p50),
      `generated: ${milliseconds(generated.p50)}`),
    tile("tile-live", "Live requests", count(stats.live_requests),
      stats.instances ? `in ${counted(stats.instances.length, "instance", "instances")}` : "being answered now"));
}

function showLegend(stats) {
  const entry = (kind, text, n) =>
    make("li", {}, make("span", { class: `swatch ${kind}` }), text, " ", make("b", {}, count(n)));
  find("rate-legend").replaceChildren(
    ...TIERS.filter((tier) => tier === "exact" || tier === "coalesced" || stats.hits[tier] > 0)
      .map((tier) => entry(tier, tier, stats.hits[tier])),
    make("li", { class: "apart" }, "below:"),
    entry("hit", "hit", stats.hits_total), entry("miss", "missed", stats.misses),
    entry("bypassed", "bypassed", stats.bypasses_total));
}

function showSteps(steps) {
  const tiers = TIERS.filter((tier) => BUILT.includes(tier) || steps.some((step) => step.hits[tier] > 0));
  const rows = steps.filter((step) => step.requests > 0).reverse().map((step) =>
    [stepName(step), count(step.requests), percent(step.hit_rate), ...tiers.map((tier) => count(step.hits[tier])),
      count(step.misses), count(step.bypasses_total), count(step.tokens_saved.prompt + step.tokens_saved.completion)]);
  const numbers = ["Requests", "Hit rate", ...tiers.map((tier) => tier.charAt(0).toUpperCase() + tier.slice(1)), "Missed",
    "Bypassed", "Tokens saved"];
  table(find("rate-table"), [["Time", ""], ...numbers.map((name) => [name, "number"])], rows, "No requests in this window.");
}

// A bar from the median to 95 % on a scale that all three share, each tick ten times the one before.
function spread(latency, low, high) {
  if (latency.p50 == null) return "";
  const at = (ms) => (100 * (Math.log10(ms) - low)) / (high - low);
  const from = at(latency.p50), to = at(latency.p95);
  return draw("svg", { class: "spread", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("line", { class: "grid", x1: 0, x2: 100, y1: 5, y2: 5 }),
    draw("rect", { class: "range", x: from, width: Math.max(1.2, to - from), y: 2, height: 6 }),
    draw("rect", { class: "median", x: from, width: 1.2, y: 0, height: 10 }));
}

function showLatency(by_served) {
  const known = Object.values(by_served).flatMap((one) => [one.p50, one.p95]).filter((ms) => ms != null && ms > 0);
  const low = Math.floor(Math.log10(Math.min(...known))), high = Math.ceil(Math.log10(Math.max(...known)) + 0.01);
  const rows = known.length === 0 ? [] : Object.entries(SERVED).map(([name, title]) => {
    const one = by_served[name];
    return [title, count(one.count), milliseconds(one.p50), milliseconds(one.p95), spread(one, low, high)];
  });
  table(find("latency"), [["Answer", ""], ["Answers", "number"], ["Median", "number"], ["95 %", "number"], ["", "bar"]],
    rows, "No answers in this window.");
  const { stored, generated } = by_served;
  find("latency-note").textContent = stored.p50 > 0 && generated.p50 > 0
    ? `Half of the stored answers took at most ${milliseconds(stored.p50)}, half of the generated ones at least ` +
      `${milliseconds(generated.p50)}: ${count(Math.round(generated.p50 / stored.p50))} times as long.` : "";
}

function reasonList(title, counts, total) {
  const list = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  return list.length === 0 ? null : [make("h3", {}, title),
    make("ul", { class: "bars" }, list.map(([code, n]) => make("li", {},
      make("span", {}, REASONS[code] ?? code, " ", make("code", {}, code)), make("b", {}, count(n)),
      draw("svg", { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
        draw("rect", { class: "track", width: 100, height: 4 }),
        draw("rect", { class: "range", width: (100 * n) / total, height: 4 })))))];
}

function showReasons(stats) {
  const total = Math.max(1, stats.requests);
  const parts = [reasonList("Not looked up", stats.bypass, total), reasonList("Not kept", stats.not_stored, total)]
    .filter((part) => part !== null).flat();
  find("bypass").replaceChildren(...(parts.length > 0 ? parts : [make("p", { class: "empty" }, "Nothing of either in this window.")]));
}

function showInstances(instances) {
  find("instances-card").hidden = !instances;
  find("now").classList.toggle("single", !instances);
  if (!instances) return;
  const now = Date.now();
  table(find("instances"), [["Instance", ""], ["Live", "number"], ["Entries", "number"], ["Bytes", "number"],
    ["Evictions", "number"], ["Heard", "number"]],
  instances.toSorted((a, b) => a.name.localeCompare(b.name)).map((one) => [
    make("span", { title: one.id }, one.name, one.this ? make("em", {}, " this one") : null), count(one.live_requests),
    count(one.entries), bytes(one.bytes), count(one.evictions),
    `${duration(Math.max(0, now - one.seen_unix_ms) / 1000)} ago`]), "No instance was heard of.");
}

export function showStats(stats) {
  step_s = STEP_S[stats.window];
  find("rate-note").textContent = "Share of the requests that may use the answer cache, by what answered them, " +
    (stats.window === "total" ? "in the last day" : IN_WINDOW[stats.window]);
  showTiles(stats);
  showLegend(stats);
  chart.show(stats.groups, step_s);
  showSteps(stats.groups);
  showLatency(stats.latency_ms);
  showReasons(stats);
  showInstances(stats.instances);
}

export function showRequests(live, cluster) {
  const more = live.live_requests - live.requests.length;
  find("live-note").textContent = (cluster ? "Of this instance" : "Longest running first") +
    (more > 0 ? `; ${counted(more, "more is", "more are")} not shown` : "");
  table(find("live"), [["For", "number"], ["Doing", ""], ["Tokens", "number"], ["Model", ""], ["Key", ""], ["Request", "id"]],
    live.requests.map((one) => [milliseconds(one.age_ms), PHASES[one.phase] ?? one.phase,
      one.phase === "replay" ? "\u2013" : count(one.tokens), one.model, one.key || "\u2013",
      make("code", { title: `${one.route} ${one.id}` }, one.id)]), "Nothing is being answered right now.");
}
