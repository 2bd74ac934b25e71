// What does the page ask of whoever sits before it? A token, or whether he means it.

import { $, say, text } from "./dom.js";

/** Resolves to whether the form was sent. One at a time per dialog. */
function shown(dialog, no) {
  const form = dialog.querySelector("form");
  const opener = document.activeElement;
  return new Promise((resolve) => {
    const end = (answer) => {
      form.onsubmit = no.onclick = dialog.oncancel = null;
      dialog.close();
      if (opener instanceof HTMLElement) opener.focus({ preventScroll: true });
      resolve(answer);
    };
    form.onsubmit = (event) => { event.preventDefault(); end(true); };
    no.onclick = () => end(false);
    dialog.oncancel = (event) => { event.preventDefault(); end(false); };
    dialog.showModal();
  });
}

/** Gives the token; null: none was given; "": it is to be forgotten. */
export async function askForToken(title, why, has) {
  text($("token-title"), title);
  say($("token-why"), why);
  const field = $("token-value");
  const forget = $("token-forget");
  let forgotten = false;
  field.value = "";
  forget.hidden = !has;
  forget.onclick = () => { forgotten = true; $("token-cancel").click(); };
  const given = await shown($("token-dialog"), $("token-cancel"));
  const token = field.value.trim();
  field.value = "";
  if (forgotten) return "";
  return given && token ? token : null;
}

/** Gives {reason}; null: no. `reason`: whether one is asked for. */
export async function confirmed(title, what, yes, { reason = false } = {}) {
  text($("confirm-title"), title);
  say($("confirm-what"), what);
  text($("confirm-yes"), yes);
  $("confirm-field").hidden = !reason;
  $("confirm-reason").value = "";
  const meant = await shown($("confirm-dialog"), $("confirm-no"));
  return meant ? { reason: $("confirm-reason").value.trim() || null } : null;
}
