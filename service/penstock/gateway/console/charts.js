// How has it gone in the last five minutes? Lines in a box, drawn as SVG by hand.

import { get } from "./api.js";
import { $, el, svg, text } from "./dom.js";
import { ms, rate, time } from "./format.js";
import { every } from "./live.js";

const WIDTH = 300;
const HEIGHT = 64;
/** Room for what the top of the scale is. */
const ABOVE = 13;
const EVERY = 5;

/** The history counts by steps of so many seconds. */
const perSecond = (count) => count / EVERY;
const asIs = (value) => value;

/** Each line: its name, its class, and its values out of the history. */
const CHARTS = [
  { title: "Questions per second", of: perSecond, says: rate, tops: String, lines: [["asked", "accent", "asked"], ["ended", "plain", "ended"], ["failed", "bad", "failed"]] },
  { title: "Tokens per second", of: perSecond, says: rate, tops: String, lines: [["tokens", "accent", "tokens"]] },
  { title: "Duration", of: asIs, says: ms, tops: ms, lines: [["p50", "accent", "p50_ms"], ["p95", "plain", "p95_ms"]] },
];

/** The least round number above it. */
function ceiling(most) {
  if (!(most > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * size).find((top) => top >= most);
}

/** A path; where nothing was measured it has a gap. */
function line(values, top) {
  const at = (value, i) => `${((i / (values.length - 1)) * WIDTH).toFixed(1)} ${(HEIGHT - 2 - (value / top) * (HEIGHT - 2 - ABOVE)).toFixed(1)}`;
  let pen = "M";
  let path = "";
  values.forEach((value, i) => {
    if (value === null) { pen = "M"; return; }
    // One alone between gaps is seen as a dot.
    path += `${pen}${at(value, i)}${pen === "M" ? `L${at(value, i)}` : ""}`;
    pen = "L";
  });
  return path;
}

class Chart {
  constructor(kind) {
    this.kind = kind;
    this.values = null;
    this.top = el("span", { class: "top" });
    this.figures = kind.lines.map(() => el("b"));
    this.when = el("span", { class: "when" });
    this.paths = kind.lines.map(([, tone]) => svg("path", { class: `line ${tone}` }));
    this.cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
    const base = svg("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT - 2, y2: HEIGHT - 2 });
    this.box = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", tabindex: 0,
      pointermove: (event) => this.point(event), pointerleave: () => this.show(null), blur: () => this.show(null),
      keydown: (event) => this.step(event),
    }, base, ...this.paths.toReversed(), this.cursor);
    const legend = kind.lines.map(([name, tone], i) => el("span", { class: `key ${tone}` }, `${name} `, this.figures[i]));
    this.node = el("figure", { class: "sheet chart" },
      el("figcaption", {}, el("h3", {}, kind.title), this.when),
      el("div", { class: "plot" }, this.box, this.top),
      el("p", { class: "legend" }, legend));
  }

  take(history) {
    // The last step is not over: it would look as if all went down.
    this.seconds = history.seconds.slice(0, -1);
    this.values = this.kind.lines.map(([, , name]) => history[name].slice(0, -1).map((value) => (value === null ? null : this.kind.of(value))));
    const most = Math.max(...this.values.flat().map((value) => value ?? 0));
    const top = ceiling(most);
    this.paths.forEach((path, i) => path.setAttribute("d", line(this.values[i], top)));
    text(this.top, most > 0 ? this.kind.tops(top) : "");
    const last = this.kind.lines.map(([name], i) => `${name} ${this.kind.says(this.values[i].at(-1))}`);
    this.box.setAttribute("aria-label", `${this.kind.title}, the last five minutes. Now: ${last.join(", ")}. Arrow keys go back in time.`);
    this.show(this.at ?? null);
  }

  point(event) {
    if (!this.values) return;
    const box = this.box.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    this.show(Math.min(this.seconds.length - 1, Math.max(0, Math.round(part * (this.seconds.length - 1)))));
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !this.values) return;
    event.preventDefault();
    const last = this.seconds.length - 1;
    this.show(Math.min(last, Math.max(0, (this.at ?? last) + by)));
  }

  /** The figures of a moment; null: of the last one. */
  show(at) {
    this.at = at;
    if (!this.values) return;
    const i = at ?? this.seconds.length - 1;
    this.figures.forEach((node, k) => text(node, this.kind.says(this.values[k][i])));
    text(this.when, at === null ? "5 min" : time(this.seconds[i] * 1000));
    const x = (i / (this.seconds.length - 1)) * WIDTH;
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.cursor.setAttribute("visibility", at === null ? "hidden" : "visible");
  }
}

export function begin(shown) {
  const charts = CHARTS.map((kind) => new Chart(kind));
  $("charts").append(...charts.map((chart) => chart.node));
  every(EVERY, shown, async () => {
    const history = await get("/v1/history");
    charts.forEach((chart) => chart.take(history));
  });
}
