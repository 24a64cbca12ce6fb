// Decodes a grey PNG with its full 16 bits, of which a canvas would keep 8: the format of ISO/IEC 15948, as the service writes it.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;

// Returns { width, height, max, values }, values being a Uint8Array or a Uint16Array row by row.
export async function decodeGrey(blob) {
  const file = new Uint8Array(await blob.arrayBuffer());
  const view = new DataView(file.buffer);
  if (SIGNATURE.some((byte, place) => file[place] !== byte)) throw new Error("not a PNG");
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const [bits, color, , , interlace] = file.subarray(24, 29);
  if (color !== GREY || ![8, 16].includes(bits) || interlace) throw new Error("not a grey PNG of 8 or 16 bits");
  const parts = [];
  for (let place = 8; place < file.length;) {
    const length = view.getUint32(place);
    if (String.fromCharCode(...file.subarray(place + 4, place + 8)) === "IDAT") parts.push(file.subarray(place + 8, place + 8 + length));
    place += length + 12;
  }
  const inflated = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new Uint8Array(await new Response(inflated).arrayBuffer());
  const bytes = bits / 8;
  const plain = unfilter(rows, width * bytes, height, bytes);
  return { width, height, max: 2 ** bits - 1, values: bits === 8 ? plain : joined(plain) };
}

// Each row begins with the number of its filter, which predicts a byte from those left, above and above left of it.
function unfilter(rows, stride, height, bytes) {
  const plain = new Uint8Array(stride * height);
  for (let row = 0; row < height; row += 1) {
    const filter = rows[row * (stride + 1)];
    const from = row * (stride + 1) + 1;
    const to = row * stride;
    for (let column = 0; column < stride; column += 1) {
      const left = column >= bytes ? plain[to + column - bytes] : 0;
      const up = row ? plain[to + column - stride] : 0;
      let predicted = 0;
      if (filter === 1) predicted = left;
      else if (filter === 2) predicted = up;
      else if (filter === 3) predicted = (left + up) >> 1;
      else if (filter === 4) predicted = paeth(left, up, row && column >= bytes ? plain[to + column - stride - bytes] : 0);
      plain[to + column] = rows[from + column] + predicted;
    }
  }
  return plain;
}

function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function joined(bytes) {
  const values = new Uint16Array(bytes.length / 2);
  for (let place = 0; place < values.length; place += 1) values[place] = (bytes[2 * place] << 8) | bytes[2 * place + 1];
  return values;
}
