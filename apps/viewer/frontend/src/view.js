// One picture on the screen: a stack of slices of one plane of a scan.
import { Enums } from "@cornerstonejs/core";
import { Events, filled, renderingEngine, toolGroup } from "./engine.js";
import { fractionOf, rangeOf, windowOf } from "./linking.js";
import { CURVE_TOP, imageIds, isCurve } from "./pixels.js";
import { edgeLetters, shapeOf } from "./planes.js";

const { ViewportType } = Enums;

let numbers = 0;

const element = (name, className, parent) => {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
};

export { element };

const near = (a, b, by) => Math.abs(a - b) <= by;

export class View {
  /**
   * @param {HTMLElement} cell where it is drawn
   * @param {object} options what it shows and whom it tells
   */
  constructor(cell, { source, plane, texts, layer = false, alt, onSlice, onWindow, onCamera, onActive }) {
    Object.assign(this, { cell, source, plane, texts, layer, onSlice, onWindow, onCamera });
    this.shape = shapeOf(source.header, plane);
    this.count = this.shape.across.count;
    this.index = 0;
    this.turns = 0;
    this.inverted = false;
    this.id = `view-${numbers++}`;
    this.box = element("div", layer ? "mv-view mv-layer" : "mv-view", cell);
    this.box.dataset.plane = plane.name;
    this.canvas = element("div", "mv-canvas", this.box);
    if (!layer) this.#frame(alt, onActive);
    const engine = renderingEngine();
    engine.enableElement({
      viewportId: this.id,
      type: ViewportType.STACK,
      element: this.canvas,
      defaultOptions: { background: [0, 0, 0] },
    });
    this.viewport = engine.getViewport(this.id);
    if (this.viewport.useCPURendering) this.#mendZoom();
    if (!layer) toolGroup().addViewport(this.id, engine.id);
  }

