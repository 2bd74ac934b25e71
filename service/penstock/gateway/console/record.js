// What do the bytes of a record look like? Text where they are text, else in hexadecimal.

import { el } from "./dom.js";
import { counted } from "./format.js";

const SHOWN = 4096;
const WIDE = 16;

function* dump(binary) {
  for (let at = 0; at < Math.min(SHOWN, binary.length); at += WIDE) {
    const line = [...binary.slice(at, Math.min(at + WIDE, SHOWN))].map((character) => character.charCodeAt(0));
    const hex = line.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const ascii = line.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    yield `${at.toString(16).padStart(6, "0")}  ${hex.padEnd(WIDE * 3)} ${ascii}`;
  }
}

/** {"text": …} or {"base64": …}, or null. */
export function bytes(said) {
  if (said === null || said === undefined) return el("p", { class: "faint" }, "none");
  if (said.base64 === undefined) return el("pre", { class: "bytes" }, said.text);
  const binary = atob(said.base64);
  const more = binary.length > SHOWN ? `\n… ${counted(binary.length - SHOWN, "byte")} more` : "";
  return el("pre", { class: "bytes hex" }, [...dump(binary)].join("\n") + more);
}
