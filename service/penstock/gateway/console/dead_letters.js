// What could not be answered, why, and what may be done about it?

import { get, pause } from "./api.js";
import { confirmed } from "./dialogs.js";
import { $, el, keyed, row, say, text, toast } from "./dom.js";
import { follow } from "./followed.js";
import { count, counted, moment, NONE, time } from "./format.js";
import { closed, operate, seen } from "./operators.js";
import { bytes } from "./record.js";

const PAGE = 50;
const TURNS = 20;

const at = ({ partition, offset }) => `${partition}/${offset}`;
const address = (letter) => `#dead-letters/${at(letter)}`;

let found = [];
let next = null;
let chosen = null;

function make(one) {
  const node = row(["", "", "id", "number wide", "number wide"]);
  node.cells[1].append(el("b", {}), " ", el("code"), el("br"), el("span", { class: "faint line-clamp" }));
  node.cells[2].append(el("a", { href: address(one) }));
  node.addEventListener("click", (event) => {
    if (event.target.tagName !== "A" && getSelection().isCollapsed) location.hash = address(one);
  });
  return node;
}

function update(node, one) {
  const [when, cause, question, attempts, redrives] = node.cells;
  text(when, time(one.at));
  when.title = moment(one.at);
  text(cause.children[0], one.kind ?? "unknown");
  text(cause.children[1], one.code);
  text(cause.children[3], one.message);
  text(question.firstChild, one.question_id ?? at(one));
  question.firstChild.title = `dead letter ${at(one)}`;
  text(attempts, count(one.attempts));
  text(redrives, count(one.redrives));
  node.classList.toggle("chosen", at(one) === chosen);
}

function draw() {
  keyed($("letters").tBodies[0], found, at, make, update);
  $("letters-older").hidden = next === null;
}

let looks = 0;

async function look(before = null) {
  const mine = ++looks;
  const query = new URLSearchParams({ limit: PAGE });
  if (before !== null) query.set("before", before);
  if ($("by-kind").value) query.set("kind", $("by-kind").value);
  if ($("by-code").value.trim()) query.set("code", $("by-code").value.trim());
  try {
    const page = await seen(`/v1/dead-letters?${query}`);
    // Another filter was chosen meanwhile.
    if (mine !== looks) return;
    found = before === null ? page.dead_letters : [...found, ...page.dead_letters];
    next = page.next;
    const filtered = query.has("kind") || query.has("code");
    say($("letters-said"), found.length ? "" : next ? "None so far: there are older ones." : filtered ? "No dead letter is like that." : "There are no dead letters: everything that was asked has been answered, cancelled, or still runs.");
  } catch (error) {
    if (mine !== looks) return;
    [found, next] = [[], null];
    closed($("letters-said"), error);
  }
  draw();
}

function told(letter) {
  const facts = [
    ["question", letter.question_id],
    ["program", letter.program],
    ["from", letter.source && `${letter.source.topic ?? ""} partition ${letter.source.partition}, offset ${count(letter.source.offset)}`],
    ["group", letter.source?.group],
    ["since", moment(letter.at)],
    ["attempts", count(letter.attempts)],
    ["redrives", count(letter.redrives)],
  ];
  return el("dl", { class: "facts" }, facts.filter(([, said]) => said !== null && said !== undefined && said !== "").map(([name, said]) => [el("dt", {}, name), el("dd", {}, String(said))]));
}

function tried(attempts) {
  if (!attempts?.length) return null;
  const rows = attempts.map((one) => el("tr", {}, el("td", { class: "number" }, count(one.attempt)), el("td", {}, `${one.kind} ${one.code}`), el("td", {}, one.at ? time(one.at) : NONE)));
  return [el("h3", {}, "Attempts"), el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "number" }, "No."), el("th", { scope: "col" }, "Failed by"), el("th", { scope: "col" }, "At"))), el("tbody", {}, rows)))];
}

function headers(found) {
  return el("dl", { class: "facts" }, found.map(([name, said]) => [el("dt", {}, el("code", {}, name)), el("dd", {}, bytes(said))]));
}

async function open(where) {
  const room = $("letter");
  try {
    const letter = await seen(`/v1/dead-letters/${where}`);
    if (where !== chosen) return;
    const result = el("p", { role: "status" });
    const redrive = el("button", { type: "button", class: "main", click: () => again(letter, where, redrive, result) }, "Redrive…");
    room.replaceChildren(el("article", { class: "sheet" },
      el("header", { class: "row" }, el("h2", {}, `Dead letter ${where}`), el("span", { class: "push" }), redrive,
        el("a", { href: "#dead-letters", class: "quiet", "aria-label": "Close", title: "Close" }, "✕")),
      result,
      el("p", { class: "error" }, el("b", {}, letter.kind ?? "unknown"), " ", el("code", {}, letter.code ?? ""), " ", letter.message ?? ""),
      told(letter),
      tried(letter.tried),
      el("h3", {}, "Original record: value"), bytes(letter.value),
      el("h3", {}, "Key"), bytes(letter.key),
      el("h3", {}, counted(letter.headers.length, "header")), headers(letter.headers)));
    // Where it does not stand beside the list, but below.
    if (matchMedia("(max-width: 68rem)").matches) room.scrollIntoView({ block: "start" });
    room.focus({ preventScroll: true });
  } catch (error) {
    if (where !== chosen) return;
    const said = el("p", { class: "empty" });
    room.replaceChildren(el("div", { class: "sheet" }, said));
    closed(said, error);
  }
}

/** Until the gateway has read it: by the same id it knows one that has failed. */
async function read({ id, partition, offset }) {
  for (let turn = 0; turn < TURNS; turn++) {
    const found = await get(`/v1/questions/${encodeURIComponent(id)}`).catch(() => null);
    if (found?.partition === partition && found.offset === offset) return;
    await pause(0.25);
  }
}

async function again(letter, where, button, result) {
  const what = "Its original record goes back to the questions as it was, and is answered, and paid for, once more. The dead letter stays where it is, and does not go back a second time.";
  if (!(await confirmed(`Redrive dead letter ${where}?`, what, "Redrive it"))) return;
  button.disabled = true;
  try {
    const { question } = await operate("POST", `/v1/dead-letters/${where}/redrive`);
    const to = el("button", { type: "button", class: "small", disabled: true, click: () => follow(question.id, { anew: true }) }, "Follow it");
    result.replaceChildren(`It is asked again: ${question.topic} partition ${question.partition}, offset ${count(question.offset)}. `, to);
    result.className = "good";
    toast(`Redriven: ${question.id}`);
    look();
    await read(question);
    to.disabled = false;
  } catch (error) {
    result.replaceChildren(error.message);
    result.className = "error";
    button.disabled = false;
  }
}

/** `where`: the one that the address names. */
export function show(where, anew) {
  if (anew) look();
  if (where === chosen && !anew) return;
  chosen = where;
  draw();
  if (where) open(where);
  else $("letter").replaceChildren();
}

export function begin() {
  $("letters-again").addEventListener("click", () => look());
  $("letters-older").addEventListener("click", () => look(next));
  for (const filter of ["by-kind", "by-code"]) $(filter).addEventListener("change", () => look());
}
