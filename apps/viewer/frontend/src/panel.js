// One study on the screen: its picture, or the three planes of its volume, and what lies over it.
import { element, View } from "./view.js";
import { filled } from "./engine.js";
import { linear, mapSlice, mapWindow, sliceAt } from "./linking.js";
import { windowFor } from "./looks.js";
import { acquire, PixelError, release } from "./pixels.js";
import { planesOf, storedPlane, toPlane, toVolume } from "./planes.js";

const places = new Map(); // how far a reader had scrolled, by address: it is there when they return
const MOST_PLACES = 200;

const remember = (address, fraction) => {
  places.delete(address);
  places.set(address, fraction);
  if (places.size > MOST_PLACES) places.delete(places.keys().next().value);
};

export class Panel {
  constructor(stage, viewer) {
    this.viewer = viewer;
    this.views = [];
    this.layer = null;
    this.turn = 0;
    this.box = element("section", "mv-panel", stage);
    this.cells = element("div", "mv-cells", this.box);
    const head = element("div", "mv-head", this.box);
    this.label = element("span", "mv-label", head);
    this.choice = element("select", "mv-choice", head);
    this.choice.addEventListener("change", () => this.#open());
    this.bar = element("div", "mv-bar", this.box);
    this.message = element("div", "mv-message", this.box);
    this.message.setAttribute("role", "status");
  }

  get header() {
    return this.source?.header ?? null;
  }

  get isVolume() {
    return (this.header?.slices ?? 1) > 1;
  }

  /** Show a study; nothing is loaded again if it is the one on the screen. */
  show(data) {
    const { texts } = this.viewer;
    this.data = data;
    this.box.dataset.panel = data.name;
    this.label.textContent = data.label;
    const options = data.pictures.map(({ address, label }) => new Option(label, address));
    const chosen = this.choice.value;
    this.choice.replaceChildren(...options);
    if (data.pictures.some(({ address }) => address === chosen)) this.choice.value = chosen;
    this.choice.hidden = options.length < 2;
    this.choice.setAttribute("aria-label", texts.picture);
    return this.choice.value === this.address ? undefined : this.#open();
  }

  async #open() {
    const turn = ++this.turn;
    const { viewer } = this;
    const { texts } = viewer;
    const address = this.choice.value;
    const source = acquire(address);
    this.box.classList.add("mv-waiting");
    this.#say(texts.loading);
    try {
      await source.open();
      if (turn !== this.turn) return release(source);
      const before = this.views[0]?.camera ?? this.kept ?? null;
      const fraction = places.get(address) ?? viewer.fractionFor(this) ?? 0.5;
      this.#clear();
      this.source = source;
      this.address = address;
      source.listeners.add(this.tell);
      await this.#fill(fraction, before);
    } catch (error) {
      if (turn !== this.turn || error.name === "AbortError") return release(source);
      if (this.source !== source) {
        this.#clear();
        release(source);
      }
      this.address = undefined;
      this.#fail(error);
      return undefined;
    }
    if (turn !== this.turn) return undefined;
    this.box.classList.remove("mv-waiting");
    this.#say("");
    viewer.opened(this);
    if (this.isVolume) source.fetchAhead(this.views[0].asked);
    this.tell();
    return undefined;
  }

  /** Make the views of the source: one, or the three planes. */
  async #fill(fraction, camera) {
    const { viewer, source } = this;
    const planes = viewer.planes && this.isVolume ? planesOf(source.header) : [storedPlane(source.header)];
    this.cells.classList.toggle("mv-three", planes.length > 1);
    const window = windowFor(source.header);
    this.views = planes.map((plane) => this.#view(plane));
    await Promise.all(
      this.views.map(async (view, at) => {
        view.inverted = viewer.inverted;
        await view.open(sliceAt(at === 0 ? fraction : 0.5, view.count), window);
        if (view.closed) return;
        view.setTurns(viewer.turns);
        if (at === 0 && camera && planes.length === 1) view.setCamera(camera);
      }),
    );
    if (planes.length > 1) this.locate(this.views[0], { ...this.views[0].pixelAtCenter(), across: this.views[0].asked });
  }

