// A slider across a map: panes named `left` show left of it, those named `right` right of it.

import { element } from "../base/dom.js";

export class Swipe {
  // Takes a Leaflet map, the panes of both sides and the slider's label.
  constructor(map, { left = [], right = [], label, start = 50 }) {
    Object.assign(this, { map, left, right });
    this.input = element("input", { type: "range", min: 0, max: 100, step: 0.5, value: start, className: "swipe-range", "aria-label": label });
    this.line = element("div", { className: "swipe-line" }, element("span", { className: "swipe-grip", "aria-hidden": "true" }, "◂▸"));
    map.getContainer().append(this.line, this.input);
    L.DomEvent.disableScrollPropagation(this.input);
    this.update = () => this.clip();
    this.input.addEventListener("input", this.update);
    map.on("move zoom resize viewreset", this.update);
    this.drag();
    this.clip();
  }

  // The line itself is dragged; the range input is there for the keyboard and for screen readers.
  drag() {
    const move = (event) => {
      const { left, width } = this.map.getContainer().getBoundingClientRect();
      this.input.value = (100 * (event.clientX - left)) / width;
      this.clip();
    };
    L.DomEvent.disableClickPropagation(this.line);
    this.line.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.line.setPointerCapture(event.pointerId);
      this.line.addEventListener("pointermove", move);
      this.line.addEventListener("pointerup", () => this.line.removeEventListener("pointermove", move), { once: true });
    });
  }

  clip() {
    const { x: width, y: height } = this.map.getSize();
    const place = (width * this.input.value) / 100;
    this.line.style.left = `${place}px`;
    const corner = (x, y) => this.map.containerPointToLayerPoint([x, y]);
    const clip = (panes, from, to) => {
      const [start, end] = [corner(from, 0), corner(to, height)];
      for (const name of panes) this.map.getPane(name).style.clipPath = box(start, end);
    };
    clip(this.left, 0, place);
    clip(this.right, place, width);
  }

  remove() {
    this.map.off("move zoom resize viewreset", this.update);
    for (const name of [...this.left, ...this.right]) this.map.getPane(name).style.clipPath = "";
    this.line.remove();
    this.input.remove();
  }
}

// Panes have no size of their own, so that shares of it would be nothing.
const box = (start, end) =>
  `polygon(${start.x}px ${start.y}px, ${end.x}px ${start.y}px, ${end.x}px ${end.y}px, ${start.x}px ${end.y}px)`;
