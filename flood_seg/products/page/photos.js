"use strict";
// Draws the map of photos: a pin each, in the colour of a class's share, and a list of all.

const placed = data.photos.filter((photo) => photo.position);
const unplaced = data.photos.filter((photo) => !photo.position);
let chosen = Math.max(0, data.classes.indexOf("water"));

const shareOf = (photo) => photo.shares[chosen];
const inPercent = (share) => `${number(100 * share)} %`;

function bin(photo) {
  return photo.shares.length ? data.colors.findLastIndex(([start]) => shareOf(photo) >= start) : -1;
}

function colorOf(photo) {
  return photo.shares.length ? data.colors[bin(photo)][1] : data.unknown;
}

function link(address, text) {
  return element("a", { href: address, target: "_blank" }, text);
}

// The map.

const bounds = L.latLngBounds(placed.map((photo) => photo.position));
const map = L.map("map", { attributionControl: false, zoomSnap: 0.1, zoomDelta: 0.5, maxZoom: 24, worldCopyJump: false });
const showAll = () => map.fitBounds(bounds, { padding: [40, 40], maxZoom: 18, animate: false });
showAll();
map.setMinZoom(Math.max(0, map.getZoom() - 4));

const ink = getComputedStyle(document.body).getPropertyValue("--ink");

// A disc, with a tip in the direction that the camera looked to.
const REACH = 19; // pixels from the middle to the tip
const Pin = L.CircleMarker.extend({
  _updateBounds() {
    this._pxBounds = L.bounds(this._point.subtract([REACH, REACH]), this._point.add([REACH, REACH]));
  },
  _updatePath() {
    const { _ctx: context, _drawing: drawing } = this._renderer;
    const { heading } = this.options.photo;
    if (drawing && !this._empty() && heading !== null) {
      context.save();
      context.translate(this._point.x, this._point.y);
      context.rotate((heading * Math.PI) / 180);
      context.beginPath();
      context.moveTo(-7, -6);
      context.lineTo(0, -REACH + 1);
      context.lineTo(7, -6);
      context.closePath();
      context.fillStyle = ink;
      context.fill();
      context.restore();
    }
    this._renderer._updateCircle(this);
  },
});

const compass = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];

function headingText({ heading, heading_reference: reference }) {
  return `${number(heading)}° ${compass[Math.round(heading / 45) % 8]}${reference === "magnetic" ? " (magnetic)" : ""}`;
}

function popup({ options: { photo } }) {
  const rows = photo.shares.map((share, place) => row(data.classes[place], percent(share)));
  if (photo.time) rows.push(row("Time", photo.time.replace("T", " ").replace("Z", " UTC")));
  if (photo.altitude !== null) rows.push(row("Altitude", `${number(photo.altitude)} m`));
  if (photo.heading !== null) rows.push(row("Heading", headingText(photo)));
  const [lat, lng] = photo.position;
  rows.push(row("Position", geographic({ lat, lng }).replace(" (WGS 84)", "")));
  if (photo.shift !== null) rows.push(row("Input shift", number(photo.shift)));
  if (photo.links.mask) rows.push(row("Mask", link(photo.links.mask, "open")));
  return element("div", {},
    ...(photo.thumbnail ? [element("img", { className: "thumbnail", src: photo.thumbnail, alt: `${photo.name} and its mask` })] : []),
    element("b", {}, link(photo.links.image, photo.name)),
    ...(photo.error ? [element("p", { className: "error" }, photo.error)] : []),
    element("table", {}, ...rows));
}

const renderer = L.canvas({ padding: 0.3, tolerance: 4 });
const outline = { color: ink, weight: 1.5, radius: 9, fillOpacity: 1 };
const room = { minWidth: 256, maxWidth: 280, autoPanPaddingTopLeft: [56, 10], autoPanPaddingBottomRight: [56, 10] };
const pins = placed.map((photo) => new Pin(photo.position, { ...outline, photo, renderer }).bindPopup(popup, room));
const layer = L.featureGroup(pins).addTo(map);

