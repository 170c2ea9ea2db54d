// The pixels of a scan: header and slices are fetched from the page's own server, once, and stay in
// memory. Cornerstone gets them as images, under ids that name neither patient nor address.
import { cache, imageLoader, metaData, utilities } from "@cornerstonejs/core";
import { cut, shapeOf, storedPlane } from "./planes.js";

const SCHEME = "pixels";
const PARALLEL = 4; // requests at a time: a browser allows six, and the page needs some
const KEPT_BYTES = 512 * 2 ** 20; // of scans that are not on the screen

/** The brightest of the gray levels behind a curve. */
export const CURVE_TOP = 4095;

/** Whether a window is no straight line: the file's lookup table, or a sigmoid. */
export const isCurve = (window) => window.values !== undefined || window.function === "SIGMOID";

/** The gray levels of a curve (DICOM PS3.3 C.11.2.1.1, C.11.2.1.3.1), from 0 to 1. */
const curveOf = ({ values, first, center, width }) => {
  if (values === undefined) return (value) => 1 / (1 + Math.exp((-4 * (value - center)) / width));
  const last = values.length - 1;
  return (value) => values[Math.min(Math.max(Math.round(value - first), 0), last)];
};

const sources = new Map(); // by address, the least recently used first
const byNumber = new Map();
let numbers = 0;

export class PixelError extends Error {}

const fetched = async (address, signal) => {
  let response;
  try {
    response = await fetch(new URL(address, document.baseURI), {
      cache: "no-store",
      credentials: "same-origin",
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new PixelError("");
  }
  if (!response.ok) {
    const plain = response.headers.get("content-type")?.startsWith("text/plain");
    throw new PixelError(plain ? (await response.text()).trim() : String(response.status));
  }
  return response;
};

/** One scan behind an address. */
class Source {
  constructor(address) {
    this.address = address;
    this.number = numbers++;
    this.users = 0;
    this.header = null;
    this.slices = []; // typed arrays, by slice
    this.waiting = new Map(); // slice -> promise
    this.queue = [];
    this.running = 0;
    this.n_loaded = 0;
    this.listeners = new Set();
    this.abort = new AbortController();
    byNumber.set(this.number, this);
  }

  async open() {
    this.opening ??= fetched(`${this.address}/header`, this.abort.signal)
      .then((response) => response.json())
      .then((header) => {
        this.header = header;
        return header;
      })
      .catch((error) => {
        this.opening = undefined; // the next try asks again
        throw error;
      });
    return this.opening;
  }

  get bytes() {
    const pixels = this.slices.find(Boolean);
    return pixels ? pixels.byteLength * this.n_loaded : 0;
  }

  get complete() {
    return this.header !== null && this.n_loaded === this.header.slices;
  }

  /** A slice; one on the screen goes before those fetched ahead. */
  slice(index, urgent = true) {
    if (this.slices[index]) return Promise.resolve(this.slices[index]);
    let task = this.waiting.get(index);
    if (task === undefined) {
      task = { index };
      task.promise = new Promise((done, failed) => Object.assign(task, { done, failed }));
      task.promise.catch(() => {}); // fetched ahead: whoever needs it asks again
      this.waiting.set(index, task);
      this.queue.push(task);
    }
    if (urgent && this.queue.includes(task)) {
      this.queue = [task, ...this.queue.filter((other) => other !== task)];
    }
    this.#work();
    return task.promise;
  }

  /** Fetch all other slices, those near this one first. */
  fetchAhead(index) {
    const order = [...Array(this.header.slices).keys()];
    order.sort((a, b) => Math.abs(a - index) - Math.abs(b - index));
    for (const one of order) this.slice(one, false);
  }

  #work() {
    while (this.running < PARALLEL && this.queue.length > 0) {
      const task = this.queue.shift();
      this.running += 1;
      this.#fetchSlice(task.index)
        .then(task.done, task.failed)
        .finally(() => {
          this.running -= 1;
          this.waiting.delete(task.index);
          this.#work();
        });
    }
  }

  async #fetchSlice(index) {
    const response = await fetched(`${this.address}/slice/${index}`, this.abort.signal);
    const bytes = await response.arrayBuffer();
    const { rows, columns, dtype, intercept } = this.header;
    const stored = dtype === "int16" ? new Int16Array(bytes) : new Float32Array(bytes);
    if (stored.length !== rows * columns) throw new PixelError("");
    this.slices[index] = intercept === 0 ? stored : Float32Array.from(stored, (v) => v + intercept);
    this.n_loaded += 1;
    for (const tell of this.listeners) tell();
    return this.slices[index];
  }

  /** Send the values through a curve, if one is chosen; Cornerstone then draws its output. */
  #through(pixels, table) {
    if (table === undefined) return pixels;
    const level = curveOf(table);
    return Int16Array.from(pixels, (value) => Math.round(level(value) * CURVE_TOP));
  }

  async pixelsOf(plane, index, table) {
    if (plane.name === "stack") return this.#through(await this.slice(index), table);
    if (plane.across.axis === 0 && plane.down.axis === 1 && !plane.down.backwards && !plane.right.backwards) {
      const stored = plane.across.backwards ? this.header.slices - 1 - index : index;
      return this.#through(await this.slice(stored), table);
    }
    await Promise.all([...Array(this.header.slices).keys()].map((one) => this.slice(one)));
    return this.#through(cut(this.header, this.slices, plane, index), table);
  }

  close() {
    this.abort.abort();
    this.slices = [];
    byNumber.delete(this.number);
    sources.delete(this.address);
    for (const id of this.ids ?? []) if (cache.getImageLoadObject(id)) cache.removeImageLoadObject(id);
  }
}