  /**
   * Drawing on the processor, Cornerstone takes a zoom relative to the rows' distance but applies it
   * to the smaller one of rows and columns: unequal ones would jump at the first zoom.
   */
  #mendZoom() {
    const { down, right } = this.shape;
    const smaller = Math.min(down.mm ?? 1, right.mm ?? 1);
    const set = this.viewport.setCamera.bind(this.viewport);
    this.viewport.setCamera = (camera, ...more) => {
      const { parallelScale } = camera;
      const scale = parallelScale ? (this.canvas.clientHeight * smaller) / (2 * parallelScale) : camera.scale;
      set({ ...camera, scale }, ...more);
    };
  }

  /** Everything around the picture: letters, readings, the slider. */
  #frame(alt, onActive) {
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "group");
    this.box.setAttribute("aria-label", alt);
    this.box.addEventListener("pointerdown", () => onActive(this));
    this.box.addEventListener("focusin", () => onActive(this));
    this.box.addEventListener("contextmenu", (event) => event.preventDefault());
    this.edges = ["top", "right", "bottom", "left"].map((edge) => element("span", `mv-edge mv-${edge}`, this.box));
    this.lines = element("div", "mv-lines", this.box);
    this.title = element("span", "mv-title", this.box);
    this.title.textContent = this.texts.planes_names[this.plane.name] ?? "";
    this.reading = element("output", "mv-reading", this.box);
    this.reading.setAttribute("aria-live", "off");
    this.place = element("span", "mv-place", this.box);
    this.slider = element("input", "mv-slider", this.box);
    Object.assign(this.slider, { type: "range", min: 1, max: this.count, step: 1, hidden: this.count < 2 });
    this.slider.setAttribute("aria-label", this.texts.slice_name);
    this.slider.addEventListener("input", () => this.onSlice(this, Number(this.slider.value) - 1));
  }

  /** Show a slice of the stack in a window; the first time, and after the lookup table has changed. */
  async open(index, window) {
    const table = isCurve(window) ? window : undefined;
    this.ids = imageIds(this.source, this.plane, table);
    this.tableId = table?.id ?? "";
    this.index = Math.min(Math.max(index, 0), this.count - 1);
    this.asked = this.index;
    await this.viewport.setStack(this.ids, this.index);
    if (this.closed) return;
    if (!this.listening) this.#listen();
    this.#apply(window);
    this.fit();
    this.#read();
  }

  #listen() {
    this.listening = true;
    this.canvas.addEventListener(Events.VOI_MODIFIED, () => this.#windowMoved());
    this.canvas.addEventListener(Events.CAMERA_MODIFIED, () => this.#cameraMoved());
    this.canvas.addEventListener(Events.IMAGE_RENDERED, () => this.#letters());
  }

  /** Whether two settings are the same but for rounding: then the event is our own echo. */
  #windowMoved() {
    const range = this.viewport.getProperties().voiRange;
    if (this.quiet || !range || !this.range) return;
    const by = (this.range.upper - this.range.lower) * 1e-4;
    if (near(range.lower, this.range.lower, by) && near(range.upper, this.range.upper, by)) return;
    this.range = range;
    if (this.tableId === "") {
      this.window = windowOf(range, this.window.function);
      this.onWindow(this, this.window);
    }
    this.#read();
  }

  #cameraMoved() {
    if (this.quiet || !this.camera) return;
    const before = this.camera;
    const after = this.#camera();
    const still = near(after.zoom / before.zoom, 1, 1e-4);
    if (still && near(after.pan[0], before.pan[0], 0.05) && near(after.pan[1], before.pan[1], 0.05)) return;
    this.camera = after;
    this.onCamera(this, before, after);
  }

  /** The middle of the picture, in Cornerstone's world. */
  get #middle() {
    const { down, right, across } = this.shape;
    const half = ({ count, mm }) => ((count - 1) / 2) * (mm ?? 1);
    return [half(right), half(down), this.index * (across.mm ?? 1)];
  }

  /** Pixels of the screen per millimeter, and where the picture's middle is on the screen. */
  #measure() {
    const middle = this.#middle;
    const here = this.viewport.worldToCanvas(middle);
    const aside = this.viewport.worldToCanvas([middle[0] + 1, middle[1], middle[2]]);
    return { here, scale: Math.hypot(aside[0] - here[0], aside[1] - here[1]) };
  }

  /**
   * Zoom relative to the fitted picture, and how far its middle is from the panel's, in pixels.
   * Cornerstone's own pan means something else for each way of drawing.
   */
  #camera() {
    const { here, scale } = this.#measure();
    const { clientWidth, clientHeight } = this.canvas;
    return { zoom: scale * this.fitted, pan: [here[0] - clientWidth / 2, here[1] - clientHeight / 2] };
  }

  /** Change the viewport without taking the change for the reader's. */
  #silently(change) {
    this.quiet = true;
    try {
      change();
    } finally {
      this.quiet = false;
    }
    this.viewport.render();
  }

  async setIndex(index) {
    const to = Math.min(Math.max(index, 0), this.count - 1);
    if (to === this.asked) return;
    this.asked = to;
    this.#read();
    try {
      await this.viewport.setImageIdIndex(to);
    } catch {
      return; // the panel says so
    }
    if (this.closed) return;
    this.index = to;
    this.viewport.render();
    this.#read();
  }

  async setWindow(window) {
    const tableId = isCurve(window) ? window.id : "";
    if (tableId === this.tableId) {
      this.#apply(window);
      this.#read();
      return;
    }
    const camera = this.camera;
    await this.open(this.asked, window);
    if (camera) this.setCamera(camera);
  }

  #apply(window) {
    this.window = window;
    const range = isCurve(window) ? { lower: 0, upper: CURVE_TOP } : rangeOf(window);
    this.range = range;
    this.#silently(() => this.viewport.setProperties({ voiRange: range, invert: this.inverted }));
    this.range = this.viewport.getProperties().voiRange ?? range;
  }

  setInverted(inverted) {
    this.inverted = inverted;
    this.#silently(() => this.viewport.setProperties({ invert: inverted }));
  }

  setTurns(turns) {
    this.turns = turns;
    this.#silently(() => this.viewport.setViewPresentation({ rotation: turns * 90 }));
    this.camera = this.#camera();
  }

  setCamera({ zoom, pan }) {
    const { clientWidth, clientHeight } = this.canvas;
    this.#silently(() => {
      this.viewport.setCamera({ parallelScale: (clientHeight * this.fitted) / (2 * zoom) });
      const { here } = this.#measure();
      const center = [clientWidth / 2, clientHeight / 2];
      const aim = this.viewport.canvasToWorld([here[0] - pan[0], here[1] - pan[1]]);
      const from = this.viewport.canvasToWorld(center);
      const { focalPoint, position } = this.viewport.getCamera();
      const moved = (point) => point.map((value, axis) => value + (axis < 2 ? aim[axis] - from[axis] : 0));
      this.viewport.setCamera({ focalPoint: moved(focalPoint), position: moved(position) });
    });
    this.camera = this.#camera();
  }

  /** As large as the panel allows. */
  fit() {
    this.#silently(() => this.viewport.resetCamera());
    if (this.turns) this.setTurns(this.turns);
    this.camera = this.#camera();
  }

  /** The size of the panel has changed: what is on the screen now is how it should be. */
  settle() {
    this.quiet = false;
    if (this.camera) this.camera = this.#camera();
  }

  zoomBy(ratio) {
    const before = this.camera;
    this.setCamera({ zoom: before.zoom * ratio, pan: before.pan.map((value) => value * ratio) });
    this.onCamera(this, before, this.camera);
  }

  panBy(right, down) {
    const before = this.camera;
    this.setCamera({ zoom: before.zoom, pan: [before.pan[0] + right, before.pan[1] + down] });
    this.onCamera(this, before, this.camera);
  }

  /** Millimeters (pixels, where unknown) of the picture per pixel of the screen, when it fits. */
  get fitted() {
    const { clientWidth, clientHeight } = this.canvas;
    const { down, right } = this.shape;
    return Math.max((right.count * (right.mm ?? 1)) / clientWidth, (down.count * (down.mm ?? 1)) / clientHeight);
  }

  get fraction() {
    return fractionOf(this.asked, this.count);
  }

  /** The same, counted as the slices are stored. */
  get storedFraction() {
    return this.plane.across.backwards ? 1 - this.fraction : this.fraction;
  }

  pixelAtCenter() {
    const { down, right } = this.shape;
    return { down: Math.floor(down.count / 2), right: Math.floor(right.count / 2) };
  }

  /** The pixel of the picture under a point of the screen. */
  pixelAt(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const world = this.viewport.canvasToWorld([clientX - box.left, clientY - box.top]);
    const { down, right } = this.shape;
    const within = (value, { count, mm }) => Math.min(Math.max(Math.round(value / (mm ?? 1)), 0), count - 1);
    return { across: this.asked, down: within(world[1], down), right: within(world[0], right) };
  }

  /** Draw a cross at a pixel of this plane, or none. */
  mark(at) {
    if (at === null) {
      this.lines.replaceChildren();
      this.marked = null;
      return;
    }
    this.marked = at;
    const { down, right, across } = this.shape;
    const world = [at.right * (right.mm ?? 1), at.down * (down.mm ?? 1), this.index * (across.mm ?? 1)];
    const [x, y] = this.viewport.worldToCanvas(world);
    const line = (name, place) => {
      const made = document.createElement("i");
      made.className = name;
      made.style.setProperty("--at", `${place}px`);
      return made;
    };
    this.lines.replaceChildren(line("mv-across", y), line("mv-along", x));
  }

  #letters() {
    if (this.layer) return;
    const letters = edgeLetters(this.plane, this.turns);
    this.edges.forEach((edge, at) => {
      if (edge.textContent !== letters[at]) edge.textContent = letters[at];
    });
    if (this.marked) this.mark(this.marked);
  }

  #read() {
    if (this.layer) return;
    const { texts } = this;
    if (this.count > 1) {
      this.place.textContent = filled(texts.slice_, { n: this.asked + 1, of: this.count });
      this.slider.value = String(this.asked + 1);
      this.slider.setAttribute("aria-valuetext", this.place.textContent);
    }
    if (!this.window) return;
    const text = this.source.header.units === "HU" ? texts.level_width_hu : texts.level_width;
    const whole = (value) => (Math.abs(value) < 10 ? value.toFixed(1) : String(Math.round(value)));
    this.reading.textContent =
      this.tableId === ""
        ? filled(text, { center: whole(this.window.center), width: whole(this.window.width) })
        : texts.lookup_table;
  }

  close() {
    this.closed = true;
    if (!this.layer) toolGroup()?.removeViewports(renderingEngine().id, this.id);
    renderingEngine().disableElement(this.id);
    this.box.remove();
  }
}

