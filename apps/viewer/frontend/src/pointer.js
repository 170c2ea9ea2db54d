// The wheel, and the point that all planes should show.
import { settings } from "./settings.js";

export const ZOOM_STEP = 1.2;

/** The panel and the view that an event happened on. */
const under = (viewer, event) => {
  const path = event.composedPath();
  for (const panel of viewer.panels) {
    const moved = viewer.movingLayer ? panel.layer?.view : undefined;
    if (moved && path.includes(panel.views[0]?.box)) return { panel, view: moved };
    for (const view of panel.views) if (path.includes(view.box)) return { panel, view };
  }
  return null;
};

const locate = (viewer, { panel, view }, event) => {
  const pixel = view.pixelAt(event.clientX, event.clientY);
  panel.locate(view, pixel);
  if (!viewer.linked) return;
  for (const other of viewer.panels) {
    const its = other === panel ? undefined : viewer.counterpart(view, other);
    if (its === undefined) continue;
    const like = (way) => {
      const share = pixel[way] / Math.max(view.shape[way].count - 1, 1);
      return Math.round(share * (its.shape[way].count - 1));
    };
    other.locate(its, { across: its.asked, down: like("down"), right: like("right") });
  }
};

export const listenToPointer = (viewer) => {
  let rolled = 0;
  const wheel = (event) => {
    const at = under(viewer, event);
    if (at === null) return;
    event.preventDefault();
    const { panel, view } = at;
    if (!view.layer) viewer.activate(panel, view);
    const lines = event.deltaMode === 0 ? event.deltaY / 40 : event.deltaY;
    if (event.ctrlKey || view.count < 2) {
      view.zoomBy(ZOOM_STEP ** Math.max(-1, Math.min(1, -lines)));
      return;
    }
    rolled += lines;
    // a mouse's wheel comes in steps, a touchpad's in many small parts
    const steps = Math.abs(lines) >= 1 ? Math.sign(lines) : Math.trunc(rolled);
    if (steps === 0) return;
    rolled = 0;
    viewer.scrollTo(panel, view, view.asked + steps);
  };
  const point = (event) => {
    if (settings.tool !== "locate" || (event.buttons & 1) === 0) return;
    const at = under(viewer, event);
    if (at !== null && !at.view.layer) locate(viewer, at, event);
  };
  viewer.stage.addEventListener("wheel", wheel, { passive: false });
  viewer.stage.addEventListener("pointerdown", point);
  viewer.stage.addEventListener("pointermove", point);
};
