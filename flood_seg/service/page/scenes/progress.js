// A job that is not finished: how far it is, what it does, how long it may take; it can be cancelled.

import { address, request } from "../base/api.js";
import { button, element, say } from "../base/dom.js";
import { duration, has, setting, t } from "../base/i18n.js";

export const isFinished = ({ status }) => ["successful", "failed", "dismissed"].includes(status);

export function statusText({ status, progress }) {
  return status === "running" ? `${t("status.running")} ${setting(progress)}` : t(`status.${status}`);
}

// Calls `changed` with the job at each change; returns what ends that.
export function watchJob(id, changed) {
  const source = new EventSource(address(`jobs/${id}/events`));
  source.addEventListener("state", ({ data }) => {
    const job = JSON.parse(data);
    if (isFinished(job)) source.close();
    changed(job);
  });
  return () => source.close();
}

export function progressBox(job) {
  const step = job.step && has(`step.${job.step}`) ? t(`step.${job.step}`) : job.step ?? "";
  const left = job.seconds_left === null ? "" : t("progress.left", { time: duration(job.seconds_left) });
  if (job.status === "running") say(`${statusText(job)} ${left}`);
  return element("section", { className: "progress" },
    element("p", { className: "big" }, statusText(job)),
    element("progress", { max: 1, ...(job.status === "running" ? { value: job.progress } : {}), "aria-label": t("progress.label") }),
    element("p", {}, [step, job.message].filter(Boolean).join(": ")), element("p", { className: "note" }, left),
    element("p", { className: "note" }, t("progress.stay")),
    button(t("progress.cancel"), () => request(`jobs/${job.id}`, { method: "DELETE" })));
}
