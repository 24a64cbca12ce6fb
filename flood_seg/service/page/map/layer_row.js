// A layer of the map with its controls: whether it is shown, how strongly, what its colours mean, at which threshold.

import { element, slider } from "../base/dom.js";
import { className, has, setting, t } from "../base/i18n.js";

const DELAY = 120; // milliseconds without a movement of the threshold before tiles are asked for

export class LayerRow {
  // `make` returns the layer with a query for its tiles; `threshold`: of the result, null: the layer has none; `tried` hears
  // whether another one is shown.
  constructor(map, name, { make, shown, opacity, legend, threshold, tried }) {
    Object.assign(this, { map, name, make, tried, layer: make({}) });
    this.element = element("div", { className: "layer" });
    const pane = map.getPane(name);
    this.box = element("input", { type: "checkbox", checked: shown });
    this.strength = element("input", { type: "range", min: 0, max: 1, step: 0.05, value: opacity, "aria-label": t("map.opacity", { name: t(`layer.${name}`) }) });
    const fade = () => {
      pane.style.opacity = this.strength.value;
      this.strength.setAttribute("aria-valuetext", setting(Number(this.strength.value)));
    };
    this.box.addEventListener("change", () => this.apply());
    this.strength.addEventListener("input", fade);
    fade();
    this.apply();
    this.element.append(element("label", {}, this.box, element("span", {}, t(`layer.${name}`))),
      element("div", { className: "of-shown" }, this.strength, threshold === null ? colors(legend) : this.threshold(threshold, legend)));
  }

  set shown(shown) {
    this.box.checked = shown;
    this.apply();
  }

  apply() {
    this.element.classList.toggle("shown", this.box.checked);
    if (this.box.checked !== this.map.hasLayer(this.layer)) this.map[this.box.checked ? "addLayer" : "removeLayer"](this.layer);
  }

  // The mask at a threshold in the place of the probabilities. The old tiles stay until the new ones are there.
  threshold(start, legend) {
    let timer = null;
    const draw = (query) => {
      const old = this.layer;
      this.layer = this.make(query);
      this.layer.once("load", () => old.remove());
      this.shown = true;
      this.tried("threshold" in query);
    };
    const control = slider({ label: t("map.threshold"), min: 0.01, max: 0.99, step: 0.01, value: start, text: setting, change: (value) => {
      clearTimeout(timer);
      timer = setTimeout(() => draw({ threshold: value }), DELAY);
      back.hidden = false;
    } });
    const back = element("button", { type: "button", className: "quiet", hidden: true }, t("map.ramp"));
    back.addEventListener("click", () => { clearTimeout(timer); control.set(start); draw({}); back.hidden = true; });
    return element("div", { className: "threshold" }, ramp(legend), control.element, back);
  }
}

function colors(legend) {
  return element("ul", { className: "legend" }, ...legend.map((entry) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = entry.color;
    const key = `legend.${entry.name}`;
    return element("li", {}, swatch, has(key) ? t(key) : className(entry.name));
  }));
}

function ramp(legend) {
  const bar = element("div", { className: "ramp", role: "img", "aria-label": t("map.ramp.label") });
  const stops = legend.map(({ color, opacity, value }) => `${color}${Math.round(255 * opacity).toString(16).padStart(2, "0")} ${100 * value}%`);
  bar.style.background = `linear-gradient(to right, ${stops.join()})`;
  return element("div", {}, bar, element("div", { className: "row ends" }, element("span", {}, setting(0)), element("span", {}, setting(1))));
}
