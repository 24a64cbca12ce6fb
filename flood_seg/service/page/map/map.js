// The map of a scene: tiles of the service, polygons, a line that moves between two layers.

import { address, json } from "../base/api.js";
import { element, say, still } from "../base/dom.js";
import { t } from "../base/i18n.js";
import { addBase } from "./base_map.js";
import { LayerRow } from "./layer_row.js";
import { Polygons } from "./polygons.js";
import { Swipe } from "./swipe.js";
import { tileLayer, tintedLayer } from "./tiles.js";

// From the lowest to the highest; which of them a job has, the service tells.
const LAYERS = ["before", "scene", "probability", "flood", "change", "mask", "truth", "differences"];
const SHOWN = ["scene", "mask", "truth"]; // at first
const OPACITY = { before: 1, scene: 1, truth: 0.45 }; // of the others 0.6
const RED = "#d7263d"; // of the prediction, whose colour in files is that of its class

export class SceneMap {
  // `box`: the element; `item`: the STAC item of the result.
  constructor(box, job, { item, service }) {
    Object.assign(this, { box, job, item, service, rows: new Map(), swipe: null });
  }

  // Draws the map; returns the controls of its layers.
  async start() {
    const { layers } = await json(`jobs/${this.job.id}/tiles`);
    const names = LAYERS.filter((name) => layers.some((layer) => layer.name === name));
    const found = await Promise.all(names.map((name) => json(`jobs/${this.job.id}/tiles/${name}/tilejson.json`)));
    this.tiles = new Map(names.map((name, place) => [name, found[place]]));
    const [{ crs, extent: [west, south, east, north] }] = found;
    this.georeferenced = crs === "mercator";
    this.bounds = L.latLngBounds([[south, west], [north, east]]);
    this.map = L.map(this.box, { crs: this.georeferenced ? L.CRS.EPSG3857 : L.CRS.Simple, attributionControl: false, zoomControl: false,
      zoomSnap: 0.25, zoomDelta: 0.5, zoomAnimation: !still(), fadeAnimation: !still(), minZoom: -20, maxZoom: 30, maxBounds: this.georeferenced ? undefined : this.bounds.pad(1) });
    L.control.zoom({ zoomInTitle: t("map.in"), zoomOutTitle: t("map.out") }).addTo(this.map);
    this.fit();
    this.map.setMinZoom(this.georeferenced ? 2 : this.map.getZoom() - 2).setMaxZoom(this.map.getZoom() + 7);
    this.home();
    if (this.georeferenced) {
      L.control.scale({ imperial: false, maxWidth: 140 }).addTo(this.map);
      addBase(this.map, this.service.config);
    }
    names.forEach((name, place) => this.addLayer(name, 300 + place));
    this.polygons = new Polygons(this.map, this.job, this.georeferenced);
    this.watcher = new ResizeObserver(() => this.map.invalidateSize({ animate: false }));
    this.watcher.observe(this.box);
    return element("section", { "aria-labelledby": "layers" }, element("h2", { id: "layers" }, t("layers")),
      this.polygons.control, ...[...this.rows.values()].reverse().map((row) => row.element), this.compare(names));
  }

  fit() {
    this.map.fitBounds(this.bounds, { padding: [12, 12], animate: false });
  }

  // Moves to a place, [longitude, latitude], and marks it.
  show([x, y], name) {
    this.place?.remove();
    this.place = L.circleMarker([y, x], { radius: 7, color: "#fff", weight: 3, fillColor: "#1669c1", fillOpacity: 1, interactive: false })
      .bindTooltip(name, { permanent: true, direction: "top", offset: [0, -8] }).addTo(this.map);
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

  addLayer(name, order) {
    this.map.createPane(name).style.zIndex = order;
    const { legend, threshold } = this.tiles.get(name);
    const isRed = name === "mask" && legend.length === 1;
    const make = (query) => this.tileLayer(name, query, isRed || query.threshold ? RED : null);
    const row = new LayerRow(this.map, name, { make, shown: SHOWN.includes(name), opacity: OPACITY[name] ?? 0.6,
      legend: isRed ? [{ ...legend[0], color: RED }] : legend, threshold: name === "probability" ? threshold : null,
      tried: (isTried) => { this.rows.get("mask").shown = !isTried; } }); // the prediction would hide what a threshold changes
    this.rows.set(name, row);
  }

  tileLayer(name, query, color) {
    const { minzoom, maxzoom } = this.tiles.get(name);
    const url = decodeURI(address(`jobs/${this.job.id}/tiles/${name}/{z}/{x}/{y}.png`, query));
    // Without georeference, zoom 0 of Leaflet has a pixel of the screen for one of the scene, as has the service's last one.
    const zooms = this.georeferenced ? { minNativeZoom: minzoom, maxNativeZoom: maxzoom }
      : { minNativeZoom: minzoom - maxzoom, maxNativeZoom: 0, zoomOffset: maxzoom };
    const options = { pane: name, bounds: this.bounds, minZoom: -20, maxZoom: 30, keepBuffer: 1, ...zooms };
    return color ? tintedLayer(url, color, options) : tileLayer(url, options);
  }

  // Two layers side by side, with a line between them that moves.
  compare(names) {
    if (names.length < 2) return null;
    const options = (chosen) => {
      const select = element("select", {}, ...names.map((name) => element("option", { value: name }, t(`layer.${name}`))));
      select.value = chosen;
      return select;
    };
    const earlier = names.includes("before");
    const left = options(earlier ? "before" : "scene");
    const right = options(earlier ? "scene" : "mask");
    const on = element("input", { type: "checkbox" });
    const update = () => {
      this.swipe?.remove();
      this.swipe = null;
      if (!on.checked || left.value === right.value) return;
      for (const name of [left.value, right.value]) this.rows.get(name).shown = true;
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
