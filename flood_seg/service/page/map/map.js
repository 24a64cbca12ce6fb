// The map of a scene: tiles of the service, polygons, a slider across two layers.

import { address, json } from "../base/api.js";
import { element, say, slider } from "../base/dom.js";
import { percent, t } from "../base/i18n.js";
import { addBase } from "./base_map.js";
import { Polygons } from "./polygons.js";
import { Swipe } from "./swipe.js";

// Of all layers that a job may have, from the lowest to the highest: the file that tells that it has, and whether it is shown at first.
const LAYERS = [
  { name: "before", file: "before/item.json", opacity: 1 },
  { name: "scene", file: "item.json", shown: true, opacity: 1 },
  { name: "probability", file: "probability.tif", opacity: 0.8 },
  { name: "mask", file: "mask.tif", shown: true, opacity: 0.6 },
  { name: "flood", file: "flood.tif", opacity: 0.8 },
  { name: "change", file: "change.tif", opacity: 0.8 },
  { name: "truth", file: "truth.json", shown: true, opacity: 0.6 },
  { name: "differences", file: "differences.tif", opacity: 0.9 },
];
const DELAY = 120; // milliseconds without a movement of the threshold before tiles are asked for

export class SceneMap {
  // `box`: the element; `item`: the STAC item of the result; `files`: those of the job.
  constructor(box, job, { item, files, service }) {
    Object.assign(this, { box, job, item, service, layers: new Map(), swipe: null });
    const there = new Set(files.map(({ name }) => name));
    this.available = LAYERS.filter(({ file }) => there.has(file));
    this.georeferenced = Boolean(item.properties["flood_seg:area_m2"]);
  }

  // Draws the map; returns the controls of its layers.
  async start() {
    const tiles = Object.fromEntries(await Promise.all(this.available.map(async ({ name }) =>
      [name, await json(`jobs/${this.job.id}/tiles/${name}/tilejson.json`)])));
    const { bounds: [west, south, east, north] } = tiles.scene;
    this.bounds = L.latLngBounds([[south, west], [north, east]]);
    this.map = L.map(this.box, { crs: this.georeferenced ? L.CRS.EPSG3857 : L.CRS.Simple, attributionControl: false, zoomControl: false,
      zoomSnap: 0.25, zoomDelta: 0.5, minZoom: -20, maxZoom: 30, maxBounds: this.georeferenced ? undefined : this.bounds.pad(1) });
    L.control.zoom({ zoomInTitle: t("map.in"), zoomOutTitle: t("map.out") }).addTo(this.map);
    this.fit();
    this.map.setMinZoom(this.georeferenced ? 2 : this.map.getZoom() - 2).setMaxZoom(this.map.getZoom() + 7);
    this.home();
    if (this.georeferenced) {
      L.control.scale({ imperial: false, maxWidth: 140 }).addTo(this.map);
      addBase(this.map, this.service.config);
    }
    const rows = this.available.map((layer, place) => this.addLayer(layer, tiles[layer.name], 300 + place));
    this.polygons = new Polygons(this.map, this.job, { georeferenced: this.georeferenced });
    this.watcher = new ResizeObserver(() => this.map.invalidateSize({ animate: false }));
    this.watcher.observe(this.box);
    return element("section", { "aria-labelledby": "layers" }, element("h2", { id: "layers" }, t("layers")),
      this.polygons.control, ...rows.reverse(), this.swipeControl());
  }

  fit() {
    this.map.fitBounds(this.bounds, { padding: [12, 12], animate: false });
  }

  // Moves to a place, [longitude, latitude].
  show([x, y]) {
    this.map.panTo([y, x], { animate: false });
    this.box.scrollIntoView({ block: "nearest" });
  }

  home() {
    const button = element("a", { href: "#", role: "button", title: t("map.all"), "aria-label": t("map.all") }, "⤢");
    L.DomEvent.on(button, "click", (event) => { L.DomEvent.stop(event); this.fit(); });
    const control = L.control({ position: "topleft" });
    control.onAdd = () => element("div", { className: "leaflet-bar" }, button);
    control.addTo(this.map);
  }

