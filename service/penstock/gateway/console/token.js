// Who sits here? His token: in this tab alone, and never in an address.

import { askForToken } from "./dialogs.js";

const NAME = "penstock-token";

/** Tells `change` when there is another one, or none any more. */
export const tokens = new EventTarget();

export const token = () => sessionStorage.getItem(NAME);

export const authorization = () => (token() ? { authorization: `Bearer ${token()}` } : {});

function keep(value) {
  if (value) sessionStorage.setItem(NAME, value);
  else sessionStorage.removeItem(NAME);
  tokens.dispatchEvent(new Event("change"));
}

const TITLES = {
  unknown: "The gateway asks for a token",
  refused: "This token is not known",
  operator: "This needs an operator's token",
  asker: "This is no operator's token",
  chosen: "Token",
};

const WHY = {
  unknown: "Whoever runs the gateway has it: penstock token makes one.",
  refused: "It was mistyped, has run out, or the gateway was started anew. Whoever runs it has another one.",
  operator: "Pausing, redriving, dead letters and replays are an operator's. Without tokens of its own, penstock gateway prints one at its start.",
  asker: "It may ask, and no more; or it was mistyped, or the gateway was started anew. Whoever runs it has an operator's.",
  chosen: "",
};

/** Of which kind a token has to be where this one, or none, is no operator's. */
export const operators = () => (token() ? "asker" : "operator");

let asking = null;

/** Resolves to whether there is another token than before. All who want one wait for one dialog. */
export function wanted(kind) {
  asking ??= askForToken(TITLES[kind], WHY[kind], token() !== null)
    .then((given) => {
      if (given === null) return false;
      keep(given);
      return given !== "";
    })
    .finally(() => { asking = null; });
  return asking;
}
