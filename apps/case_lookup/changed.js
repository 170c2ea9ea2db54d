// The results on the page belong to the query they were made with. The moment the sidebar differs
// from it (a pill pressed, a slider moved, a word typed), the results are dimmed, before the server
// knows: <html data-asked="changed">. The server's style sheet then does the same, and keeps them
// dimmed if the search fails or is stopped; see undim_style() in results.py.
"use strict";
(() => {
  const WIDGETS = '[data-testid="stSidebar"] [data-testid="stElementContainer"][class*="st-key-"]';
  const PARTS = 'input:not([type="file"]):not([role="combobox"]), textarea, [role="slider"], [role="spinbutton"], button';
  let known = { list: null, state: new Map() };
  let wasRunning = true;
  let due = false;
  let touched = false; // by the reader, since the results came

  const sidebarState = () => {
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

  const compare = () => {
    due = false;
    const app = document.querySelector("[data-test-script-state]");
    if (app === null) return;
    const running = app.dataset.testScriptState !== "notRunning";
    const list = document.querySelector('[class*="st-key-outcome-"]')?.className ?? null;
    const now = sidebarState();
    if (!running && (wasRunning || list !== known.list)) {
      known = { list, state: now };
      touched = false;
    }
    wasRunning = running;
    // collapsed parts of the sidebar are not compared
    const differs = [...now].some(([key, value]) => known.state.has(key) && known.state.get(key) !== value);
    // a widget that takes over its value late, after a reload or an undo, is no change
    if (differs && !running && !touched) known.state = now;
    const isChanged = differs && (running || touched);
    document.documentElement.dataset.asked = isChanged ? "changed" : "answered";
    const answer = document.querySelector(".st-key-answer"); // what is dimmed is out of use, for a screen reader too
    if (answer !== null && answer.getAttribute("aria-disabled") !== String(isChanged)) {
      answer.setAttribute("role", "group");
      answer.setAttribute("aria-disabled", String(isChanged));
    }
  };

  const schedule = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(compare);
  };

  const watch = { subtree: true, childList: true, attributes: true, characterData: true };
  window.addEventListener("DOMContentLoaded", () => new MutationObserver(schedule).observe(document.body, watch));
  for (const kind of ["input", "change", "click", "keyup"]) window.addEventListener(kind, schedule, true);
  const touch = () => {
    touched = true;
  };
  for (const kind of ["input", "change", "click", "keydown"]) window.addEventListener(kind, touch, true);
})();
