// The viewer: panels, tools, keys, and the links between the panels.
import { perform } from "./actions.js";
import { annotation, chooseTool, renderingEngine, setMarkTexts, start } from "./engine.js";
import { keyAction } from "./keys.js";
import { linear, mapCamera, mapSlice, mapWindow } from "./linking.js";
import { keepLook } from "./looks.js";
import { Panel } from "./panel.js";
import { listenToPointer } from "./pointer.js";
import { keep, settings } from "./settings.js";
import { Toolbar } from "./toolbar.js";
import { element } from "./view.js";

const LEVEL_STEP = 0.05; // of the window's width

export class Viewer {
  constructor(root, css) {
    this.panels = [];
    this.active = null;
    this.anchors = null;
    this.box = document.createElement("div");
    this.box.className = "mv";
    const style = document.createElement("style");
    style.textContent = css;
    root.append(style, this.box);
    this.onKey = (event) => this.#key(event);
    // before Cornerstone, which takes every key for itself while a picture has the focus
    window.addEventListener("keydown", this.onKey, true);
  }

  get planes() {
    return settings.planes;
  }

  get inverted() {
    return settings.invert;
  }

  get turns() {
    return settings.turns;
  }

  get opacity() {
    return settings.opacity;
  }

  get linked() {
    return settings.link ?? this.data.link;
  }

  /** Take what the page shows; called at every run of its script. */
  async update(data, step) {
    this.step = step;
    const before = JSON.stringify(this.data);
    if (JSON.stringify(data) === before) return;
    this.data = data;
    this.texts = data.texts;
    setMarkTexts(data.texts);
    if (this.stage === undefined) await this.#begin();
    this.#arrange();
  }

  async #begin() {
    this.beginning ??= start().then((graphics) => {
      this.graphics = graphics;
      this.box.dataset.graphics = graphics ? "card" : "none";
      this.toolbar = new Toolbar(this.box, this);
      this.stage = element("div", "mv-stage", this.box);
      listenToPointer(this);
      this.note = element("p", "mv-note", this.box);
      this.resizing = new ResizeObserver(() => this.#resize());
      this.resizing.observe(this.stage);
      chooseTool(settings.tool);
    });
    await this.beginning;
  }

