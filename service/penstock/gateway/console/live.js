// How does the service stand now? One stream, for all that is on the page.

import { events } from "./sse.js";
import { tokens } from "./token.js";

/** Seconds after which what is seen counts as old: five looks that did not come. */
const OLD = 10;
/** ... for which a connection may be gone before anybody is told: a gateway that is started anew. */
const BLINK = 1.5;

/** Tells `change` whenever something is known anew, and at least every second; `back` when the gateway answers again. */
export const live = new EventTarget();

/** `seen`: the last overview, that came `at`; `trouble`: a Problem, there `since`; in the browser's ms. */
export const now = { seen: null, at: 0, trouble: null, since: 0, skew: 0 };

/** Since when somebody looks at the page. */
let looked = Date.now();
document.addEventListener("visibilitychange", () => { looked = Date.now(); });

/** The gateway's time in Unix milliseconds: clocks differ, and people's laptops most. */
export const gatewayTime = () => Date.now() + now.skew;

/** How long ago anything was heard; null: it is recent. */
export function stale() {
  if (now.seen === null || document.hidden) return null;
  const present = Date.now();
  return present - Math.max(now.at, looked) > OLD * 1000 ? (present - now.at) / 1000 : null;
}

/** What is in the way, where it is more than a moment. */
export const trouble = () => (now.trouble && (!now.trouble.passes || Date.now() - now.since > BLINK * 1000) ? now.trouble : null);

/** Whether a stream may be let go of: where that cancels no question. */
export const mayRest = () => now.seen !== null && !now.seen.gateway.cancel_on_disconnect;

const changed = () => live.dispatchEvent(new Event("change"));

async function follow(signal) {
  const told = (problem) => {
    if (now.trouble === null) now.since = Date.now();
    const back = now.trouble !== null && problem === null;
    now.trouble = problem;
    changed();
    if (back) live.dispatchEvent(new Event("back"));
  };
  try {
    for await (const event of events("/v1/overview/events", { signal, told })) {
      if (event.event !== "overview") continue;
      now.seen = JSON.parse(event.data);
      now.at = Date.now();
      now.skew = Date.parse(now.seen.at) - now.at;
      changed();
    }
  } catch (error) {
    told(error);
  }
}

export function begin() {
  let following;
  const again = () => {
    following?.abort();
    following = new AbortController();
    follow(following.signal);
  };
  tokens.addEventListener("change", again);
  again();
  setInterval(changed, 1000);
}

/**
 * Does it now, then every so many seconds while `wanted()` and somebody looks; a gateway that is
 * busy is left alone for as long as it says, one that was away is asked as soon as it is back. Gives
 * a way to do it at once.
 */
export function every(interval, wanted, look) {
  let due = 0;
  let busy = false;
  let again = false;
  const turn = async () => {
    if (busy || document.hidden || !wanted() || Date.now() < due) return;
    [busy, again] = [true, false];
    let wait = interval;
    try {
      await look();
    } catch (error) {
      wait = Math.max(interval, error.retryAfter ?? 3 * interval);
    }
    due = again ? 0 : Date.now() + wait * 1000;
    busy = false;
  };
  const atOnce = () => {
    due = 0;
    again = true;
    turn();
  };
  setInterval(turn, 500);
  tokens.addEventListener("change", atOnce);
  live.addEventListener("back", atOnce);
  document.addEventListener("visibilitychange", turn);
  return atOnce;
}
