// Makes elements, tables and readable numbers. Text goes in as text, never as markup.

export const find = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false)
    .map((child) => (child instanceof Node ? child : String(child))));
  return element;
}
export const make = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
export const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// `columns`: [title, class]; `rows`: arrays of texts and nodes. Without rows, `empty` is said. The place keeps
// its focus: a table that is drawn anew focuses the element with the same data-key.
export function table(place, columns, rows, empty) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  if (rows.length === 0) {
    place.replaceChildren(make("p", { class: "empty" }, empty));
    return;
  }
  const head = columns.map(([title, kind]) => make("th", { scope: "col", class: kind }, title));
  const body = rows.map((row) =>
    make("tr", {}, row.map((cell, i) => make("td", { class: columns[i][1] }, cell))));
  place.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, body)));
  if (focused) [...place.querySelectorAll("[data-key]")].find((e) => e.dataset.key === focused)?.focus();
}

// Says `text` in `place`; `kind`: "", "good", "wrong".
export function say(place, text, kind = "") {
  place.className = kind ? `said ${kind}` : "said";
  if (place.textContent !== text) place.textContent = text;
}

export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

const whole = new Intl.NumberFormat("en");
export const count = (n) => (n == null ? "\u2013" : whole.format(n));
export const counted = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;
export const percent = (share) => (share == null ? "\u2013" : `${(100 * share).toFixed(1)} %`);

export function milliseconds(ms) {
  if (ms == null) return "\u2013";
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(2)} s` : duration(ms / 1000);
}

export function bytes(n) {
  if (n == null) return "\u2013";
  let unit = 0;
  for (; n >= 1024 && unit < 3; ++unit) n /= 1024;
  return `${n.toFixed(unit === 0 ? 0 : 1)} ${["B", "KiB", "MiB", "GiB"][unit]}`;
}

export function duration(s) {
  if (s == null) return "\u2013";
  if (s < 120) return `${Math.floor(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

export function clock(unix_s, seconds) {
  return new Date(unix_s * 1000).toLocaleTimeString("en-GB", seconds ? {} : { hour: "2-digit", minute: "2-digit" });
}

export const REASONS = {
  disabled: "the answer cache is switched off",
  no_store: "the client asked for no-store",
  no_cache: "the client asked for a fresh answer",
  mode_off: "the body says cache.mode off",
  unknown_field: "a field whose effect is not known",
  too_deep: "JSON nested too deep",
  sampled: "sampled: a temperature above 0 without a seed",
  tools: "tools, which were not opted in",
  images: "something other than text",
  prompt_too_short: "the prompt is too short",
  prompt_too_long: "the prompt is too long",
  time_words: "time words such as \u201ctoday\u201d",
  stale: "Redis was not heard for too long",
  key_rights: "the API key may not read stored answers",
  unsupported_route: "this endpoint is not cached",
  not_complete: "the answer is not complete",
  finish_reason: "it ended otherwise than stop, tool_calls or length",
  length_not_requested: "cut by a limit the request did not set",
  answer_too_large: "the answer is too large",
  zero_ttl: "a time to live of 0",
  invalidated: "invalidated while it was generated",
  writer_full: "the queue behind the writer is full",
};
