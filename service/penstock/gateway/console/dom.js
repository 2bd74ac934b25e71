// How does something get onto the page? As text: whatever a question, an answer or a record says
// is a stranger's, and none of it is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** An element. A function among the attributes listens to the event of that name. */
export const el = (tag, attributes = {}, ...children) =>
  build(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) =>
  build(document.createElementNS(SVG, tag), attributes, children);

/** The text of a node, touched only where it is another one. */
export function text(node, value) {
  const said = value === null || value === undefined ? "" : String(value);
  if (node.textContent !== said) node.textContent = said;
}

/** Shows it where there is something to say. */
export function say(node, value) {
  text(node, value);
  node.hidden = !value;
}

const kept = new WeakMap();

/**
 * The children of `parent`, one for each item: those that stay are kept and told what is new, so
 * that a thousand rows cost little and the keyboard's focus stays where it is.
 */
export function keyed(parent, items, key, make, update = () => {}) {
  const before = kept.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) {
    const name = key(item);
    if (now.has(name)) continue;
    const node = before.get(name) ?? make(item);
    before.delete(name);
    update(node, item);
    now.set(name, node);
  }
  for (const node of before.values()) node.remove();
  let at = parent.firstElementChild;
  for (const node of now.values()) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  kept.set(parent, now);
}

/** A row of a table whose cells are said anew by `cells(row, texts)`. */
export const row = (classes, attributes = {}) =>
  el("tr", attributes, ...classes.map((name) => el("td", { class: name || null })));

/** A word with a mark, so that colour is not all that tells. */
export const state = (name) => el("span", { class: "state", "data-state": name }, name);

export function setState(node, name) {
  node.dataset.state = name;
  text(node, name);
}

/** Something was done: said for a while. */
export function toast(message, kind = "good") {
  const node = el("p", { class: `toast ${kind}` }, message);
  $("toasts").append(node);
  setTimeout(() => node.remove(), kind === "bad" ? 12_000 : 6_000);
}
