// What has to be seen first? What is away, what is shut, what is paused.

import { confirmed } from "./dialogs.js";
import { $, el, keyed, say, setState, text, toast } from "./dom.js";
import { age, count, counted, NONE, rate, seconds, spread, time } from "./format.js";
import { live, now, stale, trouble } from "./live.js";
import { operate } from "./operators.js";
import { token, wanted } from "./token.js";

const SILENT = "silent";

/** [{name, kind, says, act?: [label, function]}], the worst first. */
function headlines() {
  const found = [];
  const { seen } = now;
  const wrong = trouble();
  const old = stale();
  if (wrong && !wrong.passes) {
    found.push({
      name: "refused",
      kind: "bad",
      says: wrong.status === 401 ? "The gateway lets nobody in without a token." : `The gateway refuses: ${wrong.message}`,
      act: ["Enter a token", () => wanted(token() ? "refused" : "unknown")],
    });
  } else if (wrong || old !== null) {
    const since = old === null ? "" : ` What you see is ${age(old)} old.`;
    const why = wrong ? wrong.message : "The gateway says nothing any more.";
    found.push({ name: "away", kind: "bad", says: `${why} Trying again.${since} Is penstock gateway running?` });
  }
  if (!seen) return found;
  if (seen.why_not) {
    const since = seen.status ? ` What you see of it is of ${time(seen.status.at)}.` : " Is it started? penstock serve";
    found.push({ name: "unseen", kind: "warn", says: `The service cannot be seen: ${seen.why_not}.${since}` });
  }
  if (seen.status) found.push(...ofService(seen.status));
  return found;
}

function* ofService(status) {
  const up = status.members.filter((member) => member.state !== SILENT);
  if (!up.length && status.totals.backlog > 0) {
    yield { name: "nobody", kind: "bad", says: `Nobody answers: ${counted(status.totals.backlog, "question")} wait and no member is there. Start one: penstock serve` };
  }
  yield* gates(up);
  const shut = new Map();
  for (const member of up) {
    for (const [name, model] of Object.entries(member.report?.models ?? {})) {
      if (model.shut) shut.set(`${name}\n${model.shut}`, (shut.get(`${name}\n${model.shut}`) ?? 0) + 1);
    }
  }
  for (const [both, members] of shut) {
    const [name, why] = both.split("\n");
    yield { name: `model/${both}`, kind: "warn", says: `The model ${name} is not called: ${WHY[why] ?? why}, on ${counted(members, "member")}. Questions wait.` };
  }
  for (const pause of status.pauses) {
    const reason = pause.value?.reason ? `: ${pause.value.reason}` : "";
    yield { name: `pause/${pause.scope}`, kind: "warn", says: `Paused for ${age(pause.seconds)}: ${scope(pause.scope)}${reason}`, act: ["Resume", () => resume(pause.scope)] };
  }
}

const WHY = { failing: "it fails (the breaker is open)", rate_limited: "its provider says it is too much" };

/** One for each kind of failure, whatever the members' messages say. */
function* gates(members) {
  const shut = new Map();
  for (const { report } of members) {
    if (!report?.gate_shut) continue;
    const name = report.gate_cause ? `${report.gate_cause.kind} ${report.gate_cause.code}` : "";
    shut.set(name, [...(shut.get(name) ?? []), report.gate_cause]);
  }
  for (const [name, causes] of shut) {
    const why = name ? `: ${name}, “${causes[0].message.trim()}”` : "";
    yield {
      name: `gate/${name}`,
      kind: "bad",
      says: `Gate shut on ${causes.length} of ${counted(members.length, "member")}${why}. Nothing new starts. See to the cause, then open it.`,
      act: ["Open the gate…", openGate],
    };
  }
}

async function openGate() {
  const what = "Questions are asked again, by all members. If the cause is still there, they fail, and the gate shuts again. A pause of everything is taken back as well.";
  if (await confirmed("Open the gate?", what, "Open it")) await resume("all");
}

/** In words. */
export function scope(name) {
  const [kind, of] = [name.split("/", 1)[0], name.slice(name.indexOf("/") + 1)];
  return { all: "everything", partition: `partition ${of}`, program: `program ${of}` }[kind] ?? name;
}

const path = (name) => `/v1/pauses/${name.split("/").map(encodeURIComponent).join("/")}`;

export async function resume(name) {
  await tried(`Resuming ${scope(name)}: members follow within seconds.`, "DELETE", path(name));
}

export async function pause(name) {
  const what = "Nothing new of it is started, by any member. What runs may finish; what comes waits.";
  const meant = await confirmed(`Pause ${scope(name)}?`, what, "Pause", { reason: true });
  if (meant) await tried(`Pausing ${scope(name)}: members follow within seconds.`, "POST", path(name), meant);
}

async function tried(message, ...request) {
  try {
    await operate(...request);
    toast(message);
  } catch (error) {
    toast(error.message, "bad");
  }
}

function make({ kind, act: action }) {
  const button = action && el("button", { type: "button", click: action[1] }, action[0]);
  return el("p", { class: `notice ${kind}` }, el("span"), button ?? null);
}

function connection() {
  const [name, says] = trouble() || stale() !== null ? ["failed", "away"] : !now.seen ? ["queued", "connecting"] : ["completed", "live"];
  const node = $("connection");
  if (!node.firstChild) node.append(el("span", { class: "state" }));
  setState(node.firstChild, name);
  text(node.firstChild, says);
}

/** [name, figure, what it means] */
function figures({ status, rates, wait_seconds: wait }) {
  const totals = status?.totals;
  return [
    ["Running", totals ? `${count(totals.in_flight)} / ${count(totals.slots)}` : NONE, "Questions that run, of the slots of all members"],
    ["Backlog", count(totals?.backlog), "Questions that are not done"],
    ["Lag", count(totals?.lag), "Records from the commits on"],
    ["Wait", totals?.slots ? seconds(wait) : NONE, "How long a question that is asked now would wait for its start"],
    ["Asked", `${rate(rates?.asked_per_second)}/s`, "Questions asked, over the last minute"],
    ["Ended", `${rate(rates?.ended_per_second)}/s`, "Questions that ended, over the last minute"],
    ["Failed", `${rate(rates?.failed_per_second)}/s`, "Questions that failed or expired, over the last minute", rates?.failed_per_second > 0],
    ["Tokens", `${rate(rates?.tokens_per_second)}/s`, "Token events, over the last minute"],
    ["First token", spread(rates?.first_token_ms), "From the start to the first token: half are faster than the first figure, 95 of 100 than the second"],
    ["Duration", spread(rates?.duration_ms), "From the start to the end: half are faster than the first figure, 95 of 100 than the second"],
  ];
}

const tile = ([name, , what]) => el("div", { class: "figure", title: what }, el("span", {}, name), el("b"));

export function begin() {
  live.addEventListener("change", () => {
    keyed($("headlines"), headlines(), (one) => one.name, make, (node, one) => text(node.firstChild, one.says));
    connection();
    document.body.classList.toggle("stale", stale() !== null);
    if (!now.seen) return;
    keyed($("figures"), figures(now.seen), ([name]) => name, tile, (node, [, figure, , bad]) => {
      text(node.lastChild, figure);
      node.classList.toggle("bad", bad === true);
    });
    const dead = now.seen.status?.dead_letters?.last_hour ?? 0;
    say($("dead-count"), dead ? count(dead) : "");
    $("dead-count").title = `${counted(dead, "dead letter")} in the last hour, at most`;
  });
}
