// Which part of the page is seen? The one that the address names.

import * as ask from "./ask.js";
import * as charts from "./charts.js";
import * as deadLetters from "./dead_letters.js";
import { $ } from "./dom.js";
import * as followed from "./followed.js";
import * as headlines from "./headlines.js";
import * as live from "./live.js";
import * as programs from "./programs.js";
import * as questions from "./questions.js";
import * as replays from "./replays.js";
import * as service from "./service.js";
import { tokens, wanted } from "./token.js";

const TITLES = { questions: "Questions", service: "Service", "dead-letters": "Dead letters", replays: "Replays" };

let seen = null;
const shows = (view) => () => seen === view;

const looks = { questions: questions.begin(shows("questions")), service: service.begin(shows("service")) };

/** Whatever somebody has written into the address. */
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function go() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const view = name in TITLES ? name : "questions";
  const anew = view !== seen;
  seen = view;
  for (const section of document.querySelectorAll("[data-view]")) section.hidden = section.dataset.view !== view;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href").slice(1).split("/", 1)[0] === view;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = view === "questions" ? "Penstock" : `${TITLES[view]} · Penstock`;
  const ids = followed.named();
  if (ids !== null) {
    followed.show(ids);
    for (const link of document.querySelectorAll(".brand, nav a:first-child")) link.setAttribute("href", followed.address(ids));
  }
  if (view === "dead-letters") deadLetters.show(rest.length === 2 ? rest.join("/") : null, anew);
  if (view === "replays") replays.show(rest.length ? decoded(rest.join("/")) : null, anew);
  looks[view]?.();
}

headlines.begin();
programs.begin();
ask.begin();
charts.begin(shows("questions"));
deadLetters.begin();
replays.begin();
addEventListener("hashchange", go);
// Whoever has another token sees what that may see.
tokens.addEventListener("change", () => { seen = null; go(); });
document.querySelector(".skip").addEventListener("click", (event) => {
  // The address says what is seen: it stays.
  event.preventDefault();
  $("main").focus();
});
$("token").addEventListener("click", () => wanted("chosen"));
go();
live.begin();
