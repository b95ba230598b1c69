// Questions in other words: what the semantic tier's lookups ended in, how near the nearest question was, how often a stored
// answer was, or would have been, wrong.

import { bytes, count, counted, draw, find, make, percent, table } from "./elements.js";

export const OUTCOMES = {
  served: "served",
  would_serve: "would have been served",
  observed: "generated all the same, to be compared",
  unproven: "near, but not known to be near enough",
  gated: "refused by a gate",
  rejected: "forbidden by feedback",
  no_candidate: "nothing alike is stored",
  gone: "what was near is not stored any more",
  not_chat: "not a chat",
  not_one_text: "the last message is not one text",
  prompt_matters: "the answer continues or shows the prompt",
  unsupported_script: "a script that the embedder does not know",
  too_long: "the question is too long",
  empty: "there are no words in the question",
  deadline: "the embedder did not answer in time",
  embedder_error: "the embedder failed",
  busy: "too many lookups were waiting",
};
export const GATES = {
  numbers: "other numbers, units or dates",
  names: "a word that matters, in one of the two only",
  negation: "a \u201cnot\u201d in one of the two only",
  antonyms: "opposites, or another kind of question",
  order: "the same words with parts exchanged",
  language: "another language, or one without tables",
  length: "one is several times as long",
  margin: "another answer is hardly further away",
};
const MODES = { off: "Off, but for routes, keys and requests that say otherwise", shadow: "Shadow: recorded, not served",
  serve: "Serving" };
const COMPARED = { served: "Served, or would have been", unproven: "Near, and not served", gated: "Refused by a gate alone" };
const NUMBER = "number";
const HEIGHT = 150, AXIS_H = 22, TOP = 16, LEFT = 44, RIGHT = 4;
const HINT = "Point at a bar, or focus the chart and use the arrow keys.";

let bins = [], from = 0.5, at = null; // the histogram, and the bar pointed at

// Shares below a percent are what matters here.
const rate = (share) => (share == null ? "\u2013" : `${(100 * share).toFixed(2)} %`);
const edge = (i) => from + (i * (1 - from)) / bins.length;
const range = (i) => (i === 0 ? `up to ${edge(1).toFixed(2)}` : `${edge(i).toFixed(2)} to ${edge(i + 1).toFixed(2)}`);
const total = () => bins.reduce((sum, n) => sum + n, 0);

// --- figures ---

function showFacts(semantic) {
  const fact = (id, name, value, note) =>
    make("div", { id }, make("dt", {}, name), make("dd", {}, make("b", {}, value), ` ${note}`));
  const { embedder, index, reembedding } = semantic;
  find("semantic-mode").textContent = MODES[semantic.mode] ?? semantic.mode;
  find("semantic-facts").replaceChildren(
    fact("semantic-embedder", "Embedder", embedder.id, `${embedder.revision}, ${count(embedder.dimension)} values`),
    fact("semantic-lookups", "Lookups", count(semantic.lookups), "in this window"),
    fact("semantic-index", "Index", count(index.entries),
      `${index.entries === 1 ? "question" : "questions"} in ${counted(index.groups, "group", "groups")}, ${bytes(index.bytes)}`),
    fact("semantic-compared", "Answers compared", count(semantic.comparisons),
      `by this instance, ${count(semantic.comparison_failures)} without a verdict`),
    fact("semantic-rejections", "Forbidden pairs", count(semantic.rejections), "by feedback"),
    reembedding && fact("semantic-reembedding", "Embedding again", reembedding.done ? "done" : "under way",
      `${counted(reembedding.entries, "stored question", "stored questions")}`) || "");
}

