// The view of a job: its progress, then the map of its scene with the figures beside it.

import { Problem, address, json, problemBox, request } from "../base/api.js";
import { button, element } from "../base/dom.js";
import { bytes, moment, t } from "../base/i18n.js";
import { isFinished, progressBox, statusText, watchJob } from "../scenes/progress.js";
import { figures, headline } from "./figures.js";
import { SceneMap } from "./map.js";

export function showScene(root, service, id) {
  let map = null;
  let stop = () => {};
  let ended = false;

  async function show(job) {
    if (ended) return;
    const title = element("div", { className: "row" }, element("a", { href: "#/scenes", className: "back" }, t("scene.back")),
      element("h1", {}, job.name), isFinished(job) ? element("span", { className: `badge ${job.status}` }, statusText(job)) : null);
    document.title = `${job.name} – flood-seg`;
    if (job.status === "successful") await showMap(job, title);
    else if (isFinished(job)) root.replaceChildren(title, failure(job), remove(job));
    else root.replaceChildren(title, progressBox(job));
  }

  async function showMap(job, title) {
    const files = (await json(`jobs/${job.id}/files`)).files;
    const read = async (name) => files.some((file) => file.name === name) ? json(`jobs/${job.id}/files/${name}`) : null;
    const [item, change, flood, areas, impact, truth] = await Promise.all(
      ["item.json", "change.json", "flood.json", "area/flood_area.json", "impact/impact.json", "truth.json"].map(read));
    if (ended) return;
    const box = element("div", { id: "map", role: "application", "aria-label": t("map.label") });
    const panel = element("aside", { "aria-label": t("map.panel") });
    root.replaceChildren(title, element("div", { className: "scene-map" }, box, panel));
    map = new SceneMap(box, job, { item, service });
    const layers = await map.start();
    const results = { item, change, flood, areas, impact, truth };
    panel.append(headline(results), warnings(job), layers, ...figures(results, (...place) => map.show(...place)),
      exports(job, files), remove(job));
    box.dataset.ready = "true";
  }

  function remove(job) {
    const fault = element("div");
    return element("div", {}, button(t("scene.remove"), async () => {
      if (!window.confirm(t("scene.confirm", { name: job.name }))) return;
      try {
        await request(`jobs/${job.id}`, { method: "DELETE" });
        location.hash = "#/scenes";
      } catch (error) {
        fault.replaceChildren(problemBox(error));
      }
    }, { className: "quiet" }), fault);
  }

  (async () => {
    try {
      const job = await json(`jobs/${id}`);
      await show(job);
      if (!isFinished(job) && !ended) stop = watchJob(id, guarded);
    } catch (error) {
      fail(error);
    }
  })();

  const guarded = (job) => show(job).catch(fail);

  function fail(error) {
    if (!(error instanceof Problem)) throw error;
    root.replaceChildren(problemBox(error, element("a", { href: "#/scenes" }, t("scene.back"))));
  }

  return () => { ended = true; stop(); map?.remove(); };
}

function warnings({ warnings: found }) {
  return element("ul", { id: "warnings", "aria-label": t("warnings") }, ...found.map((text) => element("li", {}, text)));
}

function failure({ status, problem }) {
  if (status === "dismissed") return element("p", {}, t("scene.dismissed"));
  return problemBox(new Problem("job", problem?.detail ?? ""));
}

// The files that are asked for most come first.
const MAIN = ["sitrep/sitrep.html", "map.html", "areas.gpkg", "mask.tif", "probability.tif"];

function exports(job, files) {
  const row = ({ name, size }) => element("li", {}, element("a", { href: address(`jobs/${job.id}/files/${name}`), download: "" }, name),
    MAIN.includes(name) ? element("span", {}, t(`file.${name}`)) : null, element("span", { className: "note" }, bytes(size)));
  const main = MAIN.map((name) => files.find((file) => file.name === name)).filter(Boolean);
  const others = files.filter((file) => !main.includes(file));
  return element("section", { "aria-labelledby": "exports" }, element("h2", { id: "exports" }, t("exports")),
    element("ul", { className: "exports" }, ...main.map(row)),
    element("details", {}, element("summary", {}, t("exports.others", { count: others.length })), element("ul", { className: "exports" }, ...others.map(row))),
    job.finished ? element("p", { className: "note" }, t("exports.created", { time: moment(job.finished) })) : null);
}
