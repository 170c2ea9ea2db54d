// The planes of a volume: which axis of the pixels runs across, down and to the right, and which of
// them backwards. Axes are numbered as in the header: 0 slices, 1 rows, 2 columns.

const OPPOSITE = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };

// As radiologists look at them: from below, from the front, from the patient's left side.
const WANTED = [
  { name: "axial", across: "H", down: "P", right: "L" },
  { name: "coronal", across: "P", down: "F", right: "L" },
  { name: "sagittal", across: "L", down: "F", right: "P" },
];

const step = (axis, side = "", backwards = false) => ({ axis, side, backwards });

/** The picture as it was sent: nothing is mirrored, turned or computed. */
export const storedPlane = (header) => {
  const sides = header.axes.length === 2 ? ["", ...header.axes] : header.axes;
  return {
    name: "stack",
    across: step(0, sides[0]),
    down: step(1, sides[1]),
    right: step(2, sides[2]),
  };
};

/** Three planes: named by the body where the sides of all axes are known, else by the axes. */
export const planesOf = (header) => {
  const main = header.axes.map((side) => side[0] ?? "");
  const find = (side) => main.findIndex((one) => one === side || one === OPPOSITE[side]);
  const along = ["H", "P", "L"].map(find);
  if (main.length === 3 && new Set(along).size === 3 && !along.includes(-1)) {
    const to = (side) => step(find(side), side, main[find(side)] !== side);
    return WANTED.map((plane) => ({
      name: plane.name,
      across: to(plane.across),
      down: to(plane.down),
      right: to(plane.right),
    }));
  }
  const named = (name, across, down, right) => ({
    name,
    across: step(across, header.axes[across]),
    down: step(down, header.axes[down]),
    right: step(right, header.axes[right]),
  });
  return [named("slices", 0, 1, 2), named("rows", 1, 0, 2), named("columns", 2, 0, 1)];
};

/** How many pixels, and how far apart, along each way of a plane. */
export const shapeOf = (header, plane) => {
  const sizes = [header.slices, header.rows, header.columns];
  const spacing = header.spacing_mm ?? [null, null, null];
  const of = ({ axis }) => ({ count: sizes[axis], mm: spacing[axis] ?? null });
  return { across: of(plane.across), down: of(plane.down), right: of(plane.right) };
};

/** The letters at the edges of a picture: top, right, bottom, left; turned with it. */
export const edgeLetters = (plane, quarterTurns) => {
  const { side: down } = plane.down;
  const { side: right } = plane.right;
  const other = (side) => [...side].map((letter) => OPPOSITE[letter]).join("");
  const around = [other(down), right, down, other(right)];
  return around.map((_, edge) => around[(edge + 4 - (quarterTurns % 4)) % 4]);
};

/** Where a pixel of a plane lies in the volume: index of slice, row, column. */
export const toVolume = (header, plane, { across, down, right }) => {
  const sizes = [header.slices, header.rows, header.columns];
  const place = [0, 0, 0];
  for (const [way, index] of [
    [plane.across, across],
    [plane.down, down],
    [plane.right, right],
  ]) {
    place[way.axis] = way.backwards ? sizes[way.axis] - 1 - index : index;
  }
  return place;
};

/** Where a place of the volume lies in a plane. */
export const toPlane = (header, plane, place) => {
  const sizes = [header.slices, header.rows, header.columns];
  const along = ({ axis, backwards }) => (backwards ? sizes[axis] - 1 - place[axis] : place[axis]);
  return { across: along(plane.across), down: along(plane.down), right: along(plane.right) };
};

/** Cut one picture out of the volume: slices are arrays of rows × columns. */
export const cut = (header, slices, plane, across) => {
  const { down, right } = shapeOf(header, plane);
  const pixels = new slices[0].constructor(down.count * right.count);
  // a step along each way, in slices and in pixels of a slice
  const strides = [
    [1, 0],
    [0, header.columns],
    [0, 1],
  ];
  const [firstSlice, firstRow, firstColumn] = toVolume(header, plane, { across, down: 0, right: 0 });
  const move = ({ axis, backwards }) => strides[axis].map((by) => (backwards ? -by : by));
  const [downSlice, downPixel] = move(plane.down);
  const [rightSlice, rightPixel] = move(plane.right);
  const start = firstRow * header.columns + firstColumn;
  let at = 0;
  for (let i = 0; i < down.count; i += 1) {
    let slice = firstSlice + i * downSlice;
    let pixel = start + i * downPixel;
    for (let j = 0; j < right.count; j += 1) {
      pixels[at] = slices[slice][pixel];
      at += 1;
      slice += rightSlice;
      pixel += rightPixel;
    }
  }
  return pixels;
};