// `counts` by code, the most first; nothing that never was.
function bars(place, words, counts, all, empty) {
  const list = Object.entries(counts).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  find(place).replaceChildren(list.length === 0 ? make("p", { class: "empty" }, empty)
    : make("ul", { class: "bars" }, list.map(([code, n]) => make("li", {},
      make("span", {}, words[code] ?? code, " ", make("code", {}, code)), make("b", {}, count(n)),
      draw("svg", { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
        draw("rect", { class: "track", width: 100, height: 4 }),
        draw("rect", { class: "semantic", width: (100 * n) / Math.max(1, all), height: 4 }))))));
}

// From the interval's low end to its high one, with the rate, on a scale that all rows share.
function interval(one, top) {
  if (one.compared === 0) return "";
  const x = (share) => (100 * share) / top, low = x(one.low);
  return draw("svg", { class: "spread", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("line", { class: "grid", x1: 0, x2: 100, y1: 5, y2: 5 }),
    draw("rect", { class: "range", x: low, width: Math.max(1.2, x(one.high) - low), y: 2, height: 6 }),
    draw("rect", { class: "median", x: Math.min(98.8, x(one.rate)), width: 1.2, y: 0, height: 10 }));
}

function showCompared({ wrong_hits, served_error }) {
  const all = [...Object.entries(COMPARED).map(([name, title]) => [title, wrong_hits[name]]),
    ["Served, corrected, all there ever was", served_error]];
  const top = Math.max(...all.map(([, one]) => (one.compared > 0 ? one.high : 0))) || 1;
  table(find("semantic-wrong"), [["Stored answer", ""], ["Compared", NUMBER], ["Wrong", NUMBER], ["Rate", NUMBER],
    ["True rate", NUMBER], ["", "bar"]], all.map(([title, one]) => [title, count(one.compared), count(one.wrong), rate(one.rate),
    one.compared === 0 ? "not known" : `${rate(one.low)} to ${rate(one.high)}`, interval(one, top)]), "");
}

// --- histogram ---

function drawBars() {
  const place = find("semantic-cosines"), width = place.clientWidth;
  if (width === 0 || bins.length === 0) return;
  const base = TOP + HEIGHT, slot = (width - LEFT - RIGHT) / bins.length, gap = Math.min(3, slot * 0.25);
  const most = Math.max(1, ...bins), marks = [];
  for (const [y, text] of [[TOP, count(most)], [base, "0"]])
    marks.push(draw("line", { class: y === base ? "base" : "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
      draw("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, text));
  if (at !== null) marks.unshift(draw("rect", { class: "pointed", x: LEFT + at * slot, y: TOP, width: slot, height: HEIGHT }));
  bins.forEach((n, i) => {
    const height = (HEIGHT * n) / most;
    if (n > 0)
      marks.push(draw("rect", { class: "semantic", "data-bin": i, x: (LEFT + i * slot + gap / 2).toFixed(2),
        width: (slot - gap).toFixed(2), y: (base - height).toFixed(2), height: height.toFixed(2) }));
  });
  for (let i = 0; i <= bins.length; i += 5) {
    const x = LEFT + i * slot;
    marks.push(draw("line", { class: "tick", x1: x, x2: x, y1: base, y2: base + 4 }),
      draw("text", { x, y: base + 17, "text-anchor": i === bins.length ? "end" : "middle" }, edge(i).toFixed(1)));
  }
  const height = base + AXIS_H;
  place.replaceChildren(draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, marks));
}

function readOut() {
  const all = total(), place = find("semantic-readout");
  const text = at === null ? HINT : `Cosine ${range(at)}: ${counted(bins[at], "lookup", "lookups")}, ` +
    `${percent(all === 0 ? null : bins[at] / all)} of those that found a question.`;
  if (place.textContent !== text) place.textContent = text; // else it would be read out again
}

function point(to) {
  if (to === at) return;
  at = to;
  drawBars();
  readOut();
}

function key(event) {
  const last = bins.length - 1;
  const to = { ArrowLeft: (at ?? last + 1) - 1, ArrowRight: (at ?? -1) + 1, Home: 0, End: last, Escape: null };
  if (!(event.key in to) || last < 0) return;
  event.preventDefault();
  point(to[event.key] === null ? null : Math.min(last, Math.max(0, to[event.key])));
}

function showCosines(semantic) {
  bins = semantic.cosines;
  from = semantic.cosines_from;
  if (at !== null && at >= bins.length) at = null;
  drawBars();
  readOut();
  table(find("semantic-table"), [["Cosine", ""], ["Lookups", NUMBER]], bins.map((n, i) => [range(i), n])
    .filter(([, n]) => n > 0).reverse().map(([name, n]) => [name, count(n)]), "No lookup found a question in this window.");
}

let wired = false;

// The statistics' member `semantic`; without an embedder there is nothing to show.
export function showSemantic(semantic) {
  find("semantic").hidden = !semantic.embedder;
  if (!semantic.embedder) return;
  if (!wired) {
    wired = true;
    const place = find("semantic-cosines");
    new ResizeObserver(drawBars).observe(place);
    place.addEventListener("pointermove", (event) => {
      const slot = (place.clientWidth - LEFT - RIGHT) / bins.length;
      const i = Math.floor((event.clientX - place.getBoundingClientRect().left - LEFT) / slot);
      point(i >= 0 && i < bins.length ? i : null);
    });
    place.addEventListener("pointerleave", () => point(null));
    place.addEventListener("blur", () => point(null));
    place.addEventListener("keydown", key);
  }
  showFacts(semantic);
  bars("semantic-outcomes", OUTCOMES, semantic.outcomes, semantic.lookups, "No lookup in this window.");
  bars("semantic-gates", GATES, semantic.refused_by_gate, semantic.outcomes.gated ?? 0, "No gate refused anything in this window.");
  showCosines(semantic);
  showCompared(semantic);
}