function mark(pin, open) {
  pin?.setStyle(open ? { color: "#d01c6b", weight: 3 } : outline);
  const entry = pin && entries.get(pin.options.photo);
  entry?.classList.toggle("open", open);
  if (open) {
    pin.bringToFront();
    entry.scrollIntoView({ block: "nearest" });
  }
}
layer.on("popupopen", ({ popup: { _source: pin } }) => mark(pin, true));
layer.on("popupclose", ({ popup: { _source: pin } }) => mark(pin, false));

// The list.

const entries = new Map(pins.map((pin) => {
  const { photo } = pin.options;
  const entry = element("button", { type: "button", className: "photo" });
  entry.addEventListener("click", () => {
    if (!map.getBounds().contains(photo.position)) map.panTo(photo.position, { animate: false });
    pin.openPopup();
    document.getElementById("map").scrollIntoView({ block: "nearest" });
  });
  return [photo, entry];
}));

const orders = {
  share: (one, other) => (shareOf(other) ?? -1) - (shareOf(one) ?? -1),
  name: (one, other) => one.name.localeCompare(other.name, "en", { numeric: true }),
  time: (one, other) => (Date.parse(one.time) || 0) - (Date.parse(other.time) || 0),
};

function choice(label, options, change) {
  const select = element("select", {}, ...options.map(([value, text]) => element("option", { value }, text)));
  select.addEventListener("change", () => change(select.value));
  return element("label", { className: "choice" }, label, select);
}

let order = "share";
const list = element("div");

function sort() {
  list.replaceChildren(...[...placed].sort(orders[order]).map((photo) => entries.get(photo)));
}

function legend() {
  const counts = [...data.colors, null].map(() => 0);
  for (const photo of placed) counts[bin(photo) < 0 ? data.colors.length : bin(photo)] += 1;
  const rows = data.colors.map(([start, color], place) => {
    const end = data.colors[place + 1]?.[0];
    const text = start === 0 ? `below ${inPercent(end)}` : end ? `${inPercent(start)} to ${inPercent(end)}` : `${inPercent(start)} and more`;
    return row([swatch(color), text], number(counts[place]));
  }).reverse();
  if (counts.at(-1)) rows.push(row([swatch(data.unknown), "no mask"], number(counts.at(-1))));
  return element("table", {},
    element("thead", {}, element("tr", {},
      element("th", { scope: "col" }, `Share of ${data.classes[chosen] ?? "a class"}`), element("th", { scope: "col" }, "Photos"))),
    element("tbody", {}, ...rows));
}

const shownLegend = element("div");

function apply() {
  for (const pin of pins) {
    const { photo } = pin.options;
    pin.setStyle({ fillColor: colorOf(photo) });
    entries.get(photo).replaceChildren(swatch(colorOf(photo)), element("span", {}, photo.name),
      element("span", {}, photo.shares.length ? percent(shareOf(photo)) : "no mask"));
  }
  shownLegend.replaceChildren(legend());
  sort();
}

if (data.classes.length > 1) {
  const select = choice("Class", data.classes.map((name, place) => [place, name]), (value) => { chosen = Number(value); apply(); });
  select.lastChild.value = chosen;
  fill("legend", select);
}
fill("legend", shownLegend);
if (placed.some((photo) => photo.heading !== null)) {
  fill("legend", element("p", { className: "note" }, "The tip of a pin shows where the camera looked to."));
}
fill("photos", choice("Order", [["share", "largest share first"], ["name", "name"], ["time", "time"]],
  (value) => { order = value; sort(); }), list);
apply();

if (unplaced.length) {
  document.getElementById("unplaced").hidden = false;
  fill("unplaced", ...unplaced.map((photo) => element("div", { className: "photo" }, swatch(colorOf(photo)),
    link(photo.links.image, photo.name), element("span", { title: photo.error ?? "" }, photo.shares.length ? percent(shareOf(photo)) : "no mask"))));
}

addHome(map, "Show all photos", showAll);
addCompass(map);
addPosition(map, geographic);

document.body.dataset.ready = "true";
