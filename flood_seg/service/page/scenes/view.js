// The view of scenes: the form of a new job, and the list of jobs.

import { Problem, json, problemBox } from "../base/api.js";
import { button, element } from "../base/dom.js";
import { moment, setting, t } from "../base/i18n.js";
import { jobForm } from "./form.js";
import { isFinished, statusText } from "./progress.js";

const EVERY = 5000; // milliseconds between looks at the list while a job is not finished
const PAGE = 50;

export function showScenes(root, service) {
  const list = element("section", { "aria-labelledby": "jobs", className: "jobs" });
  const form = jobForm(service, (job) => { location.hash = `#/scene/${job.id}`; });
  root.replaceChildren(form.element, list);
  let timer = null;
  let limit = PAGE;
  let ended = false;

  async function update() {
    clearTimeout(timer);
    try {
      const { jobs, total } = await json("jobs", { query: { limit } });
      if (ended) return;
      draw(jobs, total);
      if (!jobs.every(isFinished)) timer = setTimeout(update, EVERY);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      list.replaceChildren(problemBox(error, button(t("retry"), update)));
    }
  }

  function draw(jobs, total) {
    const rows = jobs.map((job) => element("li", {}, element("a", { className: "job", href: `#/scene/${job.id}` },
      element("b", {}, job.name), element("span", { className: `badge ${job.status}` }, statusText(job)),
      element("span", { className: "note" }, moment(job.created)),
      job.status === "running" ? element("progress", { max: 1, value: job.progress, "aria-label": setting(job.progress) }) : null)));
    list.replaceChildren(element("h2", { id: "jobs" }, t("jobs.title")),
      rows.length ? element("ul", {}, ...rows) : element("p", { className: "note" }, t("jobs.none")),
      total > jobs.length ? button(t("jobs.more"), () => { limit += PAGE; update(); }, { className: "quiet" }) : "");
  }

  update();
  return () => { ended = true; clearTimeout(timer); form.end(); };
}
