// Who answers, from which partitions, and what holds it up?

import { $, el, keyed, row, say, setState, state, text } from "./dom.js";
import { age, count, counted, NONE, ranges, seconds } from "./format.js";
import { pause, resume, scope } from "./headlines.js";
import { live, now } from "./live.js";

const SILENT = "silent";

function memberState({ state: name, silent_seconds: silent, report }) {
  if (silent !== null) return `silent for ${age(silent)}`;
  const notes = [name];
  if (report?.gate_shut) notes.push("gate shut");
  if (report?.paused.length) notes.push(`paused ${ranges(report.paused)}`);
  if (report?.held) notes.push(`held ${report.held}`);
  return notes.join(", ");
}

function memberRow() {
  const node = row(["", "id", "", "", "", "number", "", "number", "number"]);
  node.cells[0].append(state(""));
  node.cells[6].append(el("meter", { min: 0 }));
  return node;
}

function member(node, one) {
  const { report } = one;
  const silent = one.state === SILENT;
  const [mark, name, host, version, partitions, running, slots, waiting, oldest] = node.cells;
  setState(mark.firstChild, one.state);
  text(mark.firstChild, memberState(one));
  text(name, one.name);
  name.title = one.name;
  text(host, report?.host ?? one.host);
  text(version, report?.version ?? NONE);
  text(partitions, ranges(one.partitions) || "none");
  text(running, report ? `${count(report.in_flight)} / ${count(report.slots)}` : NONE);
  const meter = slots.firstChild;
  meter.hidden = !report || silent;
  if (report) {
    [meter.max, meter.value] = [Math.max(1, report.slots), report.in_flight];
    meter.setAttribute("aria-label", `${report.in_flight} of ${report.slots} slots run`);
  }
  text(waiting, report ? count(report.waiting) : NONE);
  text(oldest, report?.oldest_running ? seconds(report.oldest_running.seconds) : NONE);
  oldest.title = report?.oldest_running?.question_id ?? "";
  node.classList.toggle("faint", silent);
}

const BREAKERS = { failing: "failing", rate_limited: "rate limited" };

function* models(members) {
  for (const { name, state: how, report } of members) {
    if (!report || how === SILENT) continue;
    for (const [model, told] of Object.entries(report.models)) {
      const by = Object.entries(report.programs ?? {}).filter(([, served]) => served.model === model).map(([program]) => program);
      yield { member: name, model, ...told, slots: report.slots, by };
    }
  }
}

function model(node, one) {
  const [mark, name, where, limit, by] = node.cells;
  setState(mark.firstChild, one.shut ? "failed" : "completed");
  text(mark.firstChild, one.shut ? (BREAKERS[one.shut] ?? one.shut) : "closed");
  text(name, one.model);
  text(where, one.member);
  where.title = one.member;
  text(limit, Math.round(one.limit) >= one.slots ? `${count(Math.round(one.limit))} (no limit found)` : count(Math.round(one.limit)));
  text(by, one.by.join(", ") || NONE);
}

function partitionRow({ partition }) {
  const node = row(["number", "number", "number", "number", "number", "number", "id", "", "number"], { "data-partition": partition });
  node.cells[7].append(state(""));
  node.cells[8].append(el("button", { type: "button", class: "small" }));
  return node;
}

function partition(node, one, paused) {
  const [number, lag, backlog, end, committed, elsewhere, owner, mark, action] = node.cells;
  text(number, one.partition);
  text(lag, count(one.lag));
  text(backlog, count(one.backlog));
  text(end, count(one.end));
  text(committed, count(one.committed));
  text(elsewhere, count(one.elsewhere.length));
  elsewhere.title = one.elsewhere.map(({ offset, runner, seconds: long }) => `offset ${offset}: ${runner}, for ${seconds(long)}`).join("\n");
  text(owner, one.owner ?? "nobody");
  owner.title = one.owner ?? "";
  owner.classList.toggle("warn", one.owner === null);
  // An operator's pause stands in the control topic; a full inbox holds a partition up by itself.
  const name = `partition/${one.partition}`;
  const [how, says] = paused.has(name) || paused.has("all") ? ["expired", "paused"] : one.paused ? ["queued", "held up"] : ["completed", "fetched"];
  setState(mark.firstChild, how);
  text(mark.firstChild, says);
  mark.firstChild.title = says === "held up" ? "Enough of it is waiting: no more is fetched until some is done." : "";
  const button = action.firstChild;
  text(button, paused.has(name) ? "Resume" : "Pause…");
  button.setAttribute("aria-label", `${paused.has(name) ? "Resume" : "Pause"} partition ${one.partition}`);
  button.onclick = () => (paused.has(name) ? resume : pause)(name);
}

function pauseLine(one) {
  return el("li", { class: "row" }, state("expired"), el("span", {}), el("button", { type: "button", class: "small", click: () => resume(one.scope) }, "Resume"));
}

function standing(node, one) {
  const [mark, says] = node.children;
  text(mark, scope(one.scope));
  text(says, [`for ${age(one.seconds)}`, one.value?.reason].filter(Boolean).join(": "));
}

/** What may be paused as a whole. */
function scopes(status) {
  const programs = new Set(status.members.flatMap(({ report }) => Object.keys(report?.programs ?? {})));
  return ["all", ...[...programs].sort().map((name) => `program/${name}`)];
}

export function begin(shown) {
  $("pause").addEventListener("click", () => pause($("pause-scope").value));
  const draw = () => {
    if (!shown()) return;
    const status = now.seen?.status;
    $("service-there").hidden = !status;
    say($("service-said"), status ? "" : now.seen
      ? `Nobody has answered yet as far as can be seen (${now.seen.why_not}). Start the service: penstock serve`
      : "It is being looked …");
    if (!status) return;
    const paused = new Set(status.pauses.map((one) => one.scope));
    keyed($("pause-scope"), scopes(status), (name) => name, (name) => el("option", { value: name }, scope(name)));
    keyed($("pauses"), status.pauses.length ? status.pauses : [{ scope: "" }], (one) => one.scope,
      (one) => (one.scope ? pauseLine(one) : el("li", { class: "faint" }, "Nothing is paused.")),
      (node, one) => { if (one.scope) standing(node, one); });
    keyed($("members").tBodies[0], status.members, (one) => one.name, memberRow, member);
    keyed($("models").tBodies[0], [...models(status.members)], (one) => `${one.member}\n${one.model}`, () => {
      const node = row(["", "", "id", "number", ""]);
      node.cells[0].append(state(""));
      return node;
    }, model);
    keyed($("partitions").tBodies[0], status.partitions, (one) => one.partition, partitionRow, (node, one) => partition(node, one, paused));
    text($("members-title"), `Members of ${status.group}: ${status.state}, ${counted(status.members.length, "member")}`);
  };
  live.addEventListener("change", draw);
  return draw;
}
