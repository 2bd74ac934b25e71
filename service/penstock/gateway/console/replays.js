// What has a replay changed? Its figures beside the original's, and the words that differ.

import { pause } from "./api.js";
import { $, el, keyed, row, say, text } from "./dom.js";
import { count, counted, moment, ms, NONE, time, value } from "./format.js";
import { closed, seen } from "./operators.js";
import { wordDiff } from "./word_diff.js";

const LIMIT = 100;
const SIDES = ["original", "replay"];
const MEANS = {
  changed: "answered both times, with other outputs",
  newly_failed: "answered, and not by the replay",
  newly_fixed: "answered by the replay alone",
  both_failed: "answered neither time",
  original_unanswered: "nothing to compare the answer with",
  equal: "answered both times, with the same outputs",
};
const words = (outcome) => outcome.replaceAll("_", " ");

let chosen = null;

function make(one) {
  const node = row(["id", "", "", "", "number", ""]);
  node.cells[0].append(el("a", { href: `#replays/${encodeURIComponent(one.id)}` }, one.id));
  return node;
}

function update(node, one) {
  const [, made, program, model, questions, progress] = node.cells;
  text(made, time(one.created_at));
  made.title = moment(one.created_at);
  text(program, one.program ?? "as asked");
  text(model, one.model ?? "as set");
  text(questions, count(one.total));
  const { done, over } = one.progress ?? {};
  text(progress, one.progress ? `${count(done)} done${over ? ", over" : ""}` : NONE);
  node.classList.toggle("chosen", one.id === chosen);
}

async function look() {
  try {
    const { replays } = await seen("/v1/replays");
    keyed($("replays").tBodies[0], replays, (one) => one.id, make, update);
    say($("replays-said"), replays.length ? "" : "Nothing was replayed yet. A replay asks past questions again, with another program or model, and compares: penstock replay --help");
  } catch (error) {
    keyed($("replays").tBodies[0], [], () => "", make);
    closed($("replays-said"), error);
  }
}

function* rows(summary) {
  for (const name of ["duration_ms", "first_token_ms"]) {
    for (const part of ["p50", "p90", "mean"]) {
      yield [`${words(name.replace(/_ms$/, ""))}, ${part}`, ms, summary[name]?.original[part], summary[name]?.replay[part]];
    }
  }
  for (const name of ["prompt_tokens", "completion_tokens", "total_tokens"]) {
    yield [words(name), count, summary.usage?.original[name], summary.usage?.replay[name]];
  }
}

function figures(summary) {
  const cells = ([name, says, before, after]) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "number" }, says(before)), el("td", { class: "number" }, says(after)),
      el("td", { class: "number" }, before && after !== null && after !== undefined ? `×${(after / before).toFixed(2)}` : ""));
  return el("div", { class: "scroll" }, el("table", { class: "compared" },
    el("thead", {}, el("tr", {}, ["", "original", "replay", ""].map((name) => el("th", { scope: "col", class: "number" }, name)))),
    el("tbody", {}, [...rows(summary)].map(cells))));
}

function outcomes(summary) {
  const found = Object.entries(summary.outcomes).filter(([, number]) => number);
  return el("ul", { class: "plain outcomes" }, found.map(([outcome, number]) =>
    el("li", { class: outcome, title: MEANS[outcome] }, el("b", {}, count(number)), ` ${words(outcome)}`)));
}

function* notes(id, summary, more, cut) {
  if (cut) yield `Not all of it was compared: that would take too much ${cut} here. On a terminal: penstock compare ${id}`;
  if (summary.not_replayed) yield `${counted(summary.not_replayed, "question")} have no answer of the replay yet.`;
  if (more) yield `${counted(more, "difference")} more are not shown. All of them: penstock compare ${id} --html compared.html`;
}

const TAGS = { gone: "del", new: "ins" };

const diff = (before, after) =>
  wordDiff(before, after).map(([kind, piece]) => (TAGS[kind] ? el(TAGS[kind], {}, piece) : piece));

const field = (name, ...said) => [el("dt", {}, name), el("dd", {}, ...said)];

function ended(said) {
  if (said?.status === "completed") return Object.entries(said.outputs ?? {}).map(([name, found]) => el("p", {}, el("small", {}, `${name} `), value(found)));
  const error = said?.error;
  return [el("span", { class: "error" }, error ? `${error.kind} ${error.code}: ${error.message}` : (said?.status ?? "no answer"))];
}

function outputs({ outcome, fields, original, replay }) {
  if (outcome !== "changed" && outcome !== "equal") return SIDES.map((side) => field(side, ended(side === "original" ? original : replay)));
  const [before, after] = [original?.outputs ?? {}, replay?.outputs ?? {}];
  const text = (side, name) => (name in side ? value(side[name]) : "");
  return Object.keys({ ...before, ...after }).map((name) =>
    field(name, ...(fields.includes(name) ? diff(text(before, name), text(after, name)) : [text(after, name)])));
}

function question(one) {
  return el("article", { class: `sheet compared ${one.outcome}` },
    el("h3", {}, el("b", {}, words(one.outcome)), " ", el("code", {}, one.question_id), el("small", {}, ` partition ${one.partition}, offset ${count(one.offset)}`)),
    el("dl", { class: "facts asked" }, Object.entries(one.inputs ?? { "": "It cannot be read." }).map(([name, said]) => field(name, value(said)))),
    el("dl", { class: "facts" }, outputs(one)));
}

async function open(id) {
  const room = $("compared");
  const said = el("p", { class: "empty" }, "Comparing …");
  room.replaceChildren(el("div", { class: "sheet" }, said));
  try {
    const { summary, questions, more, cut_off: cut } = await seen(`/v1/replays/${encodeURIComponent(id)}/compare?limit=${LIMIT}`);
    if (id !== chosen) return;
    const programs = SIDES.map((side) => field(side, Object.keys(summary.programs[side]).join(", ") || "nobody"));
    room.replaceChildren(el("div", { class: "sheet" },
      el("h2", {}, `Replay ${id} beside the original`),
      el("dl", { class: "facts" }, programs, field("questions", count(summary.questions))),
      outcomes(summary), figures(summary),
      el("ul", { class: "plain faint" }, [...notes(id, summary, more, cut)].map((note) => el("li", {}, note)))));
    // A few at a time: the words of long texts take a while to compare.
    for (const one of questions) {
      if (id !== chosen) return;
      room.append(question(one));
      await pause(0);
    }
  } catch (error) {
    closed(said, error);
  }
}

/** `id`: the one that the address names. */
export function show(id, anew) {
  if (anew) look();
  if (id === chosen && !anew) return;
  chosen = id;
  for (const link of $("replays").tBodies[0].querySelectorAll("a")) link.closest("tr").classList.toggle("chosen", link.textContent === id);
  if (id) open(id);
  else $("compared").replaceChildren();
}

export function begin() {
  $("replays-again").addEventListener("click", look);
}
