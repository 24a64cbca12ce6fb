// The page: its header, and the view that the address names: #/photos, #/photo/ID, #/scenes, #/scene/ID.

import { json, problemBox } from "./base/api.js";
import { button, element } from "./base/dom.js";
import { LANGUAGES, chooseLanguage, currentLanguage, loadLanguage, t } from "./base/i18n.js";
import { askForKey, currentSession, forgetKey, loadSession } from "./base/session.js";
import { openHistory } from "./photos/history.js";
import { takeDropsAndPastes } from "./photos/intake.js";
import { showPhotos } from "./photos/view.js";
import { showScene } from "./map/view.js";
import { showScenes } from "./scenes/view.js";

const service = { config: null, models: [] };
let endView = () => {};

function header() {
  const [view] = location.hash.slice(2).split("/");
  const link = (name, ...of) => element("a", { href: `#/${name}`, ...(of.includes(view || "photos") ? { "aria-current": "page" } : {}) }, t(`nav.${name}`));
  const languages = element("select", { "aria-label": t("language") },
    ...Object.entries(LANGUAGES).map(([code, name]) => element("option", { value: code, title: name }, code.toUpperCase())));
  languages.value = currentLanguage();
  languages.addEventListener("change", async () => { await chooseLanguage(languages.value); render(); });
  const { required, name } = currentSession();
  const key = required ? button(name ? t("key.forget", { name }) : t("key.give"), name ? forgetKey : askForKey, { className: "quiet" }) : null;
  document.getElementById("bar").replaceChildren(
    element("a", { href: "#view", className: "skip" }, t("skip")),
    element("a", { href: "#/photos", className: "brand" }, "flood-seg"),
    element("nav", { "aria-label": t("nav") }, link("photos", "photos", "photo"), link("scenes", "scenes", "scene")),
    element("span", { className: "tools" }, key, languages));
  document.title = `flood-seg – ${t(`nav.${["scenes", "scene"].includes(view) ? "scenes" : "photos"}`)}`;
}

function render() {
  endView();
  endView = () => {};
  header();
  const root = document.getElementById("view");
  const [view, id] = location.hash.slice(2).split("/");
  root.dataset.view = view || "photos";
  if (view === "scenes") endView = showScenes(root, service);
  else if (view === "scene") endView = showScene(root, service, id);
  else endView = showPhotos(root, service, view === "photo" ? Number(id) : null);
}

async function start() {
  await loadLanguage();
  try {
    service.config = await json("page/config");
    await loadSession(enter);
    await openHistory();
    takeDropsAndPastes(service);
    window.addEventListener("hashchange", render);
    await enter();
  } catch (error) {
    document.getElementById("view").replaceChildren(problemBox(error, button(t("retry"), () => location.reload())));
  }
}

// With a key, where one is required.
async function enter() {
  const { required, name } = currentSession();
  if (!required || name) service.models = await loadModels();
  render();
}

async function loadModels() {
  return (await json("models")).models;
}

start();
