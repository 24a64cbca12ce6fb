// The mask of a photo at any threshold, from its probabilities; shares of all thresholds are known from one count.

const DRAWN_PIXELS = 1_500_000; // while the slider moves; more would make it stutter on a phone
const TINT = [30, 144, 255]; // those of `flood-seg infer --overlay`
const OUTLINE = [255, 235, 59];

export class Thresholds {
  // Takes the result of `decodeGrey`.
  constructor({ width, height, max, values }) {
    Object.assign(this, { width, height, max, values });
    const counts = new Uint32Array(max + 1);
    for (const value of values) counts[value] += 1;
    this.above = new Uint32Array(max + 2); // pixels of a value and more
    for (let value = max; value >= 0; value -= 1) this.above[value] = this.above[value + 1] + counts[value];
  }

  // The lowest value that is above a threshold in [0, 1].
  first(threshold) {
    return Math.min(this.max + 1, Math.floor(threshold * this.max) + 1);
  }

  // The share of the pixels whose probability is above a threshold.
  share(threshold) {
    return this.above[this.first(threshold)] / this.values.length;
  }

  // Draws the mask; `whole`: with all pixels.
  draw(canvas, threshold, whole) {
    const step = whole ? 1 : Math.max(1, Math.ceil(Math.sqrt(this.values.length / DRAWN_PIXELS)));
    const first = this.first(threshold);
    drawMask(canvas, Math.ceil(this.width / step), Math.ceil(this.height / step),
      (column, row) => this.values[row * step * this.width + column * step] >= first ? TINT : null);
  }
}

// Draws the classes of a mask as it came from the service: `colors` by its values.
export function drawClasses(canvas, { width, height, values }, colors) {
  drawMask(canvas, width, height, (column, row) => colors[values[row * width + column]] ?? null);
}

// `colorOf` returns the colour of a pixel, or null where there is nothing; its edge is outlined.
function drawMask(canvas, width, height, colorOf) {
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const packed = new Map();
  const pack = (color) => {
    if (!packed.has(color)) packed.set(color, new Uint32Array(new Uint8Array([...color, 255]).buffer)[0]);
    return packed.get(color);
  };
  for (let row = 0, place = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1, place += 1) {
      const color = colorOf(column, row);
      if (color) pixels[place] = pack(color);
    }
  }
  const edge = pack(OUTLINE);
  const filled = pixels.slice();
  const reach = Math.max(1, Math.round(Math.max(width, height) / 900));
  for (let row = 0, place = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1, place += 1) {
      const own = filled[place];
      if (own && ((column >= reach && filled[place - reach] !== own) || (column + reach < width && filled[place + reach] !== own) ||
          (row >= reach && filled[place - reach * width] !== own) || (row + reach < height && filled[place + reach * width] !== own))) {
        pixels[place] = edge;
      }
    }
  }
  context.putImageData(picture, 0, 0);
}
