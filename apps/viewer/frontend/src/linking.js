// What one study's setting means for another: windows, slices and anchors.

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Ends of the gray scale of a window (DICOM PS3.3 C.11.2.1.2). */
export const rangeOf = ({ center, width, function: shape }) => {
  if (shape !== "LINEAR") return { lower: center - width / 2, upper: center + width / 2 };
  const half = Math.max(width - 1, 1e-6) / 2;
  return { lower: center - 0.5 - half, upper: center - 0.5 + half };
};

/** The window with these ends. */
export const windowOf = ({ lower, upper }, shape) => {
  if (shape !== "LINEAR") return { center: (lower + upper) / 2, width: upper - lower, function: shape };
  return { center: (lower + upper) / 2 + 0.5, width: upper - lower + 1, function: shape };
};

/** The linear window that a study opens with; a lookup table counts as its full range. */
const reference = (header) => {
  const linear = header.windows.find((window) => window.values === undefined);
  return linear ?? { center: (header.low + header.high) / 2, width: header.high - header.low };
};

/**
 * The window of another study that looks like this one.
 *
 * Hounsfield units mean the same everywhere. Stored values do not: there, level and width are
 * taken relative to the window that each study opens with.
 */
export const mapWindow = (window, from, to) => {
  if (from.units === "HU" && to.units === "HU") return window;
  const here = reference(from);
  const there = reference(to);
  return {
    center: there.center + ((window.center - here.center) / here.width) * there.width,
    width: (window.width / here.width) * there.width,
    function: "LINEAR_EXACT",
  };
};

/** A straight line near a window: a lookup table counts as the full range of its study. */
export const linear = (window, header) =>
  window.values === undefined
    ? { ...window, function: window.function === "SIGMOID" ? "LINEAR_EXACT" : window.function }
    : { center: (header.low + header.high) / 2, width: header.high - header.low, function: "LINEAR_EXACT" };

/** How far through the body a slice lies, from 0 to 1. */
export const fractionOf = (index, count) => (count > 1 ? index / (count - 1) : 0.5);

/** The slice at a fraction. */
export const sliceAt = (fraction, count) => clamp(Math.round(fraction * (count - 1)), 0, count - 1);

/**
 * The slice of another stack that belongs to this one's.
 *
 * Without an anchor, both ends of the stacks count as the same place. With an anchor, the two
 * anchored slices do, and from there on millimeters (slices, where the distance is unknown).
 *
 * @param {number} index slice of the stack that moved
 * @param {{count: number, mm: number|null}} from
 * @param {{count: number, mm: number|null}} to
 * @param {{from: number, to: number}|null} anchor
 */
export const mapSlice = (index, from, to, anchor) => {
  if (anchor === null) return sliceAt(fractionOf(index, from.count), to.count);
  const known = from.mm !== null && to.mm !== null;
  const moved = (index - anchor.from) * (known ? from.mm / to.mm : 1);
  return clamp(Math.round(anchor.to + moved), 0, to.count - 1);
};

/**
 * Zoom and pan of a view after another one's have changed: changed in the same way, so that an
 * offset set by hand is kept.
 */
export const mapCamera = (own, before, after, scale) => {
  const ratio = after.zoom / before.zoom;
  return {
    zoom: own.zoom * ratio,
    pan: own.pan.map((value, axis) => value * ratio + (after.pan[axis] - before.pan[axis] * ratio) * scale),
  };
};
