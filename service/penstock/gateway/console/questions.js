// What was asked lately, and how does it stand?

import { get, Problem } from "./api.js";
import { follow, followed } from "./followed.js";
import { $, el, keyed, row, say, setState, state, text } from "./dom.js";
import { count, moment, ms, NONE, time } from "./format.js";
import { every, gatewayTime } from "./live.js";

const EVERY = 2;
const OPEN = new Set(["queued", "running"]);

function make(one) {
  const node = row(["", "id", "wide", "", "number wide", "number", "number wide"]);
  const [status, id] = node.cells;
  status.append(state(one.status));
  id.append(el("a", { href: "#", click: (event) => { event.preventDefault(); follow(one.id); } }, one.id));
  id.firstChild.title = one.id;
  node.addEventListener("click", (event) => {
    // Who marks a text means the text.
    if (event.target.tagName !== "A" && getSelection().isCollapsed) follow(one.id);
  });
  return node;
}

function update(node, one) {
  const [status, , program, asked, first, took, at] = node.cells;
  setState(status.firstChild, one.status);
  status.title = one.code ?? "";
  text(program, one.program);
  text(asked, time(one.asked_at));
  asked.title = moment(one.asked_at);
  const open = OPEN.has(one.status);
  const heard = one.first_token_at === null ? null : Math.max(0, one.first_token_at - one.asked_at);
  text(first, ms(one.first_token_ms ?? heard));
  // Until it has ended nobody tells how long it was queued.
  first.classList.toggle("faint", open);
  text(took, open ? ms(Math.max(0, gatewayTime() - one.asked_at)) : ms(one.duration_ms));
  took.classList.toggle("faint", open);
  text(at, one.partition === null || one.partition === undefined ? NONE : `${one.partition}/${count(one.offset)}`);
  node.classList.toggle("chosen", followed().includes(one.id));
}

function nothing(filtered) {
  return filtered
    ? "None of those that are known is like that."
    : "Nobody has asked yet. Write a question on this page, or on a terminal: penstock ask \"Why is the sky blue?\"";
}

export function begin(shown) {
  const [status, program, many] = ["by-status", "by-program", "how-many"].map($);
  const body = $("questions").tBodies[0];
  const look = every(EVERY, shown, async () => {
    const query = new URLSearchParams({ limit: many.value });
    if (status.value) query.set("status", status.value);
    if (program.value) query.set("program", program.value);
    try {
      const { questions } = await get(`/v1/recent-questions?${query}`);
      keyed(body, questions, (one) => one.id, make, update);
      say($("questions-said"), questions.length ? "" : nothing(status.value || program.value));
    } catch (error) {
      if (error instanceof Problem && !error.passes) say($("questions-said"), error.message);
      throw error;
    }
  });
  for (const choice of [status, program, many]) choice.addEventListener("change", look);
  return look;
}
