// The window that a study opens with: as the reader has set it, for all studies of the same units.
import { linear } from "./linking.js";
import { keep, settings } from "./settings.js";

/** The reader's window for a study, else its own. */
export const windowFor = (header) => {
  const look = settings.looks[header.units];
  const own = header.windows[0];
  if (look === undefined) return own;
  if (look.preset !== undefined) return header.windows.find(({ id }) => id === look.preset) ?? own;
  if (look.center !== undefined) return { ...look, function: "LINEAR_EXACT" };
  const first = linear(own, header);
  return { center: first.center + look.shift * first.width, width: look.scale * first.width, function: "LINEAR_EXACT" };
};

/** Keep a window for the studies to come: a preset, HU, or relative to the opening window. */
export const keepLook = (window, header) => {
  const first = linear(header.windows[0], header);
  const adjusted =
    header.units === "HU"
      ? { center: window.center, width: window.width }
      : { shift: (window.center - first.center) / first.width, scale: window.width / first.width };
  const look = window.id === undefined ? adjusted : { preset: window.id };
  keep({ looks: { ...settings.looks, [header.units]: look } });
};
