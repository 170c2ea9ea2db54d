// Keys of the reading room, and where the focus goes when the view changes. `?` shows the list of
// keys, which frame.py draws in the page's language. A key without Ctrl, Alt or Meta does nothing
// while somebody types, and all of them can be switched off (WCAG 2.1.4): dictation software types
// single letters too.
"use strict";
(() => {
  const TYPING = 'input:not([type="checkbox"]):not([type="radio"]):not([type="button"]):not([type="range"]), textarea, select, [contenteditable=""], [contenteditable="true"], [role="textbox"], [role="combobox"], [role="searchbox"]';
  // these use the arrow keys themselves
  const ARROWS = '[role="slider"], [role="listbox"], [role="menu"], [role="grid"], [role="radiogroup"], [role="tablist"], [role="spinbutton"], [role="application"], input, select, canvas';
  // with its round: see query_widgets.py
  const WORDS = '[class*="st-key-text"] input, [class*="st-key-text"] textarea';
  const HITS = '.st-key-hits [class*="st-key-open-"] button';
  const TITLE = ".st-key-case-bar .rr-line, .st-key-case-bar h1, .st-key-case-bar h2";
  const STORED = "medembed-keys";
  const root = document.documentElement;

  let view = "";
  let opened = ""; // class of the container of the hit that was opened last: "st-key-open-3"
  let due = false;

  const shown = (element) => element !== null && element.checkVisibility({ visibilityProperty: true });
  const dialog = () => document.querySelector("dialog.rr-keys");
  const hits = () => [...document.querySelectorAll(HITS)].filter(shown);
  const keyOf = (element) =>
    [...(element.closest('[class*="st-key-open-"]')?.classList ?? [])].find((name) => name.startsWith("st-key-open-")) ?? "";

  const showKeys = () => {
    const list = dialog();
    if (list !== null && !list.open) list.showModal();
  };

  const switchKeys = (off) => {
    root.dataset.keys = off ? "off" : "on";
    try {
      localStorage.setItem(STORED, root.dataset.keys);
    } catch {} // storage may be switched off: then the choice holds for this page
    (document.querySelector(off ? ".rr-keys-on" : ".rr-keys-off"))?.focus();
  };

  const toWords = () => {
    const field = document.querySelector(WORDS);
    if (shown(field)) {
      field.focus();
      field.select();
      return;
    }
    document.querySelector('[data-testid="stExpandSidebarButton"]')?.click(); // the field is in the sidebar
    requestAnimationFrame(() => document.querySelector(WORDS)?.focus());
  };

  const toHit = (step, from) => {
    const all = hits();
    if (all.length === 0) return false;
    const at = all.indexOf(from);
    const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
    all[next].focus({ preventScroll: true });
    all[next].closest('[class*="st-key-hit-"]')?.scrollIntoView({ block: "nearest" });
    return true;
  };

  const typingIn = (target) => target.matches(TYPING) || target.isContentEditable;

  // The viewer listens later. Switched off, single keys do not reach it; under the list of keys none
  // does, or it would take Escape, which closes the list.
  window.addEventListener("keydown", (event) => {
    if (dialog()?.open) {
      event.stopImmediatePropagation();
      return;
    }
    if (root.dataset.keys !== "off" || event.key.length !== 1 || event.key === " ") return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.composedPath()[0];
    if (target instanceof Element && !typingIn(target)) event.stopImmediatePropagation();
  }, true);

  window.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.composedPath()[0];
    if (!(target instanceof Element) || dialog()?.open) return;
    const typing = typingIn(target);
    const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key] ?? 0;
    const arrow = event.key.startsWith("Arrow");
    let done = false;
    if (event.key === "Escape" && target.matches(WORDS)) {
      target.blur();
      done = true;
    } else if (arrow && step !== 0) {
      const fromWords = target.matches(WORDS) && step > 0 && target.tagName === "INPUT";
      if (fromWords || !target.closest(ARROWS)) done = (fromWords || hits().includes(target)) && toHit(step, target);
    } else if (!typing && root.dataset.keys !== "off" && event.key.length === 1) {
      if (event.key === "?") done = showKeys() ?? true;
      else if (event.key === "/") done = toWords() ?? true;
      else if (step !== 0) done = toHit(step, target);
    }
    if (done) event.preventDefault();
  });

  window.addEventListener("click", (event) => {
    const target = event.target;
    if (!(target instanceof Element)) return;
    if (target.closest(".st-key-show-keys button")) {
      event.stopImmediatePropagation(); // the server has nothing to do for this
      event.preventDefault();
      showKeys();
    } else if (target.closest(".rr-keys-close") || target.matches("dialog.rr-keys")) dialog()?.close();
    else if (target.closest(".rr-keys-off")) switchKeys(true);
    else if (target.closest(".rr-keys-on")) switchKeys(false);
    else if (target.closest(HITS)) opened = keyOf(target);
  }, true);

  // A view that was replaced takes the focus with it. It goes to the title of a case, and back to
  // the hit that was opened; on the first page, to the words of the query.
  const follow = () => {
    due = false;
    const app = document.querySelector("[data-test-script-state]");
    if (app === null || app.dataset.testScriptState !== "notRunning") return;
    const now = document.querySelector(".st-key-case-bar") ? "case" : document.querySelector(".st-key-hits") ? "hits" : "start";
    const before = view;
    if (now === "start" && before === "" && document.querySelector(WORDS) === null) return; // still loading
    view = now;
    if (before === now) return;
    const lost = document.activeElement === null || document.activeElement === document.body || !document.activeElement.isConnected;
    if (!lost) return;
    if (now === "case") {
      const title = document.querySelector(TITLE);
      title?.setAttribute("tabindex", "-1");
      title?.focus({ preventScroll: true });
    } else if (now === "hits" && before === "case" && opened) {
      const hit = document.querySelector(`.${opened} button`);
      hit?.focus({ preventScroll: true });
      hit?.closest('[class*="st-key-hit-"]')?.scrollIntoView({ block: "center" });
    } else if (now === "start" && before === "" && matchMedia("(hover: hover)").matches) {
      const field = document.querySelector(WORDS);
      if (shown(field)) field.focus({ preventScroll: true });
    }
  };

  const schedule = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(follow);
  };

  try {
    root.dataset.keys = localStorage.getItem(STORED) === "off" ? "off" : "on";
  } catch {
    root.dataset.keys = "on";
  }
  const watch = { subtree: true, childList: true, attributes: true, attributeFilter: ["data-test-script-state"] };
  window.addEventListener("DOMContentLoaded", () => new MutationObserver(schedule).observe(document.body, watch));
})();
