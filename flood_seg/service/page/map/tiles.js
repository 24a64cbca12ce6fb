// Layers of tiles. Those that the service cannot draw yet, since the picture of the scene is being made, are asked for again.

import { element } from "../base/dom.js";

const ATTEMPTS = 90;
const AGAIN = 2000; // milliseconds

export function tileLayer(url, options) {
  const layer = L.tileLayer(url, options);
  const failed = new WeakMap();
  layer.on("tileerror", ({ tile, coords }) => {
    failed.set(tile, (failed.get(tile) ?? 0) + 1);
    if (failed.get(tile) < ATTEMPTS) setTimeout(() => { if (tile.isConnected) tile.src = layer.getTileUrl(coords); }, AGAIN);
  });
  return layer;
}

// Tiles of one class in another colour than the service draws them: only where they are opaque counts.
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
    const url = this.getTileUrl(place);
    let attempts = 1;
    image.addEventListener("error", () => {
      attempts += 1;
      if (attempts > ATTEMPTS) done(new Error("a tile is missing"), canvas);
      else setTimeout(() => { if (canvas.isConnected) image.src = url; }, AGAIN);
    });
    image.src = url;
    return canvas;
  },
});

export const tintedLayer = (url, color, options) => new TintedLayer(url, { ...options, color });
