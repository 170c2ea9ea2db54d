import assert from "node:assert/strict";
import { test } from "node:test";
import { keyAction } from "../src/keys.js";

const press = (key, { target = { tagName: "DIV" }, ...more } = {}) =>
  keyAction({ key, composedPath: () => [target], ...more });

test("keys of the hits, slices and presets", () => {
  assert.deepEqual(press("j"), ["step", 1]);
  assert.deepEqual(press("ArrowLeft"), ["step", -1]);
  assert.deepEqual(press("PageDown"), ["scroll", 10]);
  assert.deepEqual(press("w"), ["preset", 1]);
  assert.deepEqual(press("W", { shiftKey: true }), ["preset", -1]);
  assert.deepEqual(press("3"), ["presetNumber", 3]);
  assert.deepEqual(press("0"), ["fit"]);
  assert.deepEqual(press("?", { shiftKey: true }), ["help"]);
  assert.deepEqual(press("ArrowUp", { shiftKey: true }), ["pan", [0, -1]]);
  assert.equal(press("q"), null);
});

test("nobody who types loses a letter", () => {
  for (const target of [{ tagName: "TEXTAREA" }, { tagName: "INPUT", type: "text" }, { tagName: "SELECT" }, { tagName: "DIV", isContentEditable: true }]) {
    for (const key of ["j", "i", "ArrowLeft", "?"]) assert.equal(press(key, { target }), null);
  }
});

test("a slider keeps its arrows and gives the letters", () => {
  const target = { tagName: "INPUT", type: "range" };
  assert.equal(press("ArrowUp", { target }), null);
  assert.equal(press("Home", { target }), null);
  assert.deepEqual(press("i", { target }), ["invert"]);
});

test("shortcuts of browser and system stay theirs", () => {
  for (const more of [{ ctrlKey: true }, { metaKey: true }, { altKey: true }, { isComposing: true }]) {
    assert.equal(press("r", more), null);
  }
});
