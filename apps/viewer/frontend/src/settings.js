// The reader's settings: kept from hit to hit, and over a reload of the page. Numbers and names of
// settings only, nothing of a patient.

const KEY = "medembed-viewer";

const FRESH = {
  link: null, // not chosen yet: what the page says
  tool: "adjust",
  planes: false,
  invert: false,
  turns: 0,
  opacity: 0.5,
  looks: {}, // by units: the preset, or level and width
};

const read = () => {
  try {
    return { ...FRESH, ...JSON.parse(sessionStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...FRESH };
  }
};

export const settings = read();

export const keep = (changes) => {
  Object.assign(settings, changes);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // a browser that stores nothing keeps them until the page goes
  }
};
