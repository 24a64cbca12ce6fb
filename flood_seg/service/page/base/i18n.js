// The language of the page: that of the browser, or the one chosen; its words, numbers and dates.

export const LANGUAGES = { en: "English", ru: "Русский" };

let words = {};
let language = "en";

function preferred() {
  const chosen = localStorage.getItem("language");
  const wished = [chosen, ...navigator.languages.map((name) => name.slice(0, 2))];
  return wished.find((name) => name in LANGUAGES) ?? "en";
}

export async function loadLanguage(name = preferred()) {
  const response = await fetch(new URL(`../i18n/${name}.json`, import.meta.url));
  words = await response.json();
  language = name;
  document.documentElement.lang = name;
}

export async function chooseLanguage(name) {
  localStorage.setItem("language", name);
  await loadLanguage(name);
}

export const currentLanguage = () => language;

export const has = (key) => key in words;

// The words of a key, with {names} replaced; `count` chooses the form of a plural.
export function t(key, values = {}) {
  let text = words[key];
  if (text === undefined) throw new Error(`no words for ${key}`);
  if (typeof text === "object") text = text[new Intl.PluralRules(language).select(values.count)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : value;
  });
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

const significant = (value) =>
  new Intl.NumberFormat(language, { maximumSignificantDigits: 3 }).format(value);

// Small shares keep a digit that is not zero: 0.03 % of a scene may be a drowned village.
export function percent(share) {
  const digits = share > 0 && share < 0.001 ? 3 : 1;
  return new Intl.NumberFormat(language, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(share);
}

// Of a setting, in whole percent.
export const setting = (share) => new Intl.NumberFormat(language, { style: "percent" }).format(share);

// An area in m²; without georeference in pixels.
export function area(value, georeferenced = true) {
  if (!georeferenced) return t("unit.pixels", { count: Math.round(value) });
  if (value >= 1e6) return `${significant(value / 1e6)} ${t("unit.km2")}`;
  if (value >= 1e4) return `${significant(value / 1e4)} ${t("unit.ha")}`;
  return `${significant(value)} ${t("unit.m2")}`;
}

export function bytes(value) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const power = Math.min(units.length - 1, Math.max(1, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  const options = { style: "unit", unit: units[power], maximumSignificantDigits: 3 };
  return new Intl.NumberFormat(language, options).format(value / 1000 ** power);
}

export function duration(seconds) {
  const [value, unit] = seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  const options = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: unit === "hour" || (unit === "second" && value < 10) ? 1 : 0 };
  return new Intl.NumberFormat(language, options).format(value);
}

export function moment(time) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));
}

// The name of a class of a model in this language where it is a common one.
export function className(name) {
  const key = `class.${name.toLowerCase()}`;
  return has(key) ? t(key) : name;
}
