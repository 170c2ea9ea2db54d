// What Streamlit's page lacks for a screen reader or says in English only: the language, landmarks,
// names of controls. The texts come from frame.py in the page's language. Attributes alone are
// changed, because React owns the elements.
"use strict";
(() => {
  const COOKIE = "medembed-language";
  let last = null;
  let due = false;

  const set = (element, name, value) => {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  };
  const drop = (element, name) => {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  };

  const choosing = new WeakSet(); // the buttons that choose files, which have no name of their own

  // selector, and what to do with each element it finds
  const REMEDIES = [
    ['[data-testid="stSkipToContent"]', (link, texts) => set(link, "aria-label", texts.skip)],
    ['[data-testid="stSidebar"]', (side, texts) => set(side, "aria-label", texts.sidebar)],
    ['[data-testid="stSidebarCollapseButton"] button', (button, texts) => set(button, "aria-label", texts.sidebarClose)],
    ['[data-testid="stExpandSidebarButton"]', (button, texts) => set(button, "aria-label", texts.sidebarOpen)],
    ['[data-testid="stDateInputCalendar"]', (dialog, texts) => {
      set(dialog, "aria-label", texts.chooseDate);
      drop(dialog, "aria-describedby"); // English
    }],
    ['[data-testid="stFileUploaderDropzone"] button', (button, texts) => {
      if (button.hasAttribute("aria-label") && !choosing.has(button)) return; // one that removes a file
      choosing.add(button);
      set(button, "aria-label", texts.upload);
    }],
  ];

  // what Streamlit calls things in English, and what the page calls them
  const NAMES = { "Clear all": "clearAll", "Selected values": "chosen", "Multiselect options": "choices", "file upload": "upload" };
  const BEGINNINGS = [["Remove ", "remove"], ["Help for ", "help"]];
  const renamed = new WeakMap(); // element: what it was called, and what it is called now

  const inPageLanguage = (name, texts) => {
    if (Object.hasOwn(NAMES, name)) return texts[NAMES[name]];
    const found = BEGINNINGS.find(([beginning]) => name.startsWith(beginning));
    return found === undefined ? name : `${texts[found[1]]} ${name.slice(found[0].length)}`;
  };

  const rename = (element, texts) => {
    const shown = element.getAttribute("aria-label");
    const known = renamed.get(element);
    const was = known?.now === shown ? known.was : shown; // React has changed it since, or not
    const now = inPageLanguage(was, texts);
    renamed.set(element, { was, now });
    set(element, "aria-label", now);
  };

  const remember = (language) => {
    if (last !== null && last !== language) {
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `${COOKIE}=${language}; Path=/; Max-Age=31536000; SameSite=Strict${secure}`;
    }
    last = language;
  };

  const mend = () => {
    due = false;
    const given = document.querySelector(".rr-script-texts");
    if (given === null) return;
    set(document.documentElement, "lang", given.lang);
    remember(given.lang);
    for (const element of document.querySelectorAll("#root [aria-label], [role=dialog] [aria-label], [role=listbox][aria-label]")) rename(element, given.dataset);
    for (const [selector, remedy] of REMEDIES) {
      for (const element of document.querySelectorAll(selector)) remedy(element, given.dataset);
    }
  };

  const schedule = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(mend);
  };

  const watch = { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-label", "role", "aria-expanded", "lang"] };
  window.addEventListener("DOMContentLoaded", () => new MutationObserver(schedule).observe(document.body, watch));
})();
