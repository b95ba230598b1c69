// The prefix cache of the instance that serves the page: what became of the prompts' tokens, and a map of what is known.

import { bytes, count, counted, draw, find, make, percent, say, sentence, table } from "./elements.js";
import { ask } from "./server.js";

const RUNS = 80, ROW_H = 16, TOP = 20, LEFT = 2, RIGHT = 30;
const HINT = "Point at a run, or focus the map and use the arrow keys.";
const PARTS = { resumed: "resumed", replayed: "replayed", lost: "lost", fresh: "not known" };
export const KINDS = { spaced: "in between", answer: "end of an answer", end: "end of a prompt", missed: "where prompts part",
  border: "end of a message", marked: "marked by the client" };
const TIERS = { host: "host memory", disk: "disk" };
const STATES = { works: "works", full: "full: only read from", slow: "slow: only written to", "left alone": "left alone for a while" };
const NUMBER = "number";

let enabled = null; // null: no engine here
let busy = false, mapped = "";
let runs = [], at = null; // the map, and the run pointed at

// --- figures ---

// The four parts of all tokens that were looked up.
const partsOf = ({ queried, matched, resumed, replayed, lost }) => ({ resumed, replayed, lost, fresh: queried - matched });

function showTokens(stats) {
  const parts = Object.entries(partsOf(stats.tokens)), all = Math.max(1, stats.tokens.queried);
  find("prefix-legend").replaceChildren(...parts.map(([name, n]) =>
    make("li", {}, make("span", { class: `swatch ${name}` }), PARTS[name], " ", make("b", {}, count(n)))));
  let x = 0;
  find("prefix-bar").replaceChildren(draw("svg", { class: "parts", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("rect", { class: "track", width: 100, height: 4 }),
    ...parts.map(([name, n]) => {
      const width = (100 * n) / all, rect = draw("rect", { class: name, x, width, height: 4 });
      x += width;
      return rect;
    })));
}

function showFacts({ tokens, blocks, checkpoints, ...stats }) {
  const fact = (id, name, value, note) =>
    make("div", { id }, make("dt", {}, name), make("dd", {}, make("b", {}, value), ` ${note}`));
  find("prefix-facts").replaceChildren(
    fact("prefix-rate", "Not computed", percent(stats.hit_rate), `of ${counted(tokens.queried, "token", "tokens")} looked up`),
    fact("prefix-computed", "Computed", count(tokens.computed), "of them"),
    fact("prefix-lookups", "Prompts", count(stats.lookups), `looked up, ${count(stats.waits)} waited for another\u2019s beginning`),
    fact("prefix-blocks", "Blocks", count(blocks.cached), `of ${blocks.tokens_each} tokens known, ${count(blocks.idle)} idle; there are ${count(blocks.total)}`),
    fact("prefix-checkpoints", "Checkpoints", count(checkpoints.used),
      `of ${count(checkpoints.total)}, each ${bytes(checkpoints.bytes_each)} (${stats.state_format}); ${count(checkpoints.evicted)} evicted`));
}

// What lies below the device, from the nearest; nothing if there is nothing.
function showTiers(tiers) {
  find("prefix-below").hidden = tiers.length === 0;
  table(find("prefix-tiers"), [["Tier", ""], ["State", ""], ["Records", NUMBER], ["Bytes", NUMBER], ["Stored", NUMBER], ["Loaded", NUMBER],
    ["Failures", NUMBER]], tiers.map((tier) => [TIERS[tier.name] ?? tier.name, STATES[tier.state] ?? tier.state,
    count(tier.records), `${bytes(tier.bytes)} of ${bytes(tier.bytes_max)}`, count(tier.stored), count(tier.loaded),
    count(tier.store_failures + tier.load_failures)]), "");
}

// --- map ---

// Rows from above, positions from the left: a run is as high as all that goes on from it.
function lay(nodes) {
  const laid = nodes.map((node, index) => ({ ...node, index, children: [], rows: 0, row: 0 }));
  for (const run of laid) if (run.parent !== null) laid[run.parent].children.push(run);
  for (const run of laid.toReversed()) // children come behind their parents
    run.rows = Math.max(1, run.children.reduce((sum, child) => sum + child.rows, 0));
  const place = (siblings, row) => {
    for (const run of siblings) {
      run.row = row;
      row += run.rows;
    }
    return row;
  };
  const total = place(laid.filter((run) => run.parent === null), 0);
  for (const run of laid) place(run.children, run.row);
  return { laid, total };
}

const endOf = (run) => run.begin + run.tokens;

function words(run) {
  const state = run.checkpoint === null ? "no checkpoint at its end"
    : `checkpoint (${KINDS[run.checkpoint.kind] ?? run.checkpoint.kind}), resumed from ${counted(run.checkpoint.hits, "time", "times")}`;
  return `Tokens ${count(run.begin)} to ${count(endOf(run))}: ${state}; ` +
    `${run.users > 0 ? `used by ${counted(run.users, "request", "requests")} now` : "idle"}; ` +
    `${counted(run.blocks_below, "block hangs", "blocks hang")} on it.`;
}

function drawMap() {
  const place = find("prefix-map"), width = place.clientWidth;
  if (width === 0) return;
  const { laid, total } = lay(runs);
  const longest = Math.max(64, ...laid.map(endOf)), scale = (width - LEFT - RIGHT) / longest;
  const every = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536].find((n) => n * scale >= 56) ?? 131072;
  const height = TOP + total * ROW_H + 2, marks = [];
  for (let tokens = 0; tokens <= longest; tokens += every) {
    const x = LEFT + tokens * scale;
    marks.push(draw("line", { class: "grid", x1: x, x2: x, y1: TOP - 4, y2: height }),
      draw("text", { x, y: TOP - 8, "text-anchor": tokens === 0 ? "start" : "middle" }, count(tokens)));
  }
  for (const run of laid) {
    const x = LEFT + run.begin * scale, y = TOP + run.row * ROW_H, w = run.tokens * scale, h = run.rows * ROW_H - 1;
    marks.push(draw("rect", { class: `run ${run.users > 0 ? "used" : "idle"}`, "data-run": run.index, x, y, width: Math.max(1, w - 1), height: h }));
    if (run.checkpoint !== null)
      marks.push(draw("rect", { class: run.checkpoint.hits > 0 ? "state hits" : "state", "data-run": run.index, x: x + Math.max(0, w - 4), y, width: 3, height: h }));
    if (run.index === at) marks.push(draw("rect", { class: "chosen", x, y, width: Math.max(1, w - 1), height: h }));
  }
  place.replaceChildren(draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, marks));
}

