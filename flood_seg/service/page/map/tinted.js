// Tiles of one class in another colour than the service draws them: only where they are opaque counts.

import { element } from "../base/dom.js";

const TintedLayer = L.TileLayer.extend({
  createTile(place, done) {
    const canvas = element("canvas", { className: "leaflet-tile" });
    const image = new Image();
    image.addEventListener("load", () => {
      Object.assign(canvas, { width: image.width, height: image.height });
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      context.globalCompositeOperation = "source-in";
      context.fillStyle = this.options.color;
      context.fillRect(0, 0, canvas.width, canvas.height);
      done(null, canvas);
    });
    image.addEventListener("error", () => done(new Error("a tile is missing"), canvas));
    image.src = this.getTileUrl(place);
    return canvas;
  },
});

export const tintedLayer = (url, color, options) => new TintedLayer(url, { ...options, color });
