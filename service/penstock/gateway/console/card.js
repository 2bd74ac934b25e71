// What is said of one question? As it streams, and when it has ended.

import { act, Problem } from "./api.js";
import { el, say, setState, state, text, toast } from "./dom.js";
import { count, moment, ms, seconds, time, value } from "./format.js";
import { gatewayTime } from "./live.js";

/** Lines of what the program tells of its steps. */
const LINES = 5;

const KINDS = {
  RECORD: "The question cannot be asked as it stands: correct it, and ask it anew.",
  ANSWER: "The program could not make an answer of what the model said.",
  UPSTREAM: "The model did not answer, or not well, as often as it was asked.",
  OPERATOR: "Something has to be set right by whoever runs the service.",
  DEADLINE: "Its time was up.",
};

const path = (id) => `/v1/questions/${encodeURIComponent(id)}`;

export class Card {
  /** `asked`: the inputs, where this tab knows them. `close`: it is followed no more. */
  constructor(id, asked, close, answerOf) {
    this.id = id;
    this.answerOf = answerOf;
    this.program = null;
    /** The output that is the answer, until somebody says. */
    this.answer = "answer";
    this.sections = new Map();
    this.open = true;
    this.begun = this.first = null;
    this.state = state("queued");
    this.about = el("p", { class: "about faint" });
    this.cancelling = el("button", { type: "button", click: () => this.cancel() }, "Cancel");
    const closing = el("button", { type: "button", class: "quiet", "aria-label": "Close", title: "Follow it no more", click: close }, "✕");
    this.inputs = el("dl", { class: "asked" });
    this.note = el("p", { class: "note faint", hidden: true });
    this.progress = el("ul", { class: "plain faint", hidden: true });
    // Screen readers are told when it is whole, and not at every token.
    this.said = el("div", { class: "said", "aria-live": "polite", "aria-busy": "true" });
    this.error = el("p", { class: "error", hidden: true });
    this.figures = el("p", { class: "figures faint" });
    this.node = el("article", { class: "sheet card", "aria-label": `Question ${id}` },
      el("header", {}, this.state, el("code", { class: "name", title: id }, id), this.cancelling, closing),
      this.about, this.inputs, this.note, this.progress, this.said, this.error, this.figures);
    for (const [name, said] of Object.entries(asked ?? {})) {
      this.inputs.append(el("dt", {}, name), el("dd", {}, value(said)));
    }
    this.ticking = setInterval(() => this.tick(), 250);
  }

  /** What the gateway knows of it before anything is said. */
  known(question) {
    this.program = question.program;
    this.begun = typeof question.asked_at === "number" ? question.asked_at : Date.parse(question.asked_at);
    text(this.about, this.program);
    if (this.open) setState(this.state, question.status);
    this.dimAll();
  }

  /** It was asked here, just now. */
  justAsked() {
    this.here = performance.now();
  }

  take({ event, data }) {
    const said = JSON.parse(data);
    this[`on_${event}`]?.(said);
  }

  on_token({ field, text: piece, step, call, output }) {
    if (this.open) setState(this.state, "running");
    if (this.first === null && this.here !== undefined) this.first = performance.now() - this.here;
    const name = `${step}\n${call}\n${field}`;
    const section = this.sections.get(name) ?? this.section(name, field, output, step, call);
    const down = this.said.scrollHeight - this.said.scrollTop - this.said.clientHeight < 8;
    section.text.appendData(piece);
    if (down) this.said.scrollTop = this.said.scrollHeight;
  }

  on_restart({ reason, attempt }) {
    this.drop();
    say(this.note, `Begun anew${attempt > 1 ? `, attempt ${attempt}` : ""}: ${reason}`);
  }

  on_status({ text: said }) {
    setState(this.state, "running");
    this.progress.hidden = false;
    this.progress.append(el("li", {}, said));
    if (this.progress.children.length > LINES) this.progress.firstElementChild.remove();
  }

  on_end({ status }) {
    setState(this.state, status);
  }

