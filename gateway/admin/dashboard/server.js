// Talks to the admin API of the server this page came from, and to nobody else.

const KEY = "nextgate-admin-key";
const PATIENCE_MS = 15000;

export class ServerError extends Error {
  // `status` 0: there was no answer.
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The admin key lives in this tab only.
export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

function messageOf(body, status) {
  try {
    const said = JSON.parse(body).error;
    if (typeof said.message === "string") return said.param ? `${said.message} (${said.param})` : said.message;
  } catch {
    // Not one of our errors: somebody stands between us and the server.
  }
  return `the server answered with status ${status}`;
}

// The JSON of the reply. `query`: parameters; those that are empty are left out. `body`: JSON, as text.
async function call(method, path, query, body) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== "" && value != null);
  const headers = {};
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let status, text;
  try {
    const reply = await fetch(path + (given.length ? "?" + new URLSearchParams(given) : ""), {
      method, headers, body, cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(PATIENCE_MS),
    });
    status = reply.status;
    text = await reply.text();
  } catch (error) {
    throw new ServerError(0, error.name === "TimeoutError"
      ? `the server did not answer within ${PATIENCE_MS / 1000} s` : "the server did not answer");
  }
  if (status < 200 || status > 299) throw new ServerError(status, messageOf(text, status));
  try {
    return JSON.parse(text);
  } catch {
    throw new ServerError(status, "the reply is not one of the admin API");
  }
}

// `request` goes as it was written: a number may have more digits than JavaScript keeps.
const question = (request, rest) => `{"request":${request},${JSON.stringify(rest).slice(1)}`;

export const ask = {
  keys: () => call("GET", "admin/keys"),
  config: () => call("GET", "admin/config"),
  stats: (scope, window) => call("GET", "admin/cache/stats", { scope, window, group_by: "time" }),
  requests: () => call("GET", "admin/requests", { limit: 20 }),
  entries: (query) => call("GET", "admin/cache/entries", query),
  entry: (id) => call("GET", "admin/cache/entries/" + encodeURIComponent(id)),
  explain: (request, rest) => call("POST", "admin/cache/explain", {}, question(request, rest)),
  prefixStats: () => call("GET", "admin/prefix/stats"),
  prefixMap: (limit) => call("GET", "admin/prefix/map", { limit }),
  prefixExplain: (request, rest) => call("POST", "admin/prefix/explain", {}, question(request, rest)),
  invalidate: (parts) => call("POST", "admin/cache/invalidate", {}, JSON.stringify(parts)),
  invalidations: () => call("GET", "admin/cache/invalidations"),
};
