// A file's name may name a patient. Streamlit shows it (chip, tooltip, "Remove ..."), keeps it and
// sends it. So every file gets a name that says nothing before Streamlit sees it: whatever is
// chosen or dropped passes through here first, since this script comes first and listens to the
// window's capture phase. Only the ending stays, which says the format.
"use strict";
(() => {
  const ENDINGS = [".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".dcm"];
  const ours = new WeakSet();
  let number = 0;

  const neutral = (file) => {
    if (ours.has(file)) return file;
    number += 1;
    const lower = file.name.toLowerCase();
    const ending = ENDINGS.find((known) => lower.endsWith(known)) ?? "";
    const renamed = new File([file], `image-${number}${ending}`, { type: file.type, lastModified: 0 });
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

  // A dropped folder holds the files of a series.
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

  window.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault(); // or the browser leaves the page for the file
  }, true);

  window.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
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
    }).catch(() => {}); // a file that cannot be read is not taken; its name is in the message
  }, true);

  document.documentElement.dataset.names = "neutral";
})();
