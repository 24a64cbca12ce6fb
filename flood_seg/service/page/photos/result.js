// One photo: the stage, the shares of its classes, the threshold, what can be downloaded.

import { Problem, problemBox, request } from "../base/api.js";
import { button, element, save, say, slider } from "../base/dom.js";
import { bytes, className, duration, number, percent, setting, t } from "../base/i18n.js";
import { content } from "./history.js";
import { decodeGrey } from "./png.js";
import { Stage } from "./stage.js";
import { Thresholds, drawClasses } from "./threshold.js";

// Returns { element, remove } of an entry of the history; `service`: { config, models }.
export async function showResult(entry, service, onForget) {
  const { photo, mask, probability, answer } = await content(entry.id);
  const box = element("div", { id: "map", className: "stage", role: "application", "aria-label": t("stage.label") });
  const panel = element("aside", { "aria-label": t("result.label") });
  const shown = element("section", { className: "result" }, box, panel);
  return {
    element: shown,
    // The map requires the size that its element has on the page.
    async start() {
      const stage = new Stage(box, photo, answer.width, answer.height);
      this.remove = () => stage.remove();
      const shares = element("dl", { className: "shares" });
      const show = (values) => shares.replaceChildren(...Object.entries(values).map(([name, share]) =>
        element("div", {}, element("dt", {}, t("result.share", { name: className(name) })), element("dd", {}, percent(share)))));
      show(answer.shares);
      const warnings = element("ul", { id: "warnings", "aria-label": t("warnings") }, ...warningsOf(answer, service));
      const controls = element("section", { "aria-label": t("result.adjust") });
      const state = { threshold: null };
      panel.append(element("h1", {}, entry.name), shares, warnings, controls, downloads(entry, photo, answer, state),
        details(answer, photo), element("p", {}, button(t("result.forget"), () => onForget(entry), { className: "quiet" })));
      if (probability) controls.append(...await adjust(stage, probability, answer, state, show));
      else drawClasses(stage.canvas, await decodeGrey(mask), colorsOf(answer, service));
      controls.append(opacity(stage));
      if (!(await stage.shown)) controls.append(element("p", { className: "note" }, t("result.notShown")));
      say(t("result.said", { name: entry.name, shares: Object.entries(answer.shares).map(([name, share]) => `${className(name)} ${percent(share)}`).join(", ") }));
      box.dataset.ready = "true";
    },
    remove() {},
  };
}

async function adjust(stage, probability, answer, state, show) {
  const thresholds = new Thresholds(await decodeGrey(probability));
  const [name] = Object.keys(answer.shares);
  const apply = (threshold, whole) => {
    thresholds.draw(stage.canvas, threshold, whole);
    state.threshold = threshold === answer.threshold ? null : threshold;
    show(state.threshold === null ? answer.shares : { [name]: thresholds.share(threshold) });
    reset.hidden = state.threshold === null;
  };
  const control = slider({ label: t("threshold"), min: 0.01, max: 0.99, step: 0.01, value: answer.threshold, text: setting,
    change: (value) => apply(value, false), settled: (value) => apply(value, true) });
  const reset = button(t("threshold.reset", { value: setting(answer.threshold) }), () => {
    control.set(answer.threshold);
    apply(answer.threshold, true);
  }, { className: "quiet" });
  apply(answer.threshold, true);
  return [control.element, element("p", { className: "note" }, t("threshold.help"), " ", reset)];
}

function opacity(stage) {
  const start = 0.55; // that of `flood-seg infer --overlay`
  stage.opacity = start;
  return slider({ label: t("opacity"), min: 0, max: 1, step: 0.05, value: start, text: setting, change: (value) => { stage.opacity = value; } }).element;
}

// The colour of each value of the mask, the background's excepted.
function colorsOf(answer, { models, config }) {
  const spec = models.find(({ name }) => name === answer.model)?.spec;
  const values = spec?.label_values ?? answer.classes.map((_, index) => index);
  return Object.fromEntries(values.slice(1).map((value, index) => [value, spec?.class_colors.length ? rgb(spec.class_colors[index + 1]) : config.colors[index % config.colors.length]]));
}

const rgb = (color) => [1, 3, 5].map((place) => Number.parseInt(color.slice(place, place + 2), 16));

function warningsOf(answer, { config }) {
  const texts = answer.warnings.filter((text) => !text.startsWith("unusual values")); // which has words of its own below
  if (answer.input_shift > config.max_input_shift) texts.unshift(t("warning.shift", { shift: number(answer.input_shift, 1) }));
  return texts.map((text) => element("li", {}, text));
}

// The service makes them anew at the threshold in use, so that they are those of `flood-seg infer`.
function downloads(entry, photo, answer, state) {
  const fault = element("div");
  const base = entry.name.replace(/\.[^.]*$/, "");
  const fetchResult = (accept, query, suffix) => async (event) => {
    event.target.disabled = true;
    fault.replaceChildren();
    const form = new FormData();
    form.append("image", photo, entry.name);
    try {
      const response = await request("predict", { method: "POST", body: form, accept, query: { model: answer.model, threshold: state.threshold, ...query } });
      save(await response.blob(), `${base}${suffix}`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      fault.replaceChildren(problemBox(error));
    } finally {
      event.target.disabled = false;
    }
  };
  const isRaster = /\.(tiff?|jp2)$/i.test(entry.name); // which may have a georeference
  return element("section", { "aria-labelledby": "downloads" }, element("h2", { id: "downloads" }, t("downloads")),
    element("div", { className: "actions" },
      button(t("download.mask"), fetchResult("image/png", {}, "_mask.png")),
      button(t("download.overlay"), fetchResult("image/png", { overlay: true }, "_overlay.png")),
      isRaster ? button("GeoJSON", fetchResult("application/geo+json", {}, ".geojson")) : null), fault);
}

function details(answer, photo) {
  const rows = [[t("details.size"), `${number(answer.width)} × ${number(answer.height)}`], [t("details.file"), bytes(photo.size)],
    [t("details.model"), answer.model], [t("details.engine"), answer.engine], [t("details.time"), duration(answer.timings_ms.total / 1000)]];
  return element("details", {}, element("summary", {}, t("details")),
    element("table", {}, element("tbody", {}, ...rows.map(([name, value]) =>
      element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value))))));
}
