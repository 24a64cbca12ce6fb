// Requests to the service, and its errors.

import { element } from "./dom.js";
import { has, t } from "./i18n.js";

// An error of the service as problem details (RFC 9457); status 0: it cannot be reached.
export class Problem extends Error {
  constructor(status, detail, retryAfter = null) {
    super(detail);
    Object.assign(this, { status, detail, retryAfter });
  }

  // What has happened in plain words, in the language of the page.
  get headline() {
    if (has(`problem.${this.status}`)) return t(`problem.${this.status}`);
    return t(this.status >= 500 ? "problem.5xx" : "problem.4xx");
  }
}

// Relative to the page, so that the service may lie below a path of another server.
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url.href;
}

let keyRequired = () => {};

// `action` is called where the service asks for a key.
export function onKeyRequired(action) {
  keyRequired = action;
}

function problem(status, text, retryAfter) {
  let detail = "";
  try {
    detail = JSON.parse(text).detail ?? "";
  } catch {
    // A server in between answers in HTML, which is of no use to a reader.
  }
  if (status === 401) keyRequired();
  return new Problem(status, detail, retryAfter === null ? null : Number(retryAfter));
}

export async function request(path, { query, accept = "application/json", ...options } = {}) {
  let response;
  try {
    response = await fetch(address(path, query), { ...options, headers: { Accept: accept, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "");
  }
  if (response.ok) return response;
  throw problem(response.status, await response.text(), response.headers.get("Retry-After"));
}

export async function json(path, options) {
  return (await request(path, options)).json();
}

// Sends a form whose files may be large; `progress` hears the share that is sent. `signal` cancels it.
export function upload(path, form, { progress, signal, headers = {} }) {
  return new Promise((resolve, reject) => {
    const sender = new XMLHttpRequest(); // fetch does not tell how much is sent
    sender.open("POST", address(path));
    sender.setRequestHeader("Accept", "application/json");
    for (const [name, value] of Object.entries(headers)) sender.setRequestHeader(name, value);
    sender.upload.addEventListener("progress", ({ loaded, total }) => progress(loaded / total));
    sender.addEventListener("load", () => {
      if (sender.status < 300) resolve(JSON.parse(sender.responseText));
      else reject(problem(sender.status, sender.responseText, sender.getResponseHeader("Retry-After")));
    });
    sender.addEventListener("error", () => reject(new Problem(0, "")));
    sender.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => sender.abort());
    sender.send(form);
  });
}

// An error where it happened: what in plain words, then the service's own line.
export function problemBox(error, ...actions) {
  if (!(error instanceof Problem)) throw error;
  return element("div", { className: "problem", role: "alert" },
    element("strong", {}, error.headline), error.detail ? element("p", {}, error.detail) : null, ...actions);
}
