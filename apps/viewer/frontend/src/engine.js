// Cornerstone3D, started once for the page: rendering, tools and how marks look.
import { Enums, RenderingEngine, init as startCore, setUseCPURendering } from "@cornerstonejs/core";
import {
  AngleTool,
  EllipticalROITool,
  Enums as ToolEnums,
  LengthTool,
  PanTool,
  ToolGroupManager,
  WindowLevelTool,
  ZoomTool,
  addTool,
  annotation,
  init as startTools,
} from "@cornerstonejs/tools";
import { parsed, registerPixels } from "./pixels.js";

const GROUP = "medembed";
const { MouseBindings } = ToolEnums;

/** The tools by their names in the viewer; "locate" has none of Cornerstone's. */
export const TOOLS = {
  adjust: WindowLevelTool.toolName,
  pan: PanTool.toolName,
  zoom: ZoomTool.toolName,
  locate: null,
  length: LengthTool.toolName,
  angle: AngleTool.toolName,
  region: EllipticalROITool.toolName,
};

export const { Events } = Enums;
export { annotation };

let texts = {};

/** The texts for the marks: those of the page's language. */
export const setMarkTexts = (given) => {
  texts = given;
};

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
export { filled };

const sourceOf = (targetId) => parsed(targetId.slice(targetId.indexOf("pixels:")))?.source ?? null;

const length = (value, header) => {
  if (header.scale === "unknown") return filled(texts.pixels, { n: value.toFixed(0) });
  const text = header.scale === "detector" ? texts.millimeters_at_detector : texts.millimeters;
  return filled(text, { mm: value.toFixed(1) });
};

const lines = (write) => (data, targetId) => {
  const stats = data.cachedStats?.[targetId];
  const source = sourceOf(targetId);
  return stats && source ? write(stats, source.header, targetId) : [];
};

const lengthLines = lines(({ length: value }, header) =>
  value === undefined || value === null ? [] : [length(value, header)],
);

const angleLines = lines(({ angle }) =>
  Number.isFinite(angle) ? [filled(texts.degrees, { n: angle.toFixed(1) })] : [],
);

const regionLines = lines(({ mean, stdDev }, header, targetId) => {
  // behind a lookup table there are gray levels, not values
  const { table } = parsed(targetId.slice(targetId.indexOf("pixels:")));
  if (!Number.isFinite(mean) || table !== undefined) return [];
  const units = header.units === "HU" ? "HU" : "";
  return [filled(texts.mean, { mean: mean.toFixed(1), sd: (stdDev ?? 0).toFixed(1), units }).trim()];
});

const hasGraphics = () => {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (gl === null) return false;
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const renderer = names ? gl.getParameter(names.UNMASKED_RENDERER_WEBGL) : "";
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  // a graphics card imitated by the processor is slower than Cornerstone's own drawing on it
  return !/swiftshader|llvmpipe|software|basic render/i.test(renderer);
};

let started;

/** Start Cornerstone; true if it draws with a graphics card. */
export const start = () => {
  started ??= (async () => {
    const graphics = hasGraphics();
    if (!graphics) setUseCPURendering(true);
    await startCore({ debug: { statsOverlay: false } });
    if (!graphics) setUseCPURendering(true);
    await startTools();
    registerPixels();
    for (const tool of [WindowLevelTool, PanTool, ZoomTool, LengthTool, AngleTool, EllipticalROITool]) addTool(tool);
    const group = ToolGroupManager.createToolGroup(GROUP);
    group.addTool(TOOLS.adjust);
    group.addTool(TOOLS.pan);
    group.addTool(TOOLS.zoom, { zoomToCenter: true });
    group.addTool(TOOLS.length, { getTextLines: lengthLines });
    group.addTool(TOOLS.angle, { getTextLines: angleLines });
    group.addTool(TOOLS.region, { getTextLines: regionLines });
    annotation.config.style.setDefaultToolStyles({
      ...annotation.config.style.getDefaultToolStyles(),
      global: {
        ...annotation.config.style.getDefaultToolStyles().global,
        color: "rgb(224, 178, 92)",
        colorHighlighted: "rgb(255, 214, 140)",
        colorSelected: "rgb(255, 214, 140)",
        colorLocked: "rgb(224, 178, 92)",
        lineWidth: "1.5",
        textBoxFontFamily: "inherit",
        textBoxFontSize: "14px",
        textBoxColor: "rgb(255, 214, 140)",
        textBoxColorHighlighted: "rgb(255, 214, 140)",
        textBoxColorSelected: "rgb(255, 214, 140)",
        textBoxLinkLineDash: "2,3",
      },
    });
    return graphics;
  })();
  return started;
};

let engine;

export const renderingEngine = () => {
  engine ??= new RenderingEngine("medembed");
  return engine;
};

export const toolGroup = () => ToolGroupManager.getToolGroup(GROUP);

/** Give a tool the left button and one finger; the right button zooms, the middle one pans. */
export const chooseTool = (name) => {
  const group = toolGroup();
  for (const tool of Object.values(TOOLS)) if (tool !== null) group.setToolPassive(tool, { removeAllBindings: true });
  const bindings = {
    [TOOLS.pan]: [{ mouseButton: MouseBindings.Auxiliary }, { numTouchPoints: 3 }],
    [TOOLS.zoom]: [{ mouseButton: MouseBindings.Secondary }, { numTouchPoints: 2 }],
  };
  const chosen = TOOLS[name];
  if (chosen !== null) (bindings[chosen] ??= []).push({ mouseButton: MouseBindings.Primary });
  for (const [tool, given] of Object.entries(bindings)) group.setToolActive(tool, { bindings: given });
};
