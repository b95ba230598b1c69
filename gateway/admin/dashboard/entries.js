// Stored answers: a list by hits, age or size; one of them with its question and its answer.

import { bytes, count, duration, find, make, say, sentence, table } from "./elements.js";
import { ask } from "./server.js";

const PAGE = 10;
const COLUMNS = [["Answer", "id"], ["Hits", "number"], ["Age", "number"], ["Ends in", "number"], ["Tokens", "number"],
  ["Size", "number"], ["Model", ""], ["Route", ""], ["Namespace", ""]];

let scopeOf = () => undefined;
let shown = [], cursor = null;

function row(entry) {
  const open = make("button", { type: "button", class: "link", "data-key": entry.id, title: entry.id,
    "aria-label": `Show answer ${entry.id}`, onclick: () => showEntry(entry.id) }, entry.id.slice(0, 12));
  return [open, count(entry.hits), duration(entry.age_s),
    duration(Math.max(0, entry.expires_unix_ms - Date.now()) / 1000),
    `${count(entry.prompt_tokens)} + ${count(entry.completion_tokens)}`, bytes(entry.bytes), entry.model, entry.route,
    entry.scope.namespace || "\u2013"];
}

async function load(from) {
  const form = new FormData(find("entries-form"));
  const said = find("entries-said");
  try {
    const listing = await ask.entries({ ...Object.fromEntries(form), scope: scopeOf(), limit: PAGE, cursor: from });
    shown = from === null ? listing.entries : [...shown, ...listing.entries];
    cursor = listing.next_cursor;
    find("entries-note").textContent = listing.scope === "cluster" ? "In Redis" : "In this instance\u2019s memory";
    table(find("entries"), COLUMNS, shown.map(row), "No stored answer meets this.");
    find("entries-more").hidden = cursor === null;
    say(said, "");
  } catch (error) {
    say(said, sentence(error.message), "wrong");
  }
}

export const showEntries = () => load(null);

function whereText({ memory, redis }) {
  const places = [memory && "this instance\u2019s memory", redis && "Redis"].filter(Boolean);
  return places.join(" and ") || "nowhere any more";
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
const block = (title, note, text) => [
  make("h3", {}, title, note && make("span", { class: "muted" }, ` ${note}`)), make("pre", { tabindex: 0 }, text)];

function questionOf(request) {
  if (Array.isArray(request?.messages))
    return request.messages.map((message, i) => block(i === 0 ? "Question" : "", message.role, asText(message.content ?? message)));
  return block("Question", "", asText(request?.prompt ?? request));
}

async function showEntry(id) {
  const body = find("entry-body");
  let entry;
  try {
    entry = await ask.entry(id);
  } catch (error) {
    say(find("entries-said"), `${id.slice(0, 12)}: ${sentence(error.message)}`, "wrong");
    return;
  }
  say(find("entries-said"), "");
  const fact = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));
  const who = ["tenant", "team", "user", "namespace"].filter((part) => entry.scope[part])
    .map((part) => `${part} ${entry.scope[part]}`).join(", ");
  body.replaceChildren(
    make("dl", { class: "facts" }, fact("Id", make("code", {}, entry.id)), fact("Model", entry.model),
      fact("Route", entry.route), fact("Scope", who || "everybody"), fact("Hits", count(entry.hits)),
      fact("Age", duration(entry.age_s)), fact("In", whereText(entry.where))),
    ...questionOf(entry.request).flat(),
    ...entry.choices.flatMap((choice) => block(entry.choices.length > 1 ? `Answer ${choice.index + 1}` : "Answer",
      `ended by ${choice.finish_reason}`, choice.text)),
    make("details", {}, make("summary", {}, "Canonical request"),
      make("pre", { tabindex: 0 }, asText(entry.request))),
    make("p", {}, make("button", { type: "button", onclick: () => hand(entry.id) }, "Invalidate this answer\u2026")));
  find("entry").showModal();
}

// To the invalidation form, which counts first.
function hand(id) {
  find("entry").close();
  const form = find("invalidate-form");
  form.reset();
  form.elements.id.value = id;
  form.dispatchEvent(new Event("input"));
  const target = find("invalidate-parts").disabled ? find("invalidate-off") : find("invalidate-count");
  target.scrollIntoView({ block: "center" });
  target.focus();
}

export function start(scope) {
  scopeOf = scope;
  find("entries-form").addEventListener("submit", (event) => {
    event.preventDefault();
    load(null);
  });
  find("entries-form").elements.order.addEventListener("change", () => load(null));
  find("entries-more").addEventListener("click", () => load(cursor));
  find("entry-close").addEventListener("click", () => find("entry").close());
}
