// The explain box: what would become of a request, rule by rule and tier by tier.

import { REASONS, count, counted, duration, find, make, percent, sentence, table } from "./elements.js";
import { GATES, OUTCOMES as SEMANTIC } from "./semantic.js";
import { ask } from "./server.js";

const EXAMPLES = {
  "/v1/chat/completions": (model) => ({ model, messages: [{ role: "user", content: "Define harbour." }] }),
  "/v1/completions": (model) => ({ model, prompt: "harbour" }),
};
const OUTCOMES = {
  HIT: ["hit", "It would be answered by a stored answer."],
  COALESCED: ["coalesced", "It would follow a request that is generating the same answer now."],
  MISS: ["miss", "It may use the answer cache; nothing is stored for it."],
  BYPASS: ["bypassed", "It would not be looked up."],
};
const VERDICTS = { hit: "found", miss: "not there", not_asked: "not asked", disabled: "not in use" };

const MODES = { off: "off", shadow: "shadow: recorded, not served", serve: "serving" };

let model = "";
let engine = false; // with a prefix cache

const exampleOf = (endpoint) => JSON.stringify(EXAMPLES[endpoint](model), null, 2);

// All but the request itself.
function restOf(form) {
  const field = (name) => form.elements[name].value.trim();
  const scope = Object.fromEntries(["tenant", "team", "user"].map((name) => [name, field(name)]).filter(([, v]) => v));
  return {
    endpoint: field("endpoint"),
    ...(field("cache_control") ? { headers: { "Cache-Control": field("cache_control") } } : {}),
    ...(Object.keys(scope).length > 0 ? { scope } : {}),
  };
}

function detailOf(tier) {
  if (tier.mode == null) return tier.detail ?? "";
  const parts = [MODES[tier.mode] ?? tier.mode];
  if (tier.cosine != null)
    parts.push(`cosine ${tier.cosine.toFixed(3)}`, tier.threshold === null ? "no threshold is supported by evidence yet"
      : `served from ${tier.threshold.toFixed(3)}`, `right with ${percent(tier.p_right)}`);
  return parts.join("; ");
}

// The stored questions near it, the nearest first, with what every gate says of them.
function neighbourList(tiers) {
  const near = tiers.find((tier) => tier.tier === "semantic")?.neighbours ?? [];
  return near.length === 0 ? [] : [make("h3", {}, "Stored questions near it"), ...near.map((one, i) => {
    const refusing = one.gates.filter((gate) => gate.verdict === "refuse");
    const gates = make("div", { class: "scroll" });
    table(gates, [["Gate", ""], ["Verdict", ""], ["Refuses", ""], ["What it saw", ""]], one.gates.map((gate) => [
      make("code", {}, gate.gate), gate.verdict === "pass" ? "passes" : make("strong", { class: gate.on ? "wrong" : "gate-off" },
        gate.on ? "refuses" : "refuses, off"), GATES[gate.gate] ?? "", gate.detail ?? ""]), "It is not stored any more.");
    return make("details", { class: "neighbour", open: i === 0 },
      make("summary", {}, `Cosine ${one.cosine.toFixed(3)}: `, one.gates.length === 0 ? "not stored any more"
        : refusing.length === 0 ? "every gate passes" : `refused by ${refusing.map((gate) => gate.gate).join(", ")}`),
      make("p", {}, "Id ", make("code", {}, one.id)), gates);
  })];
}

function show(explained) {
  const [kind, words] = OUTCOMES[explained.outcome];
  const then = explained.would_generate ? "An answer would be generated" +
      (explained.plan.write ? ` and kept for ${duration(explained.plan.ttl_s)}.` : ", and not kept.")
    : explained.status === 504 ? "only-if-cached: it would get status 504." : "";
  const holding = explained.rules.filter((rule) => rule.verdict === "bypass");
  const tiers = make("div", { class: "scroll" }), rules = make("div", { class: "scroll" });
  table(tiers, [["Tier", ""], ["Where", ""], ["Verdict", ""], ["Age", "number"], ["Detail", ""]],
    explained.tiers.map((tier) => [tier.tier, tier.where ?? "", VERDICTS[tier.verdict] ?? SEMANTIC[tier.verdict] ?? tier.verdict,
      tier.age_s == null ? "" : duration(tier.age_s), detailOf(tier)]), "");
  table(rules, [["Rule", ""], ["Verdict", ""], ["Detail", ""]], explained.rules.map((rule) =>
    [REASONS[rule.rule] ?? rule.rule, rule.verdict === "pass" ? "does not hold" : "holds", rule.detail ?? ""]), "");
  find("outcome").className = "";
  find("outcome").replaceChildren(make("strong", { class: `badge ${kind}` }, explained.outcome), ` ${words} ${then}`);
  find("verdicts").replaceChildren(
    holding.length > 0 && make("ul", { class: "reasons" }, holding.map((rule) =>
      make("li", {}, sentence(REASONS[rule.rule] ?? rule.rule), rule.detail ? ` ${rule.detail}` : ""))) || "",
    tiers,
    ...neighbourList(explained.tiers),
    make("details", {}, make("summary", {}, "All rules"), rules),
    make("details", {}, make("summary", {}, "Canonical request and key"),
      explained.key ? make("p", {}, "Id ", make("code", {}, explained.key.id)) : "",
      make("pre", { tabindex: 0 }, JSON.stringify(explained.canonical_request, null, 2))));
}

// Were it generated: what the prefix cache would do for each prompt.
async function showPrefix(request, rest) {
  const mine = find("verdicts").firstChild;
  let text;
  try {
    const { prompts } = await ask.prefixExplain(request, rest);
    text = prompts.map((one) => `Of ${counted(one.prompt_tokens, "token", "tokens")} ${count(one.resumed_tokens)} would be ` +
      `resumed (${one.verdict.replace("_", " ")}). ${sentence(one.why)}`);
  } catch (error) {
    text = [sentence(error.message)];
  }
  if (find("verdicts").firstChild !== mine) return; // another question was asked since
  find("verdicts").append(make("h3", {}, "Prefix cache, if it is generated"),
    ...text.map((line) => make("p", { class: "prefix-verdict" }, line)));
}

function refuse(message) {
  find("outcome").className = "wrong";
  find("outcome").textContent = sentence(message);
  find("verdicts").replaceChildren();
}

async function explain(event) {
  event.preventDefault();
  const request = event.target.elements.request.value;
  try {
    JSON.parse(request);
  } catch (error) {
    refuse(`the body is not JSON: ${error.message}`);
    find("explain-request").focus();
    return;
  }
  try {
    const rest = restOf(event.target);
    show(await ask.explain(request, rest));
    if (engine) await showPrefix(request, rest);
  } catch (error) {
    refuse(error.message);
  }
}

// `prefix_caching`: whether the server has it on; null: it has no engine.
export function start(served_model, prefix_caching) {
  model = served_model;
  engine = prefix_caching !== null;
  const form = find("explain-form"), endpoint = form.elements.endpoint, request = form.elements.request;
  let example = request.value = exampleOf(endpoint.value);
  endpoint.addEventListener("change", () => {
    if (request.value === example) request.value = example = exampleOf(endpoint.value); // not what somebody wrote
  });
  form.addEventListener("submit", explain);
}
