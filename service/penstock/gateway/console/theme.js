// Dark or light? Loaded before the page is drawn, so that nothing flashes.
(() => {
  const NAMES = { auto: "system", light: "light", dark: "dark" };
  const root = document.documentElement;
  const kept = () => {
    try { return localStorage.getItem("penstock-theme"); } catch { return null; }
  };
  const show = (name) => {
    root.dataset.theme = name;
    const button = document.getElementById("theme");
    if (!button) return;
    button.lastElementChild.textContent = NAMES[name];
    button.title = `Dark or light: ${NAMES[name]}`;
  };
  const first = kept();
  show(first in NAMES ? first : "auto");
  addEventListener("DOMContentLoaded", () => {
    show(root.dataset.theme);
    document.getElementById("theme").addEventListener("click", () => {
      const names = Object.keys(NAMES);
      const next = names[(names.indexOf(root.dataset.theme) + 1) % names.length];
      show(next);
      try { localStorage.setItem("penstock-theme", next); } catch { /* It holds for this page. */ }
    });
  });
})();
