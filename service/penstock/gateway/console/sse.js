// How is a stream of events read, for as long as it takes? By fetch: an EventSource sends no token.
// A connection that breaks is made anew, and goes on behind what was read last.

import { pause, Problem, reach } from "./api.js";

const FIRST = 0.5;
const LONGEST = 15;
/** The gateway says something at least every 15 s: a connection that is silent for longer is dead. */
const SILENCE = 40_000;

/** The events of a body, as WHATWG HTML 9.2.6 reads them. */
async function* parsed(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { event: "message", data: [] };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      heard();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const whole of lines) {
        const line = whole.endsWith("\r") ? whole.slice(0, -1) : whole;
        if (line === "") {
          if (event.data.length) yield { ...event, data: event.data.join("\n") };
          event = { event: "message", data: [] };
          continue;
        }
        const colon = line.indexOf(":");
        if (colon === 0) continue;
        const name = colon < 0 ? line : line.slice(0, colon);
        const said = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (name === "data") event.data.push(said);
        else if (name === "event" || name === "id") event[name] = said;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Waits until somebody looks at the page, or the signal says stop. */
const visible = (signal) =>
  new Promise((resolve) => {
    const seen = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", seen);
      resolve();
    };
    document.addEventListener("visibilitychange", seen);
    signal.addEventListener("abort", seen, { once: true });
    seen();
  });

/**
 * Events until the signal says stop, or the caller has enough.
 *
 * A browser has six connections per host, for all its tabs: one that nobody looks at lets go of
 * its own where `rests()` allows it, and comes back to where it was.
 *
 * Throws a Problem that will not pass by itself. `told(problem)`: one that may; null: all is well.
 */
export async function* events(path, { signal, rests = () => true, told = () => {} }) {
  let last = null;
  let wait = FIRST;
  while (!signal.aborted) {
    if (rests()) await visible(signal);
    if (signal.aborted) return;
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    const hide = () => { if (document.hidden && rests()) stop(); };
    let silence;
    const heard = () => { clearTimeout(silence); silence = setTimeout(stop, SILENCE); };
    signal.addEventListener("abort", stop, { once: true });
    document.addEventListener("visibilitychange", hide);
    let wrong = new Problem(0, "broken", "The connection broke.");
    try {
      heard();
      const headers = { accept: "text/event-stream", ...(last === null ? {} : { "last-event-id": last }) };
      const response = await reach(path, { headers, signal: attempt.signal });
      told(null);
      for await (const event of parsed(response.body, heard)) {
        if (event.event === "problem") {
          const said = JSON.parse(event.data);
          wrong = new Problem(said.status, said.code, said.detail);
          break;
        }
        if (event.id !== undefined) last = event.id;
        wait = FIRST;
        yield event;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem) wrong = error;
      if (error instanceof Problem && !error.passes) throw error;
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", stop);
      document.removeEventListener("visibilitychange", hide);
      stop();
    }
    if (signal.aborted) return;
    if (document.hidden && rests()) continue;
    told(wrong);
    // Not all at once, where many wait for the same gateway.
    await pause(Math.max(wrong.retryAfter ?? 0, wait * (0.75 + Math.random() / 2)), signal);
    wait = Math.min(LONGEST, wait * 2);
  }
}
