"use strict";
// Draws the map of a scene.

const measure = (value, unit) =>
  `${value.toLocaleString("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 })} ${unit}`;

function area(value) {
  if (!data.georeferenced) return `${number(Math.round(value))} pixels`;
  if (value >= 1e6) return measure(value / 1e6, "km²");
  return value >= 1e4 ? measure(value / 1e4, "ha") : measure(value, "m²");
}

function length(value) {
  if (!data.georeferenced) return `${number(Math.round(value))} pixels`;
  return value >= 1000 ? measure(value / 1000, "km") : measure(value, "m");
}

// The legend, first, since it decides how much space is left to the map.

function classRow(name, color, share, square) {
  return row([swatch(color), name], percent(share), ...(data.georeferenced ? [square === null ? "" : area(square)] : []));
}

const heads = ["Class", "Share", ...(data.georeferenced ? ["Area"] : [])];
function legendTable(classes, unobserved) {
  const rows = classes.map(({ name, color, share, area: square }, number) =>
    classRow(name, number ? color : null, share, square));
  rows.push(rows.shift()); // the background, which is not drawn, comes after the other classes
  if (unobserved) rows.push(classRow("no data", null, unobserved, null));
  return element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows));
}

for (const { title, classes, unobserved } of data.derived) {
  fill("legend", element("h3", {}, title), legendTable(classes, unobserved));
}
if (data.derived.length) fill("legend", element("h3", {}, "Result"));
fill("legend", legendTable(data.classes, data.unobserved));

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
  return element("div", {}, element("b", {}, swatch(color), name), element("table", {}, ...rows));
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

addHome(map, "Show the whole scene", showScene);
if (data.georeferenced) addCompass(map);
addPosition(map, data.georeferenced ? geographic : ({ lat, lng }) => `column ${Math.floor(lng)}, row ${Math.floor(-lat)}`);

document.body.dataset.ready = "true";
