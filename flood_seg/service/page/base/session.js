// The API key: asked for where the service requires one, then kept by the browser as a cookie that scripts cannot read.

import { Problem, json, onKeyRequired, problemBox, request } from "./api.js";
import { button, element } from "./dom.js";
import { t } from "./i18n.js";

let session = { required: false, name: null, role: null };
let changed = () => {};

export const currentSession = () => session;

// `action` is called after a key was given or forgotten.
export async function loadSession(action) {
  changed = action;
  session = await json("session");
  onKeyRequired(askForKey);
  if (session.required && !session.name) askForKey();
}

export function askForKey() {
  if (document.querySelector("dialog[open]")) return;
  const key = element("input", { type: "password", name: "key", required: true, autocomplete: "current-password", id: "key" });
  const fault = element("div");
  const form = element("form", { method: "dialog" },
    element("h2", { id: "key-title" }, t("key.title")), element("p", {}, t("key.help")),
    element("label", { htmlFor: "key" }, t("key.label")), key, fault,
    element("div", { className: "actions" }, element("button", { className: "main" }, t("key.use")),
      button(t("cancel"), () => dialog.close())));
  const dialog = element("dialog", { "aria-labelledby": "key-title" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      session = await json("session", { method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ key: key.value }) });
      dialog.close();
      changed();
    } catch (error) {
      fault.replaceChildren(problemBox(error instanceof Problem && error.status === 401 ? new Problem("key", "") : error));
      key.select();
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

export async function forgetKey() {
  await request("session", { method: "DELETE" });
  session = await json("session");
  changed();
}