  addLayer({ name, shown = false, opacity }, tiles, order) {
    this.map.createPane(name).style.zIndex = order;
    const layer = this.tileLayer(name, tiles);
    this.layers.set(name, layer);
    const pane = this.map.getPane(name);
    const box = element("input", { type: "checkbox", checked: shown });
    const strength = element("input", { type: "range", min: 0, max: 1, step: 0.05, value: opacity, "aria-label": t("map.opacity", { name: t(`layer.${name}`) }) });
    const apply = () => {
      pane.style.opacity = strength.value;
      strength.disabled = !box.checked;
      if (box.checked !== this.map.hasLayer(this.layers.get(name))) this.map[box.checked ? "addLayer" : "removeLayer"](this.layers.get(name));
    };
    box.addEventListener("change", apply);
    strength.addEventListener("input", apply);
    apply();
    return element("div", { className: "layer" },
      element("label", {}, box, element("span", { className: `swatch ${name}` }), element("span", {}, t(`layer.${name}`))),
      element("div", {}, strength), name === "probability" ? this.threshold(box, apply) : null);
  }

  tileLayer(name, { minzoom, maxzoom }, query = {}) {
    const url = decodeURI(address(`jobs/${this.job.id}/tiles/${name}/{z}/{x}/{y}.png`, query));
    const zooms = this.georeferenced ? { minNativeZoom: minzoom, maxNativeZoom: maxzoom }
      : { minNativeZoom: minzoom - maxzoom, maxNativeZoom: 0, zoomOffset: maxzoom };
    this.tiles ??= {};
    this.tiles[name] = { minzoom, maxzoom };
    return L.tileLayer(url, { pane: name, bounds: this.bounds, minZoom: -20, maxZoom: 30, ...zooms, alt: "", keepBuffer: 1 });
  }

  // The mask at a threshold in the place of the probabilities; the old tiles stay until the new ones are there.
  threshold(box, apply) {
    let timer = null;
    const show = (value) => {
      const old = this.layers.get("probability");
      const next = this.tileLayer("probability", this.tiles.probability, { threshold: value });
      this.layers.set("probability", next);
      box.checked = true;
      next.once("load", () => old.remove());
      apply();
    };
    const start = this.item.properties["flood_seg:threshold"] ?? 0.5;
    const control = slider({ label: t("map.threshold"), min: 0.01, max: 0.99, step: 0.01, value: start, text: percent,
      change: (value) => { clearTimeout(timer); timer = setTimeout(() => show(value), DELAY); } });
    const ramp = element("button", { type: "button", className: "quiet" }, t("map.ramp"));
    ramp.addEventListener("click", () => {
      control.set(start);
      show(null);
    });
    return element("div", { className: "threshold" }, control.element, ramp);
  }

  // Two layers side by side, with a line between them that moves.
  swipeControl() {
    const names = this.available.map(({ name }) => name);
    if (names.length < 2) return null;
    const options = (chosen) => {
      const select = element("select", {}, ...names.map((name) => element("option", { value: name }, t(`layer.${name}`))));
      select.value = chosen;
      return select;
    };
    const left = options("scene");
    const right = options("mask");
    if (names.includes("before")) [left.value, right.value] = ["before", "scene"];
    const on = element("input", { type: "checkbox" });
    const update = () => {
      this.swipe?.remove();
      this.swipe = null;
      if (!on.checked || left.value === right.value) return;
      for (const name of [left.value, right.value]) if (!this.map.hasLayer(this.layers.get(name))) this.layers.get(name).addTo(this.map);
      this.swipe = new Swipe(this.map, { left: [left.value], right: [right.value], label: t("map.swipe") });
      say(t("map.swiped", { left: t(`layer.${left.value}`), right: t(`layer.${right.value}`) }));
    };
    [on, left, right].forEach((one) => one.addEventListener("change", update));
    return element("fieldset", { className: "compare" }, element("legend", {}, t("map.compare")),
      element("label", { className: "check" }, on, t("map.compare.on")),
      element("label", { className: "choice" }, t("map.left"), left), element("label", { className: "choice" }, t("map.right"), right));
  }

  remove() {
    this.watcher?.disconnect();
    this.polygons?.remove();
    this.map?.remove();
  }
}
