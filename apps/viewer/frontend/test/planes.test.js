import assert from "node:assert/strict";
import { test } from "node:test";
import { cut, edgeLetters, planesOf, shapeOf, storedPlane, toPlane, toVolume } from "../src/planes.js";

const header = (axes, spacing_mm = [5, 2, 1]) => ({ slices: 3, rows: 4, columns: 5, axes, spacing_mm });

/** A volume whose values say where they lie: 100 × slice + 10 × row + column. */
const volume = () =>
  [0, 1, 2].map((s) => Int16Array.from({ length: 20 }, (_, at) => 100 * s + 10 * Math.floor(at / 5) + (at % 5)));

test("every plane shows the values of the volume, each at its place", () => {
  for (const axes of [["H", "P", "L"], ["H", "A", "R"], ["P", "F", "L"], ["L", "F", "P"], []]) {
    const about = header(axes);
    for (const plane of [storedPlane(about), ...planesOf(about)]) {
      const { across, down, right } = shapeOf(about, plane);
      for (let k = 0; k < across.count; k += 1) {
        const pixels = cut(about, volume(), plane, k);
        pixels.forEach((value, at) => {
          const place = { across: k, down: Math.floor(at / right.count), right: at % right.count };
          const [s, r, c] = toVolume(about, plane, place);
          assert.equal(value, 100 * s + 10 * r + c);
          assert.deepEqual(toPlane(about, plane, [s, r, c]), place);
        });
        assert.equal(pixels.length, down.count * right.count);
      }
    }
  }
});

test("an axial volume is seen from below, from the front and from the left", () => {
  const [axial, coronal, sagittal] = planesOf(header(["H", "P", "L"]));
  assert.deepEqual([axial, coronal, sagittal].map(({ name }) => name), ["axial", "coronal", "sagittal"]);
  assert.deepEqual(edgeLetters(axial, 0), ["A", "L", "P", "R"]);
  assert.deepEqual(edgeLetters(coronal, 0), ["H", "L", "F", "R"]);
  assert.deepEqual(edgeLetters(sagittal, 0), ["H", "P", "F", "A"]);
  // slices run to the head: the last one is at the top of the coronal plane
  assert.equal(cut(header(["H", "P", "L"]), volume(), coronal, 0)[0], 200);
});

test("a mirrored acquisition is turned in the planes, and shown as stored otherwise", () => {
  const about = header(["H", "P", "R"]);
  assert.deepEqual(edgeLetters(storedPlane(about), 0), ["A", "R", "P", "L"]);
  const [axial] = planesOf(about);
  assert.deepEqual(edgeLetters(axial, 0), ["A", "L", "P", "R"]);
  assert.equal(cut(about, volume(), axial, 0)[0], 4);
});

test("where sides are unknown no letter is shown and no name of the body is given", () => {
  for (const axes of [[], ["", "P", "L"]]) {
    const planes = planesOf(header(axes));
    assert.deepEqual(planes.map(({ name }) => name), ["slices", "rows", "columns"]);
  }
  assert.deepEqual(edgeLetters(storedPlane(header([])), 0), ["", "", "", ""]);
});

test("letters turn with the picture", () => {
  const plane = storedPlane(header(["F", "L"]));
  assert.deepEqual(edgeLetters(plane, 0), ["H", "L", "F", "R"]);
  assert.deepEqual(edgeLetters(plane, 1), ["R", "H", "L", "F"]);
  assert.deepEqual(edgeLetters(plane, 4), ["H", "L", "F", "R"]);
});

test("an oblique side has the opposite of all its letters", () => {
  assert.deepEqual(edgeLetters(storedPlane(header(["HP", "FA", "LP"])), 0), ["HP", "LP", "FA", "RA"]);
});
