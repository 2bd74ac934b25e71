// Which programs may be asked, and what do they want to know?

import { get } from "./api.js";
import { live, now } from "./live.js";
import { tokens } from "./token.js";

/** Tells `change` when others are known. */
export const programs = new EventTarget();

let known = [];
export const all = () => known;

/** The output that is its answer; null: nobody has said. */
export const answerOf = (name) => known.find((program) => program.name === name)?.answer ?? null;

/** What members say changes when they do: then it is asked for. */
const said = () =>
  JSON.stringify((now.seen?.status?.members ?? []).map(({ state, report }) => [state, report?.programs, report?.default_program]));

export function begin() {
  let before = null;
  let busy = false;
  const look = async () => {
    const found = said();
    if (busy || !now.seen || found === before) return;
    busy = true;
    try {
      known = (await get("/v1/programs")).programs;
      before = found;
      programs.dispatchEvent(new Event("change"));
    } catch { /* It is asked for again at the next look. */ }
    busy = false;
  };
  live.addEventListener("change", look);
  tokens.addEventListener("change", () => { before = null; });
}
