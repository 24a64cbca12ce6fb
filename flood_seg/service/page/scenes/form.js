// The form of a job: a scene, what else is known of the place, and how it is mapped.

import { Problem, problemBox } from "../base/api.js";
import { button, element, say } from "../base/dom.js";
import { bytes, setting, t } from "../base/i18n.js";
import { chooseFiles, chosenModel, modelChoice, segmentPhotos } from "../photos/intake.js";
import { addToDraft, draft, draftChanged, sendDraft, watchDraft } from "./draft.js";
import { ROLES, isVector } from "./roles.js";

// `done` is called with the job once it is accepted. Returns { element, end }.
export function jobForm(service, done) {
  const files = element("div", { className: "files" });
  const fault = element("div");
  const quick = button(t("form.quick"), () => { const [{ file }] = draft.files.splice(0); segmentPhotos([file], service); }, { title: t("form.quick.help") });
  const send = element("button", { className: "main" }, t("form.send"));
  const name = field("name", { type: "text", maxLength: 200 });
  const threshold = field("threshold", { type: "number", min: 0.01, max: 0.99, step: 0.01 });
  const scale = field("scale", { type: "number", min: 0.01, step: "any" });
  const minArea = field("min_area", { type: "number", min: 0, step: "any" });
  const paths = service.config.paths ? [field("path", { type: "text" }), field("before_path", { type: "text" })] : [];
  const form = element("form", { className: "new-job", "aria-labelledby": "form-title" },
    element("h1", { id: "form-title" }, t("form.title")), element("p", { className: "lead" }, t("form.lead")), files,
    element("div", { className: "actions" }, button(t("form.add"), () => chooseFiles(addToDraft)), quick),
    ...paths.map(({ element: shown }) => shown),
    element("details", {}, element("summary", {}, t("form.more")), modelChoice(service),
      ...[name, threshold, scale, minArea].map(({ element: shown }) => shown)),
    fault, element("div", { className: "actions" }, send));

  function draw() {
    const { sending } = draft;
    files.replaceChildren(...(sending ? [sendingBox(sending)] : draft.files.map(row)));
    const [path] = paths;
    const scenes = draft.files.filter(({ role }) => role === "scene").length + (path?.input.value ? 1 : 0);
    quick.hidden = !isQuick(service);
    send.disabled = Boolean(sending) || scenes !== 1;
    send.title = scenes === 1 ? "" : t("form.one");
    if (draft.files.length && scenes !== 1 && !sending) files.append(element("p", { className: "note" }, t("form.one")));
  }

  function row(item) {
    const select = element("select", { "aria-label": t("form.role", { name: item.file.name }) },
      ...ROLES.map((role) => element("option", { value: role }, t(`role.${role}`))));
    select.value = item.role;
    select.addEventListener("change", () => { item.role = select.value; draftChanged(); });
    return element("div", { className: "file" }, element("span", {}, element("b", {}, item.file.name), ` ${bytes(item.file.size)}`), select,
      button("×", () => { draft.files.splice(draft.files.indexOf(item), 1); draftChanged(); }, { className: "quiet", "aria-label": t("form.remove", { name: item.file.name }) }));
  }

  paths.forEach(({ input }) => input.addEventListener("input", draw));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fault.replaceChildren();
    const options = Object.fromEntries([["scale", scale], ["min_area", minArea]]
      .filter(([, { input }]) => input.value).map(([key, { input }]) => [key, Number(input.value)]));
    const texts = { name: name.input.value, model: chosenModel(service).name, threshold: threshold.input.value,
      options: Object.keys(options).length ? JSON.stringify(options) : null,
      ...Object.fromEntries(paths.map(({ input }) => [input.name, input.value])) };
    try {
      done(await sendDraft(texts));
    } catch (error) {
      if (error.name === "AbortError") say(t("form.cancelled"));
      else if (error instanceof Problem) fault.replaceChildren(problemBox(error));
      else throw error;
    }
  });
  const end = watchDraft(draw);
  draw();
  return { element: form, end };
}

function field(name, properties) {
  const input = element("input", { name, id: `field-${name}`, ...properties });
  const help = element("span", { className: "note", id: `help-${name}` }, t(`form.${name}.help`));
  input.setAttribute("aria-describedby", help.id);
  return { input, element: element("div", { className: "field" }, element("label", { htmlFor: input.id }, t(`form.${name}`)), input, help) };
}

function sendingBox({ share, abort }) {
  return element("div", {}, element("p", {}, t("form.sending", { share: setting(share) })),
    element("progress", { max: 1, value: share, "aria-label": t("form.sending", { share: setting(share) }) }),
    button(t("cancel"), () => abort.abort(), { className: "quiet" }));
}

// Whether the draft is one image that is small enough to be segmented as a photo, without a map.
function isQuick({ config }) {
  const [first, ...others] = draft.files;
  return Boolean(first) && !others.length && !isVector(first.file.name) && first.file.size <= config.limits.body_mb * 1e6;
}
