// Where files come in: chosen, dropped anywhere on the page, or pasted. Photos are segmented at once, scenes become jobs.

import { button, element } from "../base/dom.js";
import { t } from "../base/i18n.js";
import { isScene } from "../scenes/roles.js";
import { addToDraft } from "../scenes/draft.js";
import { add } from "./queue.js";

let chosen = null; // name of a model; null: the first one of the service

export const chosenModel = ({ models }) => models.find(({ name }) => name === chosen) ?? models[0];

export function segmentPhotos(files, service) {
  location.hash = "#/photos";
  add(files, chosenModel(service));
}

export function takeFiles(files, service) {
  const { config } = service;
  const limit = config.limits.body_mb * 1e6;
  const isLarge = (file) => isScene(file.name) || file.size > limit;
  const scenes = files.filter(isLarge);
  const photos = files.filter((file) => !isLarge(file));
  if (photos.length) segmentPhotos(photos, service);
  if (scenes.length) {
    addToDraft(scenes);
    location.hash = "#/scenes";
  }
}

export function chooseFiles(take) {
  const input = element("input", { type: "file", multiple: true });
  input.addEventListener("change", () => take([...input.files]));
  input.click();
}

export function dropZone(service) {
  const touch = window.matchMedia("(pointer: coarse)").matches; // nothing can be dropped
  return element("section", { className: "zone", "aria-labelledby": "zone-title" },
    element("h1", { id: "zone-title" }, t("zone.title")), element("p", { className: "lead" }, t(touch ? "zone.lead.touch" : "zone.lead")),
    button(t("zone.choose"), () => chooseFiles((files) => takeFiles(files, service)), { className: "main" }),
    element("p", { className: "note" }, t("zone.note")));
}

// A choice where the service has several models.
export function modelChoice(service) {
  const { models } = service;
  if (models.length < 2) return null;
  const select = element("select", {}, ...models.map(({ name }) => element("option", { value: name }, name)));
  select.value = chosenModel(service).name;
  select.addEventListener("change", () => { chosen = select.value; });
  return element("label", { className: "choice" }, t("model"), select);
}

// Listens on the whole page.
export function takeDropsAndPastes(service) {
  const zone = document.documentElement;
  const over = (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    zone.classList.add("dropping");
  };
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("dropping"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("dropping");
    takeFiles([...event.dataTransfer.files], service);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) takeFiles([...event.clipboardData.files], service);
  });
}
