// A picture on which a box is drawn by dragging. The box goes to the page as four fractions of the
// picture (top, left, bottom, right); the sliders beside it do the same for the keyboard.

const CSS = `
.frame { position: relative; cursor: crosshair; touch-action: none; line-height: 0; }
.frame img { width: 100%; height: auto; user-select: none; -webkit-user-drag: none; }
.box { position: absolute; box-sizing: border-box; border: 2px solid #d9a650; box-shadow: 0 0 0 1px rgb(0 0 0 / 0.6); pointer-events: none; }
`;
const LEAST = 0.02; // of the picture's height and width: less is a click

const within = (value) => Math.min(1, Math.max(0, value));

class Marker {
  constructor(root) {
    const style = document.createElement("style");
    style.textContent = CSS;
    this.frame = document.createElement("div");
    this.frame.className = "frame";
    this.image = document.createElement("img");
    this.image.draggable = false;
    this.shape = document.createElement("div");
    this.shape.className = "box";
    this.frame.append(this.image, this.shape);
    root.append(style, this.frame);
    this.start = null;
    this.frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      this.frame.setPointerCapture(event.pointerId);
      this.start = this.at(event);
    });
    this.frame.addEventListener("pointermove", (event) => {
      if (this.start !== null) this.show(this.boxTo(event));
    });
    this.frame.addEventListener("pointerup", (event) => {
      if (this.start === null) return;
      const box = this.boxTo(event);
      this.start = null;
      if (box[2] - box[0] < LEAST || box[3] - box[1] < LEAST) {
        this.show(this.box);
        return;
      }
      this.box = box;
      this.show(box);
      this.send(box);
    });
    this.frame.addEventListener("pointercancel", () => {
      this.start = null;
      this.show(this.box);
    });
  }

  at(event) {
    const area = this.image.getBoundingClientRect();
    return [within((event.clientY - area.top) / area.height), within((event.clientX - area.left) / area.width)];
  }

  boxTo(event) {
    const [top, left] = this.start;
    const [bottom, right] = this.at(event);
    return [Math.min(top, bottom), Math.min(left, right), Math.max(top, bottom), Math.max(left, right)];
  }

  show([top, left, bottom, right]) {
    const percent = (value) => `${100 * value}%`;
    Object.assign(this.shape.style, {
      top: percent(top), left: percent(left), height: percent(bottom - top), width: percent(right - left),
    });
  }

  update(data, send) {
    this.send = send;
    if (this.image.src !== data.picture) this.image.src = data.picture;
    this.image.alt = data.alt;
    this.box = data.box;
    if (this.start === null) this.show(this.box);
  }
}

const markers = new WeakMap();

export default function mount({ data, parentElement, setTriggerValue }) {
  let marker = markers.get(parentElement);
  if (marker === undefined) {
    marker = new Marker(parentElement);
    markers.set(parentElement, marker);
  }
  marker.update(data, (box) => setTriggerValue("marked", box));
}
