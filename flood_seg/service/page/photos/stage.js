// The photo with its mask, which a slider uncovers; zoomed and moved like a map.

import { element } from "../base/dom.js";
import { t } from "../base/i18n.js";
import { Swipe } from "../map/swipe.js";

export class Stage {
  // `box` is the element of the map, `photo` a blob that the browser may be unable to show.
  constructor(box, photo, width, height) {
    const bounds = [[-height, 0], [0, width]];
    this.canvas = element("canvas", { role: "img", "aria-label": t("stage.mask") });
    box.style.setProperty("--ratio", `${width} / ${height}`);
    this.map = L.map(box, { crs: L.CRS.Simple, attributionControl: false, zoomSnap: 0, zoomDelta: 0.5, minZoom: -20, maxZoom: 4,
      maxBounds: L.latLngBounds(bounds).pad(0.5), zoomControl: false, zoomAnimation: false });
    L.control.zoom({ zoomInTitle: t("map.in"), zoomOutTitle: t("map.out") }).addTo(this.map);
    for (const name of ["photo", "mask"]) this.map.createPane(name).style.zIndex = 300;
    this.url = URL.createObjectURL(photo);
    const image = L.imageOverlay(this.url, bounds, { pane: "photo", alt: t("stage.photo") }).addTo(this.map);
    this.shown = new Promise((resolve) => { image.on("load", () => resolve(true)).on("error", () => resolve(false)); });
    L.svgOverlay(this.canvas, bounds, { pane: "mask" }).addTo(this.map); // takes any element
    this.fit = () => {
      this.map.invalidateSize({ animate: false });
      this.map.fitBounds(bounds, { animate: false });
      this.map.setMinZoom(this.map.getZoom() - 1);
    };
    this.fit();
    this.swipe = new Swipe(this.map, { right: ["mask"], label: t("stage.swipe"), start: 50 });
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(box);
  }

  set opacity(share) {
    this.map.getPane("mask").style.opacity = share;
  }

  remove() {
    this.watcher.disconnect();
    this.swipe.remove();
    this.map.remove();
    URL.revokeObjectURL(this.url);
  }
}
