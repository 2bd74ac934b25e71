// How are numbers and times read by people?

const whole = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const NONE = "–";

export const count = (number) => (number === null || number === undefined ? NONE : whole.format(number));

export const counted = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;

/** A rate: as many digits as say something. */
export function rate(number) {
  if (number === null || number === undefined) return NONE;
  if (number >= 100) return whole.format(Math.round(number));
  return number >= 10 ? number.toFixed(1) : number.toFixed(number === 0 ? 0 : 2);
}

export function ms(number) {
  if (number === null || number === undefined) return NONE;
  if (number < 1000) return `${Math.round(number)} ms`;
  return seconds(number / 1000);
}

export function seconds(number) {
  if (number === null || number === undefined) return NONE;
  if (number < 10) return `${number === 0 ? 0 : number.toFixed(number < 1 ? 2 : 1)} s`;
  if (number < 60) return `${Math.round(number)} s`;
  const minutes = Math.floor(number / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(number % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Two figures of the same unit. */
export function spread(found) {
  if (!found) return NONE;
  const { p50, p95 } = found;
  if (p95 < 1000) return `${Math.round(p50)} / ${Math.round(p95)} ms`;
  const short = (number) => (number / 1000).toFixed(p95 < 100_000 ? 1 : 0);
  return `${short(p50)} / ${short(p95)} s`;
}

/** How long something has lasted: whole seconds, for what is said anew at every look. */
export const age = (number) => seconds(number < 10 ? Math.floor(number) : number).replace(/^(\d)\.\d+ s$/, "$1 s");

/** Of a Unix time in milliseconds, or of RFC 3339. Today's without the day. */
export function time(at) {
  if (at === null || at === undefined) return NONE;
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : day.format(date);
}

/** Whole, for whoever points at it. */
export const moment = (at) => (at === null || at === undefined ? null : new Date(at).toISOString());

/** `0-2,5`. */
export function ranges(numbers) {
  const runs = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

/** An output, or an input. */
export const value = (said) => (typeof said === "string" ? said : JSON.stringify(said, null, 2));
