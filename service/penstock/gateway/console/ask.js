// How is a question asked? A field for each input of the program; and once, whatever breaks.

import { act, pause, Problem } from "./api.js";
import { $, el, keyed, say, text } from "./dom.js";
import { asked } from "./followed.js";
import { seconds } from "./format.js";
import { all, programs } from "./programs.js";

const TRIES = 5;

/** Where no member has said what it serves. */
const UNKNOWN = { name: "", inputs: ["question"], accepts: [] };

const chosen = () => all().find((program) => program.name === $("program").value) ?? UNKNOWN;

function choices() {
  const select = $("program");
  const before = select.value;
  const found = all();
  keyed(select, found.length ? found : [UNKNOWN], (program) => program.name, ({ name }) => el("option", { value: name }, name || "the service's own"));
  const standard = found.find((program) => program.default) ?? found[0];
  select.value = found.some((program) => program.name === before) ? before : (standard?.name ?? "");
  keyed($("by-program"), [{ name: "" }, ...found], (program) => program.name, ({ name }) => el("option", { value: name }, name || "every program"));
  fields();
}

function fields() {
  const { version, model, inputs, accepts, name } = chosen();
  text($("program-about"), name ? `model ${model}, version ${version}` : "No member has said yet what it serves.");
  const wanted = [...inputs.map((input) => [input, true]), ...accepts.filter((input) => !inputs.includes(input)).map((input) => [input, false])];
  keyed($("inputs"), wanted, (one) => one.join(), ([input, must], id = `input-${input}`) =>
    el("p", { class: "field" },
      el("label", { for: id }, input, must ? null : el("small", {}, " optional")),
      el("textarea", { id, name: input, rows: must ? 3 : 1, required: must, spellcheck: "true", placeholder: input === "question" ? "Why is the sky blue?" : null })));
}

const key = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** What was sent last, as long as nobody has said that it arrived. */
let sent = { said: null, key: null };

/**
 * The same key again gives the same question: one that broke on its way is not paid for twice, and
 * neither is one that somebody sends again because it broke.
 */
async function send(body) {
  const said = JSON.stringify(body);
  if (sent.said !== said) sent = { said, key: key() };
  const headers = { "idempotency-key": sent.key };
  for (let attempt = 1; ; attempt++) {
    try {
      const asked = await act("POST", "/v1/questions", body, headers);
      sent = { said: null, key: null };
      return asked;
    } catch (error) {
      if (!(error instanceof Problem) || attempt === TRIES || !(error.status === 0 || error.status >= 500)) throw error;
      say($("ask-said"), `${error.message} Asking again; it is asked only once.`);
      await pause(error.retryAfter ?? attempt);
    }
  }
}

function wrong(error) {
  if (error.status !== 429) return error.message;
  return `Too much is asked: ${error.message}. Try again${error.retryAfter ? ` in ${seconds(error.retryAfter)}` : " later"}.`;
}

async function ask(form) {
  const button = form.querySelector("button");
  const { name } = chosen();
  const inputs = {};
  for (const field of form.querySelectorAll("textarea")) {
    if (field.value.trim() || field.required) inputs[field.name] = field.value;
  }
  button.disabled = true;
  say($("ask-said"), "");
  try {
    const { id } = await send(name ? { inputs, program: name } : { inputs });
    say($("ask-said"), "");
    for (const field of form.querySelectorAll("textarea")) field.value = "";
    asked(id, inputs);
  } catch (error) {
    say($("ask-said"), wrong(error));
  } finally {
    button.disabled = false;
  }
}

export function begin() {
  const form = $("ask");
  choices();
  programs.addEventListener("change", choices);
  $("program").addEventListener("change", fields);
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(form); });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !form.querySelector("button").disabled) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}
