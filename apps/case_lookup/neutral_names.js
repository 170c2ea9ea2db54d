// A file's name may name a patient. Streamlit shows it (chip, tooltip, "Remove ..."), stores it and
// sends it. So every file gets a neutral name before Streamlit sees it: this script runs first and
// listens in the window's capture phase, so every chosen or dropped file passes through here. Only
// the extension stays, because it names the format.
"use strict";
(() => {
  const EXTENSIONS = [".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".dcm"];
  const ours = new WeakSet();
  let number = 0;

  const neutral = (file) => {
    if (ours.has(file)) return file;
    number += 1;
    const lower = file.name.toLowerCase();
    const extension = EXTENSIONS.find((known) => lower.endsWith(known)) ?? "";
    const renamed = new File([file], `image-${number}${extension}`, { type: file.type, lastModified: 0 });
    ours.add(renamed);
    return renamed;
  };

  const put = (input, files) => {
    const held = new DataTransfer();
    for (const file of files) held.items.add(neutral(file));
    input.files = held.files;
    for (const file of input.files) ours.add(file);
  };

  const isFileInput = (target) => target instanceof HTMLInputElement && target.type === "file";

  for (const kind of ["input", "change"]) {
    window.addEventListener(kind, (event) => {
      if (isFileInput(event.target)) put(event.target, [...event.target.files]);
    }, true);
  }

  // A dropped folder contains the files of a series.
  const entriesOf = async (folder) => {
    const reader = folder.createReader();
    const found = [];
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (some.length === 0) return found;
      found.push(...some);
    }
  };
  const filesOf = async (entry) => {
    if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
    const inside = await entriesOf(entry);
    inside.sort((a, b) => (a.name < b.name ? -1 : 1));
    return (await Promise.all(inside.map(filesOf))).flat();
  };

  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");

  // While files are held over the page, room.css says what a drop does. A drag that ends outside of
  // the window sends no event, but one that goes on sends "dragover" several times a second.
  const page = document.documentElement;
  let last = 0;
  const showDrag = () => {
    clearTimeout(last);
    page.dataset.drag = "files";
    last = setTimeout(hideDrag, 800);
  };
  const hideDrag = () => {
    clearTimeout(last);
    delete page.dataset.drag;
  };

  window.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // otherwise the browser opens the file in place of the page
    showDrag();
  }, true);

  window.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    hideDrag();
    event.preventDefault();
    event.stopImmediatePropagation();
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const entries = items.map((item) => item.webkitGetAsEntry?.() ?? null);
    const plain = [...event.dataTransfer.files];
    const input = document.querySelector('[data-testid="stFileUploaderDropzone"] input[type="file"]');
    if (input === null || input.disabled) return;
    const folders = entries.some((entry) => entry?.isDirectory);
    const files = folders ? Promise.all(entries.map(filesOf)).then((all) => all.flat()) : Promise.resolve(plain);
    files.then((found) => {
      put(input, found);
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }).catch(() => {}); // an unreadable file is skipped; the error message would hold its name
  }, true);

  page.dataset.names = "neutral";
})();
