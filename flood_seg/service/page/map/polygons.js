// The polygons of the result in the part of the map that is shown, their figures on a click, the largest ones as a list.

import { Problem, json } from "../base/api.js";
import { element } from "../base/dom.js";
import { area, className, percent, t } from "../base/i18n.js";

const LIMIT = 1000; // polygons at once
const LISTED = 8;
const STYLE = { color: "#b3001b", weight: 2, fillOpacity: 0.01 }; // filled a little, so that a click inside counts

export class Polygons {
  constructor(map, job, georeferenced) {
    Object.assign(this, { map, job, georeferenced });
    map.createPane("polygons").style.zIndex = 450;
    this.layer = L.geoJSON([], { pane: "polygons", style: STYLE, coordsToLatLng: (point) => this.place(point),
      onEachFeature: ({ properties }, polygon) => polygon.bindPopup(() => this.popup(properties)) }).addTo(map);
    this.open = null; // the popup that is open: { id, at }, which is opened again when the polygons are drawn anew
    this.layer.on("popupopen", ({ popup, layer }) => { this.open = { id: layer.feature.id, at: popup.getLatLng() }; });
    this.layer.on("popupclose", () => { this.open = null; });
    this.list = element("ul", { className: "areas" });
    this.list.addEventListener("keydown", ({ key }) => { if (key === "Escape") map.closePopup(); }); // as on the map itself
    this.note = element("p", { className: "note", role: "status" });
    const box = element("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => { box.checked ? this.layer.addTo(map) : this.layer.remove(); });
    this.control = element("div", { className: "layer" },
      element("label", {}, box, element("span", { className: "swatch polygons" }), element("span", {}, t("layer.polygons"))), this.note,
      element("details", {}, element("summary", {}, t("polygons.largest")), this.list));
    this.load = () => this.read();
    map.on("moveend", this.load);
    this.read();
  }

  // The part of the world in view, west to east, which may cross the antimeridian.
  view() {
    const bounds = this.map.getBounds();
    const [south, north] = [bounds.getSouth(), bounds.getNorth()];
    let [west, east] = [bounds.getWest(), bounds.getEast()];
    if (this.georeferenced) [west, east] = east - west >= 360 ? [-180, 180] : [west, east].map((one) => L.Util.wrapNum(one, [-180, 180], true));
    return [west, south, east, north].join();
  }

  // On the side of the antimeridian that is in view.
  place([x, y]) {
    const turns = this.georeferenced ? Math.round((this.map.getCenter().lng - x) / 360) : 0;
    return L.latLng(y, x + 360 * turns);
  }

  async read() {
    this.reading?.abort();
    this.reading = new AbortController();
    try {
      const found = await json(`jobs/${this.job.id}/features`, { query: { bbox: this.view(), limit: LIMIT, collection: "areas", crs: this.georeferenced ? "CRS84" : "pixels" }, signal: this.reading.signal });
      this.draw(found);
    } catch (error) {
      if (error instanceof Problem) this.note.textContent = `${error.headline} ${error.detail}`;
      else if (error.name !== "AbortError") throw error;
    }
  }

  draw({ features, numberMatched }) {
    const { open } = this;
    this.layer.clearLayers().addData(features);
    this.note.textContent = numberMatched > features.length ? t("polygons.some", { shown: features.length, count: numberMatched })
      : t("polygons.count", { count: features.length });
    const largest = this.layer.getLayers().sort((one, other) => this.size(other.feature.properties) - this.size(one.feature.properties));
    this.list.replaceChildren(...largest.slice(0, LISTED).map((polygon) => {
      const button = element("button", { type: "button", className: "quiet" }, this.text(polygon.feature.properties));
      button.addEventListener("click", () => this.layer.hasLayer(polygon) && polygon.openPopup());
      return element("li", {}, button);
    }));
    if (open) largest.find(({ feature }) => feature.id === open.id)?.openPopup(open.at);
  }

  size(properties) {
    return this.georeferenced ? properties.area_m2 : properties.area_px;
  }

  text(properties) {
    return `${className(properties.class)}: ${area(this.size(properties), this.georeferenced)}`;
  }

  popup(properties) {
    const rows = [[t("polygon.area"), area(this.size(properties), this.georeferenced)]];
    if (properties.mean_probability !== null) rows.push([t("polygon.probability"), percent(properties.mean_probability)]);
    return element("div", {}, element("b", {}, className(properties.class)), element("table", {}, element("tbody", {},
      ...rows.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value))))));
  }

  remove() {
    this.reading?.abort();
    this.map.off("moveend", this.load);
  }
}
