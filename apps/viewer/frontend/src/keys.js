// Which key does what. Nothing happens while somebody types, or in a list of choices.

const PLAIN = {
  ArrowLeft: ["step", -1],
  ArrowRight: ["step", 1],
  k: ["step", -1],
  j: ["step", 1],
  ArrowUp: ["scroll", -1],
  ArrowDown: ["scroll", 1],
  PageUp: ["scroll", -10],
  PageDown: ["scroll", 10],
  Home: ["end", -1],
  End: ["end", 1],
  w: ["preset", 1],
  W: ["preset", -1],
  "[": ["level", -1],
  "]": ["level", 1],
  "{": ["width", -1],
  "}": ["width", 1],
  "+": ["zoom", 1],
  "=": ["zoom", 1],
  "-": ["zoom", -1],
  0: ["fit"],
  i: ["invert"],
  o: ["rotate"],
  r: ["reset"],
  l: ["link"],
  a: ["anchor"],
  m: ["planes"],
  f: ["overlay"],
  d: ["tool", "length"],
  g: ["tool", "angle"],
  e: ["tool", "region"],
  c: ["tool", "locate"],
  x: ["deleteMarks"],
  Escape: ["escape"],
  "?": ["help"],
};

const SHIFTED = {
  ArrowLeft: ["pan", [-1, 0]],
  ArrowRight: ["pan", [1, 0]],
  ArrowUp: ["pan", [0, -1]],
  ArrowDown: ["pan", [0, 1]],
};

const MOVES = /^(Arrow|Page|Home|End)/;
const CHOICES = '[role="slider"],[role="option"],[role="listbox"],[role="combobox"],[role="menuitem"],[role="tab"],[role="radio"],[role="spinbutton"]';

/** What a key asks for, as [name, value]; null if it is not ours. */
export const keyAction = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  const target = event.composedPath()[0];
  const name = target?.tagName;
  if (name === "TEXTAREA" || name === "SELECT" || target?.isContentEditable) return null;
  const isRange = name === "INPUT" && target.type === "range";
  if (name === "INPUT" && !isRange) return null;
  if ((isRange || target?.closest?.(CHOICES)) && MOVES.test(event.key)) return null;
  if (event.shiftKey && SHIFTED[event.key]) return SHIFTED[event.key];
  if (/^[1-9]$/.test(event.key)) return ["presetNumber", Number(event.key)];
  const lower = event.key.length === 1 && event.key !== "W" ? event.key.toLowerCase() : event.key;
  return PLAIN[lower] ?? null;
};
