// The invalidation box: what it would be is counted first, and only what was counted can be done.

import { clock, counted, find, make, say, sentence, table } from "./elements.js";
import { ask } from "./server.js";

const FIELDS = ["prompt_prefix", "model", "route", "namespace", "tenant", "team", "user", "id"];

let counted_parts = null; // what the last dry run was of, as text; null: the form has changed since
let whenDone = () => {};

// What the form says. Throws what is wrong with it.
function partsOf(form) {
  const parts = {};
  for (const name of FIELDS)
    if (form.elements[name].value !== "") parts[name] = form.elements[name].value;
  const age = form.elements.older_than.value.trim();
  if (age !== "") {
    if (!/^\d{1,9}$/.test(age)) throw new Error("older than: expected a whole number of seconds");
    parts.older_than = Number(age);
  }
  const some = Object.keys(parts).length > 0;
  if (form.elements.all.checked) {
    if (some) throw new Error("\u201call answers\u201d goes with nothing else; clear the fields, or the box");
    parts.all = true;
  } else if (!some) {
    throw new Error("fill in what the answers have in common, or tick \u201call answers\u201d");
  }
  return parts;
}

function amount(reply) {
  const here = `${counted(reply.memory, "answer", "answers")} in this instance\u2019s memory`;
  return reply.redis == null ? here : `${here}, ${counted(reply.redis, "answer", "answers")} in Redis`;
}

function forget() {
  counted_parts = null;
  const button = find("invalidate-do");
  button.disabled = true;
  button.textContent = "Invalidate";
}

async function countFirst(event) {
  event.preventDefault();
  forget();
  const said = find("invalidated");
  try {
    const parts = partsOf(event.target);
    const text = JSON.stringify(parts);
    const reply = await ask.invalidate({ ...parts, dry_run: true });
    if (text !== JSON.stringify(partsOf(event.target))) return; // changed meanwhile: it is to be counted again
    counted_parts = parts;
    say(said, `Dry run, nothing was done. It would be: ${amount(reply)}.`);
    const button = find("invalidate-do");
    button.textContent = `Invalidate ${counted(Math.max(reply.memory, reply.redis ?? 0), "answer", "answers")}`;
    button.disabled = false;
  } catch (error) {
    say(said, sentence(error.message), "wrong");
  }
}

async function invalidate() {
  if (counted_parts === null) return;
  const said = find("invalidated"), parts = counted_parts;
  forget();
  find("invalidate-count").focus(); // the button that had it is off now
  try {
    const reply = await ask.invalidate(parts);
    const elsewhere = reply.shared === false ? " Redis is away: the other instances hear of it when it is back." : "";
    say(said, `Invalidated: ${amount(reply)}.${elsewhere}`, "good");
    await showInvalidations();
    whenDone();
  } catch (error) {
    say(said, `${sentence(error.message)} Count again to see what is left.`, "wrong");
  }
}

function partsText(parts) {
  return Object.entries(parts).map(([name, value]) => {
    if (name === "all") return "all answers";
    if (name === "prompt_prefix") return "a beginning of the question";
    if (name === "created_before_unix_ms") return `made before ${new Date(value).toLocaleString("en-GB")}`;
    return `${name} ${value}`;
  }).join(", ");
}

export async function showInvalidations() {
  const place = find("invalidations");
  try {
    const { invalidations, stale } = await ask.invalidations();
    table(place, [["At", ""], ["What", ""], ["Known to", ""]], invalidations.slice(0, 20).map((one) =>
      [clock(one.instant_unix_ms / 1000, true), partsText(one.parts),
        one.shared == null ? "this instance" : one.shared ? "all instances" : "this instance yet"]), "None.");
    if (stale)
      place.prepend(make("p", { class: "wrong" }, "Redis was not heard for too long: nothing stored is served."));
  } catch (error) {
    place.replaceChildren(make("p", { class: "wrong" }, sentence(error.message)));
  }
}

// `caller`: who the server says we are.
export function allow(caller) {
  const may = caller.role === "write";
  find("invalidate-parts").disabled = !may;
  find("invalidate-off").hidden = may;
  find("invalidate-off").textContent = may ? "" :
    `Off: your key \u201c${caller.label}\u201d has the role read, and invalidating needs the role write.`;
}

// `done` runs after an invalidation.
export function start(done) {
  whenDone = done;
  const form = find("invalidate-form");
  form.addEventListener("input", forget);
  form.addEventListener("submit", countFirst);
  find("invalidate-do").addEventListener("click", invalidate);
}
