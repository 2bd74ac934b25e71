// Which questions are followed? Those that the address names: a page loaded anew follows them, too.

import { get, Problem } from "./api.js";
import { Card } from "./card.js";
import { $, keyed } from "./dom.js";
import { mayRest } from "./live.js";
import { answerOf, programs } from "./programs.js";
import { events } from "./sse.js";
import { tokens } from "./token.js";

const AT_MOST = 8;
/** Read at once: of a browser's six connections, the rest of the page needs its share. */
const STREAMS = 3;
const KEPT = "penstock-asked";

/** By their ids: {card, stop}. */
const there = new Map();
let reading = 0;
/** Of those that wait until they may read. */
const turns = new Set();

/** Ids of those that the address names. */
export function named() {
  const [view, ids = ""] = location.hash.slice(1).split("/", 2);
  if (view !== "questions" && view !== "") return null;
  try {
    return ids.split(",").filter(Boolean).map(decodeURIComponent);
  } catch {
    return [];
  }
}

export const followed = () => [...there.keys()];

export const address = (ids) => `#questions${ids.length ? `/${ids.map(encodeURIComponent).join(",")}` : ""}`;

function forget(id) {
  there.get(id)?.stop();
  there.delete(id);
}

/** Puts it before the others. `anew`: by this id another one was asked. */
export function follow(id, { anew = false } = {}) {
  const ids = [id, ...followed().filter((other) => other !== id)].slice(0, AT_MOST);
  if (anew) forget(id);
  if (location.hash === address(ids)) show(ids);
  else location.hash = address(ids);
  there.get(id)?.card.node.scrollIntoView({ block: "nearest" });
}

function unfollow(id) {
  location.hash = address(followed().filter((other) => other !== id));
}

/** What was asked, as this tab remembers it: the gateway keeps no texts. */
function memory() {
  try { return JSON.parse(sessionStorage.getItem(KEPT) ?? "[]"); } catch { return []; }
}

let justAsked = null;

export function asked(id, inputs) {
  const kept = [[id, inputs], ...memory().filter(([other]) => other !== id)].slice(0, AT_MOST);
  try { sessionStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* It is too long to be kept. */ }
  justAsked = id;
  follow(id);
}

function begin(id) {
  const inputs = memory().find(([other]) => other === id)?.[1];
  const card = new Card(id, inputs, () => unfollow(id), answerOf);
  if (justAsked === id) card.justAsked();
  const stopping = new AbortController();
  there.set(id, { card, stop: () => { stopping.abort(); card.over(); } });
  read(id, card, stopping.signal);
}

/** Lets the next one read, where there is room. */
function next() {
  const [turn] = turns;
  if (turn === undefined || reading >= STREAMS) return;
  turns.delete(turn);
  turn();
}

async function room(signal) {
  while (reading >= STREAMS && !signal.aborted) {
    await new Promise((turn) => {
      turns.add(turn);
      signal.addEventListener("abort", () => { turns.delete(turn); turn(); }, { once: true });
    });
  }
}

async function read(id, card, signal) {
  const path = `/v1/questions/${encodeURIComponent(id)}`;
  get(path, { signal }).then((found) => card.known(found), () => {});
  if (reading >= STREAMS) {
    card.waits(`It is read when one of the ${STREAMS} before it has ended: a browser has few connections.`);
    await room(signal);
    // Who has left meanwhile leaves his turn to the next.
    if (signal.aborted) return next();
    card.waits("");
  }
  reading += 1;
  try {
    const told = (problem) => card.told(problem);
    for await (const event of events(`${path}/events`, { signal, rests: mayRest, told })) {
      card.take(event);
      if (event.event === "completion") break;
    }
  } catch (error) {
    if (!signal.aborted) card.failed(error instanceof Problem ? error : new Problem(0, "", String(error)));
  } finally {
    reading -= 1;
    next();
  }
}

// Whoever has another token may read what was refused.
tokens.addEventListener("change", () => {
  for (const [id, { card }] of there) if (card.refused) begin(id);
  show(followed());
});

programs.addEventListener("change", () => {
  for (const { card } of there.values()) card.dimAll();
});

/** As the address says. */
export function show(ids) {
  for (const id of followed()) if (!ids.includes(id)) forget(id);
  const before = new Map(there);
  there.clear();
  for (const id of ids.slice(0, AT_MOST)) {
    if (before.has(id)) there.set(id, before.get(id));
    else begin(id);
  }
  keyed($("followed"), [...there.values()], (one) => one.card, (one) => one.card.node);
}
