"use strict";
// Draws the map of the data embedded in the page. Text of the data becomes text nodes only, never HTML.

const data = JSON.parse(document.getElementById("data").textContent);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function fill(id, ...children) {
  document.getElementById(id).append(...children);
}

const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 9 });
const measure = (value, unit) =>
  `${value.toLocaleString("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 })} ${unit}`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function area(value) {
  if (!data.georeferenced) return `${number(Math.round(value))} pixels`;
  if (value >= 1e6) return measure(value / 1e6, "km²");
  return value >= 1e4 ? measure(value / 1e4, "ha") : measure(value, "m²");
}

function length(value) {
  if (!data.georeferenced) return `${number(Math.round(value))} pixels`;
  return value >= 1000 ? measure(value / 1000, "km") : measure(value, "m");
}

function row(name, ...cells) {
  return element("tr", {}, element("th", { scope: "row" }, ...[name].flat()), ...cells.map((cell) => element("td", {}, cell)));
}

// Header and legend, first, since they decide how much space is left to the map.

fill("name", data.name);
fill("facts", ...data.facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
fill("warnings", ...data.warnings.map((text) => element("li", {}, text)));

function classRow(name, color, share, square) {
  const swatch = element("span", { className: color ? "swatch" : "swatch none" });
  if (color) swatch.style.background = color;
  return row([swatch, name], percent(share), ...(data.georeferenced ? [square === null ? "" : area(square)] : []));
}

const heads = ["Class", "Share", ...(data.georeferenced ? ["Area"] : [])];
const rows = data.classes.map(({ name, color, share, area: square }, number) =>
  classRow(name, number ? color : null, share, square));
rows.push(rows.shift()); // the background, which is not drawn, comes after the other classes
if (data.unobserved) rows.push(classRow("no data", null, data.unobserved, null));
fill("legend", element("table", {},
  element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
  element("tbody", {}, ...rows)));

if (data.ramp) {
  const bar = element("div", { className: "ramp" });
  bar.style.background = `linear-gradient(to right, ${data.ramp.colors.map((color) => `rgba(${color})`)})`;
  const ticks = element("div", { className: "ticks" }, ...[0, 50, 100].map((value) => {
    const tick = element("span", {}, `${value} %`);
    tick.style.left = `${value}%`;
    return tick;
  }));
  fill("legend", element("h3", {}, data.ramp.title), bar, ticks);
  if (data.threshold !== null) {
    const mark = element("i");
    mark.style.left = `${100 * data.threshold}%`;
    bar.append(mark);
    fill("legend", element("p", { className: "note" }, `The mark is the threshold, ${number(100 * data.threshold)} %.`));
  }
}
if (data.polygons) {
  const { features, total, file } = data.polygons;
  const smaller = total > features.length
    ? `Drawn are the ${number(features.length)} largest of ${number(total)} polygons` +
      (features.length ? `, those of ${area(features.at(-1).properties.area)} and more` : "") + `; ${file} holds all.`
    : `${number(total)} polygons.`;
  fill("legend", element("p", { className: "note" }, `${smaller} Outlines are simplified; figures are those of ${file}.`));
}
if (!data.georeferenced) fill("legend", element("p", { className: "note" }, "The scene is not georeferenced: no scale, no north, areas in pixels."));
fill("credits", `flood-seg ${data.version} · Leaflet ${L.version}`);

// The map.

const bounds = L.latLngBounds(data.bounds);
const map = L.map("map", {
  crs: data.georeferenced ? L.CRS.EPSG3857 : L.CRS.Simple,
  attributionControl: false,
  zoomSnap: 0.1,
  zoomDelta: 0.5,
  minZoom: -20,
  maxZoom: 30,
  maxBounds: bounds.pad(1),
});

function showScene() {
  map.fitBounds(bounds, { padding: [12, 12], animate: false });
}

showScene();
const fitted = map.getZoom();
map.setMinZoom(fitted - 2).setMaxZoom(fitted + 6);

function control(position, content, className) {
  const made = L.control({ position });
  made.onAdd = () => element("div", { className }, ...content);
  return made.addTo(map);
}

// Layers, from the lowest to the highest, each in a pane whose opacity its slider sets.

function addLayer(number, title, layer, opacity, shown) {
  const pane = map.getPane(layer.options.pane);
  pane.style.zIndex = 300 + number;
  const box = element("input", { type: "checkbox", checked: shown });
  const slider = element("input", { type: "range", min: 0, max: 100, step: 5, value: opacity });
  slider.setAttribute("aria-label", `Opacity of the layer ${title}`);
  const shownOpacity = element("output");
  const apply = () => {
    pane.style.opacity = slider.value / 100;
    shownOpacity.textContent = `${slider.value} %`;
    slider.disabled = !box.checked;
    if (box.checked !== map.hasLayer(layer)) map[box.checked ? "addLayer" : "removeLayer"](layer);
  };
  box.addEventListener("change", apply);
  slider.addEventListener("input", apply);
  apply();
  return element("div", { className: "layer" },
    element("label", {}, box, element("span", {}, title)), element("div", {}, slider, shownOpacity));
}

function pane(number) {
  map.createPane(`layer-${number}`);
  return `layer-${number}`;
}

const controls = data.pictures.map((picture, number) => {
  const layer = L.imageOverlay(picture.source, bounds, { pane: pane(number), alt: picture.title });
  return addLayer(number, picture.title, layer, picture.opacity, picture.shown);
});

L.polyline(data.outline, { color: "#7b8794", weight: 1, dashArray: "5 4", interactive: false }).addTo(map);

function popup({ feature: { properties: found } }) {
  const rows = [row("Area", area(found.area)), row("Perimeter", length(found.perimeter))];
  if (found.probability !== null) rows.push(row("Mean probability", percent(found.probability)));
  const { name, color } = data.classes[found.class];
  const swatch = element("span", { className: "swatch" });
  swatch.style.background = color;
  return element("div", {}, element("b", {}, swatch, name), element("table", {}, ...rows));
}

if (data.polygons) {
  const number = data.pictures.length;
  const name = pane(number);
  const style = ({ properties }) => ({ color: data.classes[properties.class].color, weight: 1.5, fillOpacity: 0 });
  const layer = L.geoJSON(data.polygons.features, { pane: name, renderer: L.canvas({ pane: name, padding: 0.3 }), style });
  layer.bindPopup(popup, { autoPanPaddingTopLeft: [56, 10], autoPanPaddingBottomRight: [56, 10] });
  layer.on("popupopen", ({ popup: { _source: source } }) => source?.setStyle({ weight: 3, fillOpacity: 0.25 }));
  layer.on("popupclose", ({ popup: { _source: source } }) => source && layer.resetStyle(source));
  controls.push(addLayer(number, "Polygons", layer, 100, true));
}
fill("layers", ...controls.reverse());

// The frame of the map.

const home = L.control({ position: "topleft" });
home.onAdd = () => {
  const button = element("a", { href: "#", role: "button", title: "Show the whole scene", textContent: "⤢" });
  button.setAttribute("aria-label", button.title);
  L.DomEvent.on(button, "click", (event) => { L.DomEvent.stop(event); showScene(); });
  return element("div", { className: "leaflet-bar" }, button);
};
home.addTo(map);

if (data.georeferenced) {
  L.control.scale({ imperial: false, maxWidth: 140 }).addTo(map);
  const arrow = element("template");
  arrow.innerHTML = '<svg viewBox="0 0 24 34" role="img" aria-label="North is up"><path d="M12 11 19 33 12 28 5 33Z"/>' +
    '<text x="12" y="9" font-size="11" font-weight="700" text-anchor="middle">N</text></svg>';
  control("topright", [arrow.content], "north");
}

const position = element("span");
control("bottomright", [position], "position");

function showPosition({ lat, lng }) {
  if (!data.georeferenced) {
    position.textContent = `column ${Math.floor(lng)}, row ${Math.floor(-lat)}`;
    return;
  }
  const longitude = L.Util.wrapNum(lng, [-180, 180], true);
  position.textContent = `${Math.abs(lat).toFixed(5)}° ${lat < 0 ? "S" : "N"}, ` +
    `${Math.abs(longitude).toFixed(5)}° ${longitude < 0 ? "W" : "E"} (WGS 84)`;
}

showPosition(map.getCenter());
map.on("mousemove click", ({ latlng }) => showPosition(latlng));

document.body.dataset.ready = "true";
