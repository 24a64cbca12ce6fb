// The figures of a result as tables: areas, agreement with the truth, districts, whom the flood affects.

import { element } from "../base/dom.js";
import { area, className, has, number, percent, t } from "../base/i18n.js";

// Takes the JSON files of a job (null: not there) and what shows a place on the map; returns sections.
export function figures({ item, change, flood, areas, impact, truth }, show) {
  return [summary(item, change, flood), truth && agreement(truth), areas?.districts?.length ? districts(areas) : null,
    impact && affected(impact), impact?.places?.length ? places(impact, show) : null].filter(Boolean);
}

// What a coordinator asks first, in large figures.
export function headline({ item, flood, impact }) {
  const { properties } = item;
  const squares = properties["flood_seg:area_m2"];
  const [, [name, share]] = Object.entries(properties["flood_seg:shares"]);
  const found = [[className(name), squares ? area(squares[name]) : percent(share)]];
  const square = flood?.classes.flood.area_m2;
  if (square !== undefined && square !== null) found.push([t("figures.flood"), area(square)]);
  const { people, buildings_touched: buildings, places_cut_off: places } = impact?.total ?? {};
  if (people !== undefined) found.push([t("impact.people"), number(Math.round(people))]);
  if (buildings !== undefined) found.push([t("impact.buildings"), number(buildings)]);
  if (places !== undefined) found.push([t("impact.places_cut_off"), number(places)]);
  return element("dl", { className: "headline" }, ...found.map(([what, value]) => element("div", {}, element("dt", {}, what), element("dd", {}, value))));
}

function section(id, title, ...children) {
  return element("section", { "aria-labelledby": id }, element("h2", { id }, title), ...children);
}

function table(heads, rows) {
  return element("div", { className: "wide" }, element("table", {},
    heads ? element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))) : "",
    element("tbody", {}, ...rows.map(([name, ...cells]) =>
      element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", {}, cell)))))));
}

function summary({ properties }, change, flood) {
  const shares = properties["flood_seg:shares"];
  const squares = properties["flood_seg:area_m2"];
  const [background] = Object.keys(shares);
  const rows = Object.entries(shares).filter(([name]) => name !== background)
    .map(([name, share]) => [className(name), percent(share), squares ? area(squares[name]) : ""]);
  if (properties["flood_seg:unobserved_share"]) rows.push([t("figures.unobserved"), percent(properties["flood_seg:unobserved_share"]), ""]);
  const derived = (record, names) => names.map((name) => {
    const { pixels, area_m2: square } = record.classes[name];
    return [t(`figures.${name}`), "", square === undefined || square === null ? area(pixels, false) : area(square)];
  });
  if (change) rows.push(...derived(change, ["new_water", "receded", "still_water"]));
  if (flood) rows.push(...derived(flood, ["flood", "permanent_water"]));
  return section("figures", t("figures.title"), table(null, rows));
}

function agreement({ iou, precision, recall }) {
  return section("truth", t("truth.title"), element("p", { className: "big" }, t("truth.iou", { iou: percent(iou) })),
    table(null, [[t("truth.recall"), percent(recall)], [t("truth.precision"), percent(precision)]]), element("p", { className: "note" }, t("truth.help")));
}

function districts({ districts: found, meaning }) {
  const key = `meaning.${meaning}`;
  return section("districts", t("districts.title"), table([t("districts.name"), t("districts.flooded"), t("districts.share")],
    found.map(({ name, flooded, land_m2: land }) => [name, area(flooded.mapped_m2), land ? percent(flooded.mapped_m2 / land) : ""])),
    element("p", { className: "note" }, t("districts.meaning", { meaning: has(key) ? t(key) : meaning })));
}

const kilometres = (lengths) => number(Object.values(lengths ?? {}).reduce((sum, one) => sum + one, 0), 1);

// What of an impact is shown: a row where the input was given.
const FIGURES = [
  ["buildings", ({ buildings_touched: found, buildings }) => found !== undefined && t("impact.of", { found, count: buildings })],
  ["people", ({ people, people_on_scene: all }) => people !== undefined && t("impact.of", { found: Math.round(people), count: Math.round(all) })],
  ["roads", ({ roads_km: found, roads_length_km: all }) => found && t("impact.km", { found: kilometres(found), all: kilometres(all) })],
  ["cut", ({ roads_cut: found }) => found !== undefined && number(found)],
  ["places_under_water", ({ places_under_water: found, places }) => found !== undefined && t("impact.of", { found, count: places })],
  ["places_cut_off", ({ places_cut_off: found, places }) => found !== undefined && t("impact.of", { found, count: places })],
];

function affected({ total, districts: found }) {
  const rows = FIGURES.map(([name, text]) => [t(`impact.${name}`), text(total)]).filter(([, value]) => value);
  const kinds = FIGURES.slice(0, 3).filter(([, text]) => text(total));
  const byDistrict = found.length && kinds.length ? table([t("districts.name"), ...kinds.map(([name]) => t(`impact.short.${name}`))],
    found.map(({ name, ...one }) => [name, ...kinds.map(([kind]) => short(kind, one))])) : null;
  return section("impact", t("impact.title"), table(null, rows), byDistrict, element("p", { className: "note" }, t("impact.limit")));
}

function short(kind, one) {
  if (kind === "buildings") return number(one.buildings_touched);
  if (kind === "people") return number(Math.round(one.people));
  return `${kilometres(one.roads_km)} ${t("unit.km")}`;
}

function places({ places: found }, show) {
  const state = (place) => {
    if (place.under_water) return "under_water";
    if (place.cut_off) return "cut_off";
    if (place.detour_km >= 0.05) return "detour";
    return place.cut_off === false && !place.over_unobserved ? "reached" : "unknown";
  };
  return section("places", t("places.title"), table([t("places.name"), t("places.state")], found.map((place) => {
    const button = element("button", { type: "button", className: "quiet" }, place.name);
    button.addEventListener("click", () => show([place.longitude, place.latitude], place.name));
    return [button, element("span", { className: `state ${state(place)}` }, t(`places.${state(place)}`, { km: number(place.detour_km ?? 0, 1) }))];
  })));
}
