// The list on the page answers what was asked when it was made. The moment the sidebar says something
// else (a pill pressed, a slider moved, a word typed), the list is dimmed, before the server has
// heard of it: <html data-asked="changed">. The server then says the same by its style sheet, and
// keeps saying it if the search fails or is stopped; see answers_to() in results.py.
"use strict";
(() => {
  const WIDGETS = '[data-testid="stSidebar"] [data-testid="stElementContainer"][class*="st-key-"]';
  const PARTS = 'input:not([type="file"]):not([role="combobox"]), textarea, [role="slider"], [role="spinbutton"], button';
  let known = { list: null, said: new Map() };
  let wasRunning = true;
  let due = false;

  const said = () => {
    const all = new Map();
    for (const widget of document.querySelectorAll(WIDGETS)) {
      const key = [...widget.classList].find((name) => name.startsWith("st-key-"));
      const parts = [...widget.querySelectorAll(PARTS)].map((part) =>
        [part.value, part.ariaValueNow, part.ariaPressed, part.ariaChecked, part.dataset.testid].join(),
      );
      const tags = [...widget.querySelectorAll('[data-testid^="stMultiSelectTag"], [data-tag]')];
      all.set(key, [...parts, ...tags.map((tag) => tag.textContent)].join("|"));
    }
    return all;
  };

  const look = () => {
    due = false;
    const app = document.querySelector("[data-test-script-state]");
    if (app === null) return;
    const running = app.dataset.testScriptState !== "notRunning";
    const list = document.querySelector('[class*="st-key-found-"]')?.className ?? null;
    const now = said();
    if (!running && (wasRunning || list !== known.list)) known = { list, said: now };
    wasRunning = running;
    // a part of the sidebar that was folded away is not compared
    const differs = [...now].some(([key, value]) => known.said.has(key) && known.said.get(key) !== value);
    document.documentElement.dataset.asked = differs ? "changed" : "answered";
  };

  const soon = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(look);
  };

  const watch = { subtree: true, childList: true, attributes: true, characterData: true };
  window.addEventListener("DOMContentLoaded", () => new MutationObserver(soon).observe(document.body, watch));
  for (const kind of ["input", "change", "click", "keyup"]) window.addEventListener(kind, soon, true);
})();