  #arrange() {
    const { panels } = this.data;
    while (this.panels.length > panels.length) this.panels.pop().close();
    while (this.panels.length < panels.length) this.panels.push(new Panel(this.stage, this));
    this.stage.dataset.panels = String(panels.length);
    // an anchor holds for the two studies it was set on
    const studies = panels.map((panel) => panel.pictures[0]?.address).join(" ");
    if (studies !== this.studies) this.anchors = null;
    this.studies = studies;
    this.panels.forEach((panel, at) => panel.show(panels[at]));
    this.draw();
  }

  /** A panel has opened what it was asked to show. */
  opened(panel) {
    if (this.active === null || !this.views.includes(this.active.view)) {
      const own = this.panels.at(-1) === panel || this.panels.length === 1 ? panel : this.panels.at(-1);
      if (own.views[0]) this.active = { panel: own, view: own.views[0] };
    }
    this.#resize();
    this.draw();
  }

  get views() {
    return this.panels.flatMap((panel) => panel.views);
  }

  /** Those that obey the controls: all, or those of the active panel. */
  get obeying() {
    return this.linked || this.active === null ? this.panels : [this.active.panel];
  }

  activate(panel, view) {
    if (this.active?.view === view) return;
    this.active = { panel, view };
    this.draw();
  }

  draw() {
    if (this.toolbar === undefined) return;
    this.toolbar.draw();
    for (const panel of this.panels) {
      const isActive = !this.linked && this.panels.length > 1 && panel === this.active?.panel;
      panel.box.classList.toggle("mv-active", isActive);
      panel.box.classList.toggle("mv-moving", this.movingLayer === true && panel.layer !== null);
    }
    const { texts } = this;
    const notes = [];
    if (this.panels.some((panel) => panel.layer !== null)) notes.push(texts.not_registered);
    if (this.panels.some((panel) => panel.header && panel.header.axes.length === 0)) notes.push(texts.as_stored);
    if (this.graphics === false) notes.push(texts.without_gpu);
    this.note.textContent = notes.join(" · ");
  }

  #resize() {
    cancelAnimationFrame(this.resizes);
    this.resizes = requestAnimationFrame(() => {
      for (const view of this.views) view.quiet = true;
      try {
        renderingEngine().resize(true, true);
      } finally {
        for (const view of this.views) view.settle();
      }
    });
  }

  // slices ------------------------------------------------------------------------------------

  /** How far through the body a panel that opens should be: where the other one is. */
  fractionFor(panel) {
    const other = this.panels.find((one) => one !== panel && one.views.length > 0);
    if (other && this.linked) return other.views[0].storedFraction;
    return panel.views[0]?.storedFraction ?? null;
  }

  scrollTo(panel, view, index) {
    if (view.layer) {
      view.setIndex(index);
      return;
    }
    view.setIndex(index);
    this.#follow(panel, view);
    if (panel.views.length > 1 && view.marked) panel.locate(view, { ...view.marked, across: view.asked });
    if (!this.linked) return;
    for (const other of this.panels) {
      const its = other === panel ? undefined : this.counterpart(view, other);
      if (its === undefined) continue;
      its.setIndex(mapSlice(view.asked, view.shape.across, its.shape.across, this.#anchor(view, panel, other)));
      this.#follow(other, its);
      if (other.views.length > 1 && its.marked) other.locate(its, { ...its.marked, across: its.asked });
    }
  }

  #follow(panel, view) {
    const { layer } = panel;
    if (!layer?.view || this.movingLayer) return;
    layer.view.setIndex(mapSlice(view.asked, view.shape.across, layer.view.shape.across, layer.anchor));
  }

  /** The view of another panel that shows the same plane. */
  counterpart(view, other) {
    return other.views.find((one) => one.plane.name === view.plane.name);
  }

  #anchor(view, from, to) {
    const places = this.anchors?.get(view.plane.name);
    return places ? { from: places.get(from), to: places.get(to) } : null;
  }

  /** The slices on the screen show the same place, in every plane; a second time: no longer. */
  toggleAnchor() {
    if (this.anchors !== null) {
      this.anchors = null;
    } else {
      this.anchors = new Map();
      for (const view of this.panels[0].views) {
        const all = this.panels.map((panel) => [panel, this.counterpart(view, panel)?.asked]);
        if (all.every(([, index]) => index !== undefined)) this.anchors.set(view.plane.name, new Map(all));
      }
      keep({ link: true });
    }
    this.draw();
  }

  scrollBy(by) {
    const { panel, view } = this.active ?? {};
    if (view) this.scrollTo(panel, view, view.asked + by);
  }

  // window ------------------------------------------------------------------------------------

  /** The reader has dragged the window of a view. */
  windowed(panel, view, window) {
    if (view.layer) return;
    keepLook(window, view.source.header);
    this.#spreadWindow(view, window, this.obeying.includes(panel) ? this.obeying : [panel]);
    this.draw();
  }

  #spreadWindow(from, window, panels) {
    for (const panel of panels) {
      for (const view of panel.views) {
        if (view !== from) view.setWindow(mapWindow(window, from.source.header, view.source.header));
        if (panel.layer?.view) {
          const { view: layer } = panel.layer;
          layer.setWindow(mapWindow(window, from.source.header, layer.source.header));
        }
      }
    }
  }

  /** Set the window by one of the presets; a study without it keeps its own. */
  choosePreset(id) {
    for (const panel of this.obeying) {
      if (panel.header === null) continue;
      const window = panel.header.windows.find((one) => one.id === id);
      if (window === undefined) continue;
      for (const view of panel.views) view.setWindow(window);
      panel.layer?.view?.setWindow(
        panel.layer.source.header.windows.find((one) => one.id === id) ??
          mapWindow(linear(window, panel.header), panel.header, panel.layer.source.header),
      );
      keepLook(window, panel.header);
    }
    this.draw();
  }

  stepPreset(by) {
    const { presets, chosen } = this;
    const at = presets.findIndex(({ id }) => id === chosen);
    const next = presets[(at + by + presets.length) % presets.length];
    if (next) this.choosePreset(next.id);
  }

  get presets() {
    return this.active?.panel.header?.windows ?? [];
  }

  get chosen() {
    return this.active?.view.window?.id ?? "";
  }

  adjustWindow(level, width) {
    const { panel, view } = this.active ?? {};
    if (!view?.window) return;
    const { center, width: wide } = linear(view.window, view.source.header);
    const least = view.source.header.units === "HU" ? 1 : wide / 1000;
    const window = {
      center: center + level * LEVEL_STEP * wide,
      width: Math.max(wide * (1 + width * 2 * LEVEL_STEP), least),
      function: "LINEAR_EXACT",
    };
    view.setWindow(window);
    this.windowed(panel, view, window);
  }

  // zoom, pan, turn, invert -------------------------------------------------------------------

  /** The reader has zoomed or panned a view; those it is linked with move in the same way. */
  moved(panel, view, before, after) {
    if (view.layer) return;
    const others = this.linked ? this.views.filter((one) => one !== view && one.plane.name === view.plane.name) : [];
    for (const other of others) this.#moveLike(other, view, before, after);
    const withLayers = this.linked ? this.panels : [panel];
    for (const one of withLayers) if (one.layer?.view && !this.movingLayer) this.#moveLike(one.layer.view, view, before, after);
  }

  #moveLike(other, view, before, after) {
    if (!other.camera) return;
    const scale = other.canvas.clientWidth / Math.max(view.canvas.clientWidth, 1);
    other.setCamera(mapCamera(other.camera, before, after, scale));
  }

  #eachObeying(act) {
    for (const panel of this.obeying) {
      panel.views.forEach(act);
      if (panel.layer?.view) act(panel.layer.view);
    }
    this.draw();
  }

  invert() {
    const inverted = !(this.active?.view.inverted ?? settings.invert);
    keep({ invert: inverted });
    this.#eachObeying((view) => view.setInverted(inverted));
  }

  rotate() {
    const turns = ((this.active?.view.turns ?? settings.turns) + 1) % 4;
    keep({ turns });
    this.#eachObeying((view) => view.setTurns(turns));
  }

  fit() {
    this.#eachObeying((view) => view.fit());
    for (const panel of this.panels) panel.fitLayer();
  }

  reset() {
    keep({ invert: false, turns: 0, looks: {} });
    this.anchors = null;
    for (const panel of this.panels) {
      for (const view of panel.views) {
        view.inverted = false;
        view.turns = 0;
        view.setWindow(panel.header.windows[0]);
        view.setTurns(0);
        view.fit();
      }
      if (panel.layer) panel.overlay(panel.layer.chosen);
    }
    this.draw();
  }

  // tools -------------------------------------------------------------------------------------

  chooseTool(name) {
    keep({ tool: name });
    chooseTool(name);
    if (name !== "locate") for (const { views } of this.panels) if (views.length === 1) views[0].mark(null);
    this.draw();
  }

  deleteMarks() {
    annotation.state.removeAllAnnotations();
    for (const view of this.views) view.viewport.render();
  }

  toggleLink() {
    keep({ link: !this.linked });
    this.draw();
  }

  async togglePlanes() {
    keep({ planes: !settings.planes });
    this.anchors = null;
    this.active = null;
    await Promise.all(this.panels.map((panel) => panel.replan()));
    this.draw();
  }

  get layered() {
    return this.panels.findLast((panel) => panel.data?.layers.length > 0 && panel.views.length === 1) ?? null;
  }

  async overlay(address) {
    const panel = this.layered;
    if (panel === null) return;
    this.movingLayer = false;
    const layer = panel.data.layers.find((one) => one.address === address) ?? null;
    const done = panel.overlay(layer);
    this.draw();
    await done;
    this.draw();
  }

  nextOverlay() {
    const panel = this.layered;
    if (panel === null) return;
    const all = [undefined, ...panel.data.layers.map(({ address }) => address)];
    const at = all.indexOf(panel.layer?.chosen.address);
    this.overlay(all[(at + 1) % all.length]);
  }

  setOpacity(opacity) {
    keep({ opacity });
    for (const panel of this.panels) if (panel.layer?.view) panel.layer.view.box.style.opacity = String(opacity);
  }

  toggleMovingLayer() {
    this.movingLayer = !this.movingLayer;
    if (!this.movingLayer) for (const panel of this.panels) panel.anchorLayer();
    this.draw();
  }

  // mouse and keys ----------------------------------------------------------------------------

  #key(event) {
    if (!this.box.isConnected || this.toolbar === undefined) return;
    const action = keyAction(event);
    if (action === null || !perform(this, action)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Ask the page for the previous or the next hit. */
  goTo(by) {
    const [previous, next] = this.data.steps;
    if (by < 0 ? previous : next) this.step(by);
  }

  close() {
    window.removeEventListener("keydown", this.onKey, true);
    this.resizing?.disconnect();
    for (const panel of this.panels) panel.close();
    this.panels = [];
    this.box.remove();
  }
}

