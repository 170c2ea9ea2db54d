// What the viewer does for a key.
import { ZOOM_STEP } from "./pointer.js";

const PAN_PIXELS = 40;

/** Do what a key asks for; false if it is left to the page. */
export const perform = (viewer, [name, value]) => {
  const { toolbar } = viewer;
  if (toolbar.helping) {
    const closes = name === "escape" || name === "help";
    if (closes) toolbar.hideHelp();
    return closes;
  }
  const { panel, view } = viewer.active ?? {};
  const several = viewer.panels.length > 1;
  const actions = {
    step: () => viewer.goTo(value),
    scroll: () => viewer.scrollBy(value),
    end: () => view && viewer.scrollTo(panel, view, value < 0 ? 0 : view.count - 1),
    preset: () => viewer.stepPreset(value),
    presetNumber: () => viewer.presets[value - 1] && viewer.choosePreset(viewer.presets[value - 1].id),
    level: () => viewer.adjustWindow(value, 0),
    width: () => viewer.adjustWindow(0, value),
    zoom: () => view?.zoomBy(ZOOM_STEP ** value),
    pan: () => view?.panBy(value[0] * PAN_PIXELS, value[1] * PAN_PIXELS),
    fit: () => viewer.fit(),
    invert: () => viewer.invert(),
    rotate: () => viewer.rotate(),
    reset: () => viewer.reset(),
    link: () => several && viewer.toggleLink(),
    anchor: () => several && viewer.toggleAnchor(),
    planes: () => viewer.panels.some((one) => one.isVolume) && viewer.togglePlanes(),
    overlay: () => viewer.nextOverlay(),
    tool: () => viewer.chooseTool(value),
    deleteMarks: () => viewer.deleteMarks(),
    escape: () => viewer.chooseTool("adjust"),
    help: () => toolbar.showHelp(),
  };
  actions[name]();
  return true;
};