function readOut() {
  const place = find("prefix-readout");
  const text = at !== null ? words(runs[at]) : runs.length > 0 ? HINT : "";
  if (place.textContent !== text) place.textContent = text; // else it would be read out again
}

function point(to) {
  if (to === at) return;
  at = to;
  drawMap();
  readOut();
}

// Left to where it comes from, right to what goes on from it, up and down to what else goes on there.
function key(event) {
  const { laid } = lay(runs), run = at === null ? null : laid[at];
  if (laid.length === 0) return;
  const beside = run && laid.filter((other) => other.parent === run.parent).toSorted((a, b) => a.row - b.row);
  const step = (by) => (run === null ? 0 : (beside[beside.indexOf(run) + by] ?? run).index);
  const to = { ArrowLeft: () => run?.parent ?? at ?? 0, ArrowRight: () => (run === null ? 0 : run.children[0]?.index ?? at),
    ArrowUp: () => step(-1), ArrowDown: () => step(1), Home: () => 0, Escape: () => null }[event.key];
  if (!to) return;
  event.preventDefault();
  point(to());
}

function showMap(map) {
  runs = map.nodes;
  if (at !== null && at >= runs.length) at = null;
  const hidden = map.blocks_cached - map.blocks_shown;
  find("prefix-map").hidden = runs.length === 0;
  find("prefix-note").textContent = runs.length === 0 ? "Nothing is known yet."
    : "Prompts from the left; a run of blocks is followed by what goes on from it. A bar at its end is a checkpoint, a bright one was " +
      `resumed from.${hidden > 0 ? ` ${counted(hidden, "block is", "blocks are")} not shown.` : ""}`;
  drawMap();
  readOut();
  table(find("prefix-table"), [["Tokens", NUMBER], ["to", NUMBER], ["Checkpoint", ""], ["Resumed from", NUMBER], ["Used by", NUMBER],
    ["Blocks on it", NUMBER]], runs.map((run) => [count(run.begin), count(endOf(run)),
    run.checkpoint === null ? "\u2013" : KINDS[run.checkpoint.kind] ?? run.checkpoint.kind,
    run.checkpoint === null ? "\u2013" : count(run.checkpoint.hits), count(run.users), count(run.blocks_below)]), "Nothing is known yet.");
}

// Asked when the page's other figures are; the map only when something has changed.
export async function refresh() {
  if (!enabled || busy) return;
  busy = true;
  try {
    const stats = await ask.prefixStats();
    showTokens(stats);
    showFacts(stats);
    showTiers(stats.tiers);
    const version = JSON.stringify(stats);
    if (version !== mapped) showMap(await ask.prefixMap(RUNS));
    mapped = version;
    say(find("prefix-said"), "");
  } catch (error) {
    if (error.status !== 401) say(find("prefix-said"), sentence(error.message), "wrong");
  } finally {
    busy = false;
  }
}

let wired = false;

// `flag`: --enable-prefix-caching as the server has it; null: there is no engine.
export function start(flag) {
  enabled = flag;
  mapped = "";
  find("prefix").hidden = flag === null;
  find("prefix-on").hidden = !flag;
  find("prefix-off").hidden = flag !== false;
  if (wired || !flag) return;
  wired = true;
  const place = find("prefix-map");
  new ResizeObserver(drawMap).observe(place);
  place.addEventListener("pointermove", (event) => {
    const run = event.target.dataset?.run;
    point(run === undefined ? null : Number(run));
  });
  place.addEventListener("pointerleave", () => point(null));
  place.addEventListener("blur", () => point(null));
  place.addEventListener("keydown", key);
}
