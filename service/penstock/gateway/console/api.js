// How does the page speak with the gateway? What goes wrong is a Problem that says what to do.

import { authorization, operators, token, tokens, wanted } from "./token.js";

/** As RFC 9457 has it. `status` 0: the gateway does not answer. `retryAfter` in seconds. */
export class Problem extends Error {
  constructor(status, code, detail, retryAfter = null) {
    super(detail);
    Object.assign(this, { status, code, retryAfter });
  }

  /** It may pass by itself. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  get operatorsOnly() {
    return this.status === 403 && this.code === "operators_only";
  }
}

export const AWAY = "The gateway does not answer.";

async function problem(response) {
  const said = await response.json().catch(() => ({}));
  const detail = typeof said.detail === "string" ? said.detail : `${response.status} ${response.statusText}`;
  const after = Number(response.headers.get("retry-after"));
  return new Problem(response.status, said.code ?? "", detail, after > 0 ? after : null);
}

let dismissed = false;
tokens.addEventListener("change", () => { dismissed = false; });

/** Whether it is worth asking again. Nobody is asked twice for what he would not give once. */
async function admitted(error, insist) {
  if (error.status !== 401 || (dismissed && !insist)) return false;
  const given = await wanted(token() ? "refused" : "unknown");
  dismissed = !given;
  return given;
}

/** A response that is well; `insist`: a person waits for it. */
export async function reach(path, options = {}, insist = false) {
  for (;;) {
    const headers = { ...options.headers, ...authorization() };
    let response;
    try {
      response = await fetch(path, { ...options, headers, credentials: "omit", redirect: "error" });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Problem(0, "away", AWAY);
    }
    if (response.ok) return response;
    const wrong = await problem(response);
    if (!(await admitted(wrong, insist))) throw wrong;
  }
}

export async function get(path, { signal, insist = false } = {}) {
  return (await reach(path, { signal }, insist)).json();
}

/** What an operator or an asker does. Asks for an operator's token where this is none. */
export async function act(method, path, body, headers = {}) {
  const options = { method, headers };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { ...headers, "content-type": "application/json" };
  }
  for (;;) {
    try {
      const response = await reach(path, options, true);
      const said = await response.text();
      return said ? JSON.parse(said) : null;
    } catch (error) {
      if (!(error instanceof Problem && error.operatorsOnly && (await wanted(operators())))) throw error;
    }
  }
}

/** Ends early where the signal says stop. */
export const pause = (seconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