  on_completion(completion) {
    this.over();
    this.program = completion.program?.name ?? this.program;
    setState(this.state, completion.status);
    const { program, model } = completion;
    text(this.about, [program?.name, program?.version, model].filter(Boolean).join(" · ") || this.program);
    this.settle(completion.outputs ?? {});
    const { error } = completion;
    // Somebody has cancelled it: that is no failure, and its status says so.
    const failed = error && completion.status !== "cancelled";
    say(this.error, failed && `${error.kind} ${error.code}: ${error.message}`);
    if (failed && KINDS[error.kind]) this.error.append(el("br"), el("span", { class: "faint" }, KINDS[error.kind]));
    if (completion.dead_letter) this.error.append(" ", el("a", { href: "#dead-letters" }, "See the dead letters."));
    if (completion.partial) say(this.note, "What was said until its time was up.");
    text(this.figures, [...told(completion)].join(" · "));
    this.figures.title = moment(completion.source?.timestamp) ?? "";
  }

  /** How far reading it is trusted; null: all is well. */
  told(problem) {
    this.said.classList.toggle("broken", problem !== null);
    if (this.open) say(this.note, problem && `${problem.message} Trying again.`);
  }

  waits(says) {
    say(this.note, says);
  }

  failed(problem) {
    this.over();
    this.refused = problem.status === 401;
    const gone = problem.status === 404;
    setState(this.state, gone ? "unknown" : "unread");
    say(this.error, problem.message);
  }

  /** No timer runs for it any more. */
  over() {
    this.open = false;
    this.cancelling.hidden = true;
    this.said.setAttribute("aria-busy", "false");
    clearInterval(this.ticking);
  }

  async cancel() {
    this.cancelling.disabled = true;
    text(this.cancelling, "Cancelling…");
    try {
      await act("POST", `${path(this.id)}/cancel`);
    } catch (error) {
      if (error instanceof Problem) toast(error.message, "bad");
      this.cancelling.disabled = false;
      text(this.cancelling, "Cancel");
    }
  }

  section(name, field, output, step, call) {
    const section = { field, output, step, call, text: document.createTextNode("") };
    const from = step && step !== "self" ? `${step}${call ? ` ${call + 1}` : ""}` : "";
    section.node = el("section", {}, el("h3", {}, field, from ? el("small", {}, ` ${from}`) : null), el("p", {}, section.text));
    this.sections.set(name, section);
    this.dim(section);
    this.said.append(section.node);
    return section;
  }

  /** What is not the answer stands back. */
  dim({ field, node }) {
    node.classList.toggle("aside", field !== (this.answerOf(this.program) ?? this.answer));
  }

  dimAll() {
    for (const section of this.sections.values()) this.dim(section);
  }

  drop() {
    this.sections.clear();
    this.said.replaceChildren();
    this.progress.replaceChildren();
  }

  /** The outputs are what counts, whatever was streamed of them. */
  settle(outputs) {
    // As the service chooses it.
    if (!("answer" in outputs)) this.answer = Object.keys(outputs).filter((name) => typeof outputs[name] === "string").at(-1);
    for (const [field, said] of Object.entries(outputs)) {
      const streamed = [...this.sections.values()].filter((one) => one.output && one.field === field).at(-1);
      const section = streamed ?? this.section(`\n\n${field}`, field, true, "", 0);
      if (section.text.data.trim() !== value(said).trim()) section.text.data = value(said);
    }
    this.dimAll();
  }

  tick() {
    if (this.begun === null) return;
    const parts = [`asked ${time(this.begun)}`];
    if (this.first !== null) parts.push(`first token after ${ms(this.first)}`);
    parts.push(`${seconds(Math.max(0, (gatewayTime() - this.begun) / 1000))} so far`);
    text(this.figures, parts.join(" · "));
  }
}

function* told({ timing, usage, attempts, source }) {
  if (timing.queued_ms !== undefined) yield `queued ${ms(timing.queued_ms)}`;
  if (timing.first_token_ms !== null && timing.first_token_ms !== undefined) yield `first token ${ms(timing.first_token_ms)}`;
  if (timing.duration_ms !== null && timing.duration_ms !== undefined) yield `took ${ms(timing.duration_ms)}`;
  if (usage?.total_tokens) {
    yield `${usage.estimated ? "about " : ""}${count(usage.prompt_tokens)} tokens in, ${count(usage.completion_tokens)} out`;
  }
  if (attempts > 1) yield `${attempts} attempts`;
  if (source) yield `partition ${source.partition}, offset ${count(source.offset)}`;
}