  #view(plane, layer = false, source = this.source) {
    const { viewer } = this;
    const cell = layer ? this.views[0].box : element("div", "mv-cell", this.cells);
    return new View(cell, {
      source,
      plane,
      layer,
      texts: viewer.texts,
      alt: [this.data.label, this.data.alt, viewer.texts.planes_names[plane.name]].filter(Boolean).join(", "),
      onSlice: (view, index) => viewer.scrollTo(this, view, index),
      onWindow: (view, window) => viewer.windowed(this, view, window),
      onCamera: (view, before, after) => viewer.moved(this, view, before, after),
      onActive: (view) => viewer.activate(this, view),
    });
  }

  /** Change between one picture and the planes. */
  async replan() {
    if (this.source === undefined || this.box.classList.contains("mv-waiting")) return;
    const fraction = this.views.find((view) => view.plane.across.axis === 0)?.storedFraction ?? 0.5;
    const layer = this.layer?.chosen;
    this.#closeViews();
    try {
      await this.#fill(fraction, null);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (layer && !this.viewer.planes) await this.overlay(layer);
    this.viewer.opened(this);
  }

  /** Make all planes show the place of the volume under a pixel of one of them. */
  locate(view, pixel) {
    const place = toVolume(this.header, view.plane, pixel);
    for (const other of this.views) {
      const at = toPlane(this.header, other.plane, place);
      if (other !== view) other.setIndex(at.across);
      other.mark(at);
    }
    return place;
  }

  /** Lay a prior over the picture, or take it away (null). */
  async overlay(layer) {
    this.#dropLayer();
    if (layer === null || this.views.length !== 1) return;
    const { viewer } = this;
    const source = acquire(layer.address);
    this.layer = { chosen: layer, source, view: null, anchor: null };
    const own = this.layer;
    try {
      const header = await source.open();
      if (this.layer !== own) return;
      const base = this.views[0];
      const view = this.#view(storedPlane(header), true, source);
      own.view = view;
      view.inverted = viewer.inverted;
      view.box.style.opacity = String(viewer.opacity);
      const index = mapSlice(base.asked, base.shape.across, view.shape.across, null);
      await view.open(index, mapWindow(linear(base.window, base.source.header), base.source.header, header));
      if (this.layer !== own) return;
      view.setTurns(viewer.turns);
      this.fitLayer();
      if (header.slices > 1) source.fetchAhead(index);
      this.#say("");
    } catch (error) {
      if (this.layer !== own || error.name === "AbortError") return;
      this.#dropLayer();
      this.#fail(error);
      viewer.draw();
    }
  }

  /** Lay it over the picture again as at first: the same millimeters are as long in both. */
  fitLayer() {
    const base = this.views[0];
    const view = this.layer?.view;
    if (!base?.camera || !view) return;
    const known = base.shape.down.mm !== null && view.shape.down.mm !== null;
    const ratio = known ? view.fitted / base.fitted : 1;
    view.setCamera({ zoom: base.camera.zoom * ratio, pan: base.camera.pan });
  }

  #dropLayer() {
    if (this.layer === null) return;
    this.layer.view?.close();
    release(this.layer.source);
    this.layer = null;
  }

  /** From now on, these two slices lie over each other. */
  anchorLayer() {
    if (this.layer?.view) this.layer.anchor = { from: this.views[0].asked, to: this.layer.view.asked };
  }

  tell = () => {
    const { source, viewer } = this;
    if (!source?.header) return;
    const { slices } = source.header;
    const share = source.n_loaded / slices;
    this.bar.style.setProperty("--share", String(share));
    this.bar.hidden = share >= 1 || slices < 2;
    this.bar.title = filled(viewer.texts.loaded, { n: source.n_loaded, of: slices });
    this.box.dataset.loaded = `${source.n_loaded}/${slices}`;
  };

  #say(text) {
    this.message.replaceChildren(text);
    this.message.hidden = text === "";
  }

  #fail(error) {
    const { texts } = this.viewer;
    const reason = error instanceof PixelError && error.message ? error.message : texts.no_connection;
    this.box.classList.remove("mv-waiting");
    this.#say(filled(texts.failed, { reason }));
    const again = element("button", "mv-button", this.message);
    again.type = "button";
    again.textContent = texts.try_again;
    again.addEventListener("click", () => this.#open());
  }

  #closeViews() {
    this.#dropLayer();
    for (const view of this.views) view.close();
    this.views = [];
    this.cells.replaceChildren();
  }

  #clear() {
    if (this.views[0]) {
      this.kept = this.views.length === 1 ? this.views[0].camera : null;
      if (this.address) remember(this.address, this.views[0].storedFraction);
    }
    this.#closeViews();
    if (this.source) {
      this.source.listeners.delete(this.tell);
      release(this.source);
      this.source = undefined;
    }
  }

  close() {
    this.turn += 1;
    this.#clear();
    this.box.remove();
  }
}