/** The scan behind an address, shared by all views that show it. Give it back with `release`. */
export const acquire = (address) => {
  const source = sources.get(address) ?? new Source(address);
  sources.delete(address);
  sources.set(address, source);
  source.users += 1;
  return source;
};

export const release = (source) => {
  source.users -= 1;
  const idle = [...sources.values()].filter((one) => one.users === 0);
  let bytes = idle.reduce((sum, one) => sum + one.bytes, 0);
  for (const one of idle) {
    if (bytes <= KEPT_BYTES && one.header !== null) continue;
    bytes -= one.bytes;
    one.close();
  }
};

// Ids: source / plane / lookup table / index
const planes = new Map(); // by source number and name

export const imageIds = (source, plane, table) => {
  planes.set(`${source.number}/${plane.name}`, plane);
  const { across } = shapeOf(source.header, plane);
  const at = table === undefined ? "" : table.id;
  const ids = Array.from(
    { length: across.count },
    (_, index) => `${SCHEME}:${source.number}/${plane.name}/${at}/${index}`,
  );
  source.ids = new Set([...(source.ids ?? []), ...ids]);
  return ids;
};

export const parsed = (imageId) => {
  const [number, name, at, index] = imageId.slice(SCHEME.length + 1).split("/");
  const source = byNumber.get(Number(number));
  if (source === undefined) return null;
  const plane = planes.get(`${number}/${name}`) ?? storedPlane(source.header);
  const table = at ? source.header.windows.find((window) => window.id === at) : undefined;
  return { source, plane, table, index: Number(index) };
};

const spacingOf = (header, plane) => {
  const { across, down, right } = shapeOf(header, plane);
  return { across: across.mm ?? 1, down: down.mm ?? 1, right: right.mm ?? 1, known: down.mm !== null && right.mm !== null };
};

const image = (imageId, pixels, { source, plane, table }) => {
  const { header } = source;
  const { down, right } = shapeOf(header, plane);
  const spacing = spacingOf(header, plane);
  const [low, high] = table === undefined ? [header.low, header.high] : [0, CURVE_TOP];
  const voxelManager = utilities.VoxelManager.createImageVoxelManager({
    width: right.count,
    height: down.count,
    scalarData: pixels,
    numberOfComponents: 1,
  });
  return {
    imageId,
    voxelManager,
    getPixelData: () => pixels,
    dataType: pixels.constructor.name,
    rows: down.count,
    columns: right.count,
    height: down.count,
    width: right.count,
    rowPixelSpacing: spacing.down,
    columnPixelSpacing: spacing.right,
    sliceThickness: spacing.across,
    minPixelValue: low,
    maxPixelValue: high,
    slope: 1,
    intercept: 0,
    windowCenter: (low + high) / 2,
    windowWidth: Math.max(high - low, 1),
    voiLUTFunction: "LINEAR",
    color: false,
    rgba: false,
    numberOfComponents: 1,
    invert: false,
    photometricInterpretation: "MONOCHROME2",
    sizeInBytes: pixels.byteLength,
    hasPixelSpacing: spacing.known,
  };
};

const load = (imageId) => {
  const about = parsed(imageId);
  const promise =
    about === null
      ? Promise.reject(new PixelError(""))
      : about.source
          .pixelsOf(about.plane, about.index, about.table)
          .then((pixels) => image(imageId, pixels, about));
  return { promise };
};

const describe = (type, imageId) => {
  if (typeof imageId !== "string" || !imageId.startsWith(`${SCHEME}:`)) return undefined;
  const about = parsed(imageId);
  if (about === null) return undefined;
  const { source, plane, index } = about;
  const { header } = source;
  const { down, right } = shapeOf(header, plane);
  const spacing = spacingOf(header, plane);
  if (type === "imagePlaneModule") {
    return {
      frameOfReferenceUID: `${source.number}/${plane.name}`,
      rows: down.count,
      columns: right.count,
      imageOrientationPatient: [1, 0, 0, 0, 1, 0],
      rowCosines: [1, 0, 0],
      columnCosines: [0, 1, 0],
      imagePositionPatient: [0, 0, index * spacing.across],
      sliceThickness: spacing.across,
      sliceLocation: index * spacing.across,
      pixelSpacing: [spacing.down, spacing.right],
      rowPixelSpacing: spacing.down,
      columnPixelSpacing: spacing.right,
      usingDefaultValues: !spacing.known,
    };
  }
  if (type === "imagePixelModule") {
    return {
      samplesPerPixel: 1,
      photometricInterpretation: "MONOCHROME2",
      rows: down.count,
      columns: right.count,
      bitsAllocated: 16,
      bitsStored: 16,
      highBit: 15,
      pixelRepresentation: 1,
    };
  }
  if (type === "generalSeriesModule") return { modality: header.modality, seriesInstanceUID: String(source.number) };
  if (type === "modalityLutModule") return { rescaleSlope: 1, rescaleIntercept: 0, rescaleType: header.units };
  return undefined;
};

export const registerPixels = () => {
  imageLoader.registerImageLoader(SCHEME, load);
  metaData.addProvider(describe, 10_000);
  cache.setMaxCacheSize(1.5 * 2 ** 30);
};
