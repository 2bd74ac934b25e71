// What is an operator's alone? Pauses, dead letters and replays.

import { act, get, Problem } from "./api.js";
import { el, say } from "./dom.js";
import { now } from "./live.js";
import { operators, token, wanted } from "./token.js";

const REFUSED = new Problem(403, "operators_only", "This needs an operator's token.");

/** Where everybody may ask without a token, nobody operates without one: it need not be tried. */
const nobody = () => now.seen?.gateway.auth === "none" && token() === null;

/** Throws a Problem. */
export async function seen(path) {
  if (nobody()) throw REFUSED;
  return get(path, { insist: true });
}

/** Throws a Problem; an operator's token is asked for where it is wanted. */
export async function operate(method, path, body) {
  if (nobody() && !(await wanted("operator"))) throw REFUSED;
  return act(method, path, body);
}

/** Says what is wrong, and offers to enter a token where that would help. */
export function closed(node, error) {
  say(node, error.message);
  if (!(error instanceof Problem)) return;
  if (error.operatorsOnly || error.status === 401) {
    const kind = () => (error.operatorsOnly ? operators() : token() ? "refused" : "unknown");
    node.append(" ", el("button", { type: "button", click: () => wanted(kind()) }, "Enter a token"));
  } else if (error.passes) {
    node.append(" Look again in a while.");
  }
}
