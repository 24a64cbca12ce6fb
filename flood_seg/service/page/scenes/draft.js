// The files of a job that is not sent yet, and the one that is on its way; kept while other views are open.

import { upload } from "../base/api.js";
import { guessRole } from "./roles.js";

export const draft = { files: [], sending: null, key: newKey() }; // files: { file, role }; sending: { share, abort }

// crypto.randomUUID is missing where a service in the local network is reached without HTTPS.
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const listeners = new Set();

export function watchDraft(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// Tells all that show the draft; it is another request from then on.
export function draftChanged() {
  if (!draft.sending) draft.key = newKey();
  listeners.forEach((listener) => listener());
}

export function addToDraft(files) {
  for (const file of files) draft.files.push({ file, role: guessRole(file.name, draft.files.map(({ role }) => role)) });
  draftChanged();
}

// Sends the draft with the texts of the form; returns the job. The same key makes a second try the same job.
export async function sendDraft(texts) {
  const form = new FormData();
  for (const [name, value] of Object.entries(texts)) if (value !== "" && value !== null) form.append(name, value);
  for (const { file, role } of draft.files) form.append(role, file, file.name);
  const abort = new AbortController();
  draft.sending = { share: 0, abort };
  listeners.forEach((listener) => listener());
  try {
    const progress = (share) => { draft.sending.share = share; draftChanged(); };
    const job = await upload("jobs", form, { progress, signal: abort.signal, headers: { "Idempotency-Key": draft.key } });
    draft.files = [];
    draft.key = newKey();
    return job;
  } finally {
    draft.sending = null;
    listeners.forEach((listener) => listener());
  }
}
