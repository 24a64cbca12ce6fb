"use strict";
// What all pages share: the data embedded in the page, elements, the header, the frame of the map. Text of the data becomes text nodes only, never HTML.

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
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function row(name, ...cells) {
  return element("tr", {}, element("th", { scope: "row" }, ...[name].flat()), ...cells.map((cell) => element("td", {}, cell)));
}

function swatch(color) {
  const made = element("span", { className: color ? "swatch" : "swatch none" });
  if (color) made.style.background = color;
  return made;
}

fill("name", data.name);
fill("facts", ...data.facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
fill("warnings", ...data.warnings.map((text) => element("li", {}, text)));

fill("credits", `flood-seg ${data.version} · Leaflet ${L.version}`);

// The frame of a map.

function control(map, position, content, className) {
  const made = L.control({ position });
  made.onAdd = () => element("div", { className }, ...content);
  return made.addTo(map);
}

function addHome(map, title, show) {
  const button = element("a", { href: "#", role: "button", title, textContent: "⤢" });
  button.setAttribute("aria-label", title);
  L.DomEvent.on(button, "click", (event) => { L.DomEvent.stop(event); show(); });
  control(map, "topleft", [button], "leaflet-bar");
}

function addCompass(map) {
  L.control.scale({ imperial: false, maxWidth: 140 }).addTo(map);
  const arrow = element("template");
  arrow.innerHTML = '<svg viewBox="0 0 24 34" role="img" aria-label="North is up"><path d="M12 11 19 33 12 28 5 33Z"/>' +
    '<text x="12" y="9" font-size="11" font-weight="700" text-anchor="middle">N</text></svg>';
  control(map, "topright", [arrow.content], "north");
}

function geographic({ lat, lng }) {
  const longitude = L.Util.wrapNum(lng, [-180, 180], true);
  return `${Math.abs(lat).toFixed(5)}° ${lat < 0 ? "S" : "N"}, ` +
    `${Math.abs(longitude).toFixed(5)}° ${longitude < 0 ? "W" : "E"} (WGS 84)`;
}

function addPosition(map, text) {
  const position = element("span");
  control(map, "bottomright", [position], "position");
  const show = (place) => { position.textContent = text(place); };
  show(map.getCenter());
  map.on("mousemove click", ({ latlng }) => show(latlng));
}
