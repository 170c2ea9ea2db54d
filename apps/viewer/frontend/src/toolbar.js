// The controls above the pictures, and the list of keys.
import { settings } from "./settings.js";
import { element } from "./view.js";

const TOOL_NAMES = ["adjust", "pan", "zoom", "locate", "length", "angle", "region"];

export class Toolbar {
  constructor(parent, viewer) {
    this.viewer = viewer;
    this.box = element("div", "mv-toolbar", parent);
    this.box.setAttribute("role", "toolbar");
    this.helping = false;
    this.#make();
  }

  #make() {
    const { viewer } = this;
    const { texts } = viewer;
    this.box.setAttribute("aria-label", texts.tools);
    const group = () => element("div", "mv-group", this.box);
    const button = (parent, text, act, title = "") => {
      const made = element("button", "mv-button", parent);
      Object.assign(made, { type: "button", textContent: text, title });
      made.addEventListener("click", act);
      return made;
    };
    const tools = group();
    const labels = { ...texts, adjust: texts.adjust_window };
    this.tools = TOOL_NAMES.map((name) => {
      const made = button(tools, labels[name], () => viewer.chooseTool(name));
      made.dataset.tool = name;
      return made;
    });
    this.delete = button(tools, texts.delete_marks, () => viewer.deleteMarks());

    const windows = group();
    this.presets = element("select", "mv-choice", windows);
    this.presets.setAttribute("aria-label", texts.window);
    this.presets.addEventListener("change", () => viewer.choosePreset(this.presets.value));
    this.invert = button(windows, texts.invert, () => viewer.invert());
    this.rotate = button(windows, texts.rotate, () => viewer.rotate());

    const studies = group();
    this.link = button(studies, texts.link, () => viewer.toggleLink(), texts.link_help);
    this.anchor = button(studies, texts.anchor, () => viewer.toggleAnchor(), texts.anchor_help);
    this.planes = button(studies, texts.planes, () => viewer.togglePlanes(), texts.planes_help);

    this.layers = group();
    this.layer = element("select", "mv-choice", this.layers);
    this.layer.setAttribute("aria-label", texts.fuse);
    this.layer.addEventListener("change", () => viewer.overlay(this.layer.value));
    this.opacity = element("input", "mv-opacity", this.layers);
    Object.assign(this.opacity, { type: "range", min: 0, max: 1, step: 0.05 });
    this.opacity.setAttribute("aria-label", texts.opacity);
    this.opacity.addEventListener("input", () => viewer.setOpacity(Number(this.opacity.value)));
    this.move = button(this.layers, texts.move_layer, () => viewer.toggleMovingLayer());

    const last = group();
    this.fit = button(last, texts.fit, () => viewer.fit());
    this.reset = button(last, texts.reset, () => viewer.reset());
    this.help = button(last, "?", () => this.showHelp(), texts.help);
    this.help.setAttribute("aria-label", texts.help);
    this.#makeHelp();
  }

  #makeHelp() {
    const { texts } = this.viewer;
    this.dialog = element("dialog", "mv-help", this.viewer.box);
    this.dialog.setAttribute("aria-label", texts.help_title);
    const title = element("h2", "", this.dialog);
    title.textContent = texts.help_title;
    const list = element("dl", "", this.dialog);
    for (const [keys, what] of texts.keys) {
      element("dt", "", list).textContent = keys;
      element("dd", "", list).textContent = what;
    }
    const close = element("button", "mv-button", this.dialog);
    Object.assign(close, { type: "button", textContent: texts.close });
    close.addEventListener("click", () => this.hideHelp());
    this.dialog.addEventListener("close", () => {
      this.helping = false;
      this.before?.focus?.();
    });
  }

  showHelp() {
    this.before = this.viewer.box.getRootNode().activeElement;
    this.helping = true;
    this.dialog.showModal();
  }

  hideHelp() {
    this.dialog.close();
  }

  /** Show the state of the viewer. */
  draw() {
    const { viewer } = this;
    const { texts } = viewer;
    const press = (made, pressed) => made.setAttribute("aria-pressed", String(Boolean(pressed)));
    for (const made of this.tools) press(made, settings.tool === made.dataset.tool);
    const view = viewer.active?.view;
    press(this.invert, view?.inverted);
    press(this.link, viewer.linked);
    press(this.anchor, viewer.anchors !== null);
    press(this.planes, viewer.planes);
    press(this.move, viewer.movingLayer);

    const several = viewer.panels.length > 1;
    const volumes = viewer.panels.filter((panel) => panel.isVolume).length;
    this.link.hidden = !several;
    this.anchor.hidden = !several || volumes < 2;
    this.planes.hidden = volumes === 0;
    this.tools.find((made) => made.dataset.tool === "locate").hidden = volumes === 0;

    this.#list(this.presets, viewer.presets.map(({ id }) => [id, texts.windows[id] ?? id]), [["", texts.own_window]]);
    this.presets.value = viewer.chosen;
    this.presets.options[0].hidden = viewer.chosen !== "";

    const { layered } = viewer;
    this.layers.hidden = layered === null;
    const layers = layered?.data.layers.map(({ address, label }) => [address, label]) ?? [];
    this.#list(this.layer, layers, [["", `${texts.fuse}: ${texts.no_layer}`]]);
    this.layer.value = layered?.layer?.chosen.address ?? "";
    this.opacity.hidden = this.move.hidden = !layered?.layer;
    this.opacity.value = String(viewer.opacity);
  }

  #list(select, entries, first) {
    const all = [...first, ...entries];
    const same =
      select.options.length === all.length &&
      all.every(([value, text], at) => select.options[at].value === value && select.options[at].text === text);
    if (!same) select.replaceChildren(...all.map(([value, text]) => new Option(text, value)));
  }
}
