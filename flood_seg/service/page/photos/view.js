// The view of photos: where they are dropped, the one that is open, the gallery of this browser.

import { problemBox } from "../base/api.js";
import { button, element } from "../base/dom.js";
import { className, percent, t } from "../base/i18n.js";
import { dropZone, modelChoice } from "./intake.js";
import { MAX_PHOTOS, entry, forget, listed } from "./history.js";
import { drop, pending, retry, watchQueue } from "./queue.js";
import { showResult } from "./result.js";

// Fills `root`; `id`: the photo that is open, null: the newest one. Returns what ends the view.
export function showPhotos(root, service, id) {
  const zone = dropZone(service);
  const faults = element("div", { className: "faults" });
  const open = element("div");
  const gallery = element("section", { "aria-labelledby": "gallery", className: "gallery" });
  root.replaceChildren(element("div", { className: "intake" }, zone, modelChoice(service)), faults, open, gallery);
  let result = null;
  let shown = null; // the entry that is open
  let pictures = [];

  async function show(chosen) {
    result?.remove();
    result = null;
    shown = chosen ?? null;
    mark();
    open.replaceChildren();
    if (!chosen) return;
    const made = await showResult(chosen, service, remove);
    if (shown !== chosen) return; // another one was chosen meanwhile
    result = made;
    open.replaceChildren(made.element);
    await made.start();
  }

  async function remove(one) {
    await forget([one.id]);
    if (id !== null) location.hash = "#/photos"; // which shows the view anew
    else { update(); show(listed()[0]); }
  }

  function mark() {
    for (const link of gallery.querySelectorAll("a.tile")) {
      if (shown && link.hash === `#/photo/${shown.id}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  function update() {
    faults.replaceChildren(...pending.filter(({ problem }) => problem).map((item) => element("div", { className: "fault" },
      element("b", {}, item.name), problemBox(item.problem,
        button(t("retry"), () => retry(item)), button(t("dismiss"), () => drop(item))))));
    pictures.forEach(URL.revokeObjectURL);
    pictures = [];
    const waiting = pending.filter(({ problem }) => !problem).reverse();
    const entries = listed();
    const first = Boolean(entries.length || pending.length);
    zone.classList.toggle("small", first);
    gallery.hidden = !first;
    gallery.replaceChildren(
      element("div", { className: "row" }, element("h2", { id: "gallery" }, t("gallery")),
        entries.length ? button(t("gallery.clear"), clear, { className: "quiet" }) : null),
      element("ul", {}, ...waiting.map(({ name }) => element("li", { className: "tile busy" }, element("span", { className: "picture" }), element("span", {}, name), element("span", {}, t("gallery.busy")))),
        ...entries.map((one) => element("li", {}, tile(one)))),
      element("p", { className: "note" }, t("gallery.note", { count: MAX_PHOTOS })));
    mark();
  }

  function tile(one) {
    const source = one.thumbnail ? URL.createObjectURL(one.thumbnail) : null;
    if (source) pictures.push(source);
    const [share] = Object.entries(one.shares);
    return element("a", { className: "tile", href: `#/photo/${one.id}` },
      source ? element("img", { className: "picture", src: source, alt: "" }) : element("span", { className: "picture" }),
      element("span", {}, one.name), element("span", {}, share ? `${className(share[0])} ${percent(share[1])}` : ""));
  }

  async function clear() {
    if (!window.confirm(t("gallery.confirm"))) return;
    await forget(listed().map((one) => one.id));
    if (id !== null) location.hash = "#/photos";
    else { update(); show(null); }
  }

  const stop = watchQueue((finished, isFirst) => {
    update();
    if (finished && (isFirst || !shown)) show(finished); // others do not take its place while it is looked at
  });
  update();
  show(id === null ? listed()[0] : entry(id));
  return () => { stop(); result?.remove(); pictures.forEach(URL.revokeObjectURL); };
}
