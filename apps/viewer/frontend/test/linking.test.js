import assert from "node:assert/strict";
import { test } from "node:test";
import { mapCamera, mapSlice, mapWindow, rangeOf, windowOf } from "../src/linking.js";

const ct = { units: "HU", low: -1000, high: 2000, windows: [{ id: "lung", center: -600, width: 1500, function: "LINEAR" }] };
const film = (center, width) => ({ units: "stored", low: 0, high: 4095, windows: [{ id: "file", center, width, function: "LINEAR" }] });

test("Hounsfield units mean the same in every study", () => {
  const window = { center: 40, width: 400, function: "LINEAR" };
  assert.deepEqual(mapWindow(window, ct, { ...ct, low: -500 }), window);
});

test("stored values are taken relative to the opening window", () => {
  const mapped = mapWindow({ center: 1200, width: 500 }, film(1000, 1000), film(20_000, 4000));
  assert.equal(mapped.center, 20_800);
  assert.equal(mapped.width, 2000);
});

test("a window and its ends are each other's inverse", () => {
  for (const shape of ["LINEAR", "LINEAR_EXACT"]) {
    const window = { center: 40, width: 400, function: shape };
    assert.deepEqual(windowOf(rangeOf(window), shape), window);
  }
  assert.deepEqual(rangeOf({ center: 40, width: 400, function: "LINEAR" }), { lower: -160, upper: 239 });
});

test("without an anchor the ends of both stacks belong together", () => {
  const short = { count: 10, mm: 5 };
  const long = { count: 100, mm: 1 };
  assert.equal(mapSlice(0, short, long, null), 0);
  assert.equal(mapSlice(9, short, long, null), 99);
  assert.equal(mapSlice(3, short, long, null), 33);
  assert.equal(mapSlice(5, { count: 1, mm: null }, long, null), 50);
});

test("from an anchor on, millimeters count, and both stay inside", () => {
  const anchor = { from: 4, to: 60 };
  assert.equal(mapSlice(4, { count: 10, mm: 5 }, { count: 100, mm: 1 }, anchor), 60);
  assert.equal(mapSlice(6, { count: 10, mm: 5 }, { count: 100, mm: 1 }, anchor), 70);
  assert.equal(mapSlice(6, { count: 10, mm: null }, { count: 100, mm: 1 }, anchor), 62);
  assert.equal(mapSlice(0, { count: 10, mm: 50 }, { count: 100, mm: 1 }, anchor), 0);
});

test("zoom and pan are passed on as changes, so that an offset stays", () => {
  const own = { zoom: 2, pan: [10, 0] };
  const moved = mapCamera(own, { zoom: 1, pan: [0, 0] }, { zoom: 1, pan: [5, -5] }, 1);
  assert.deepEqual(moved, { zoom: 2, pan: [15, -5] });
  assert.deepEqual(mapCamera(own, { zoom: 1, pan: [3, 0] }, { zoom: 2, pan: [6, 0] }, 1), { zoom: 4, pan: [20, 0] });
});
