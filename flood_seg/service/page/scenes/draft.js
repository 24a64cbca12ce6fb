// The files of a job that is not sent yet, and the one that is on its way; kept while other views are open.

import { upload } from "../base/api.js";
import { guessRole } from "./roles.js";

export const draft = { files: [], sending: null, key: null, asked: "" }; // files: { file, role }; sending: { share, abort }

// crypto.randomUUID is missing where a service in the local network is reached without HTTPS.
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const listeners = new Set();

export function watchDraft(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const draftChanged = () => listeners.forEach((listener) => listener());

export function addToDraft(files) {
  for (const file of files) draft.files.push({ file, role: guessRole(file.name, draft.files.map(({ role }) => role)) });
  draftChanged();
}

// The key by which a second try of the same request, after a lost connection, is the same job.
function keyOf(texts) {
  const asked = JSON.stringify([texts, draft.files.map(({ file, role }) => [role, file.name, file.size, file.lastModified])]);
  if (asked !== draft.asked) Object.assign(draft, { asked, key: newKey() });
  return draft.key;
}

// Sends the draft with the texts of the form; returns the job.
export async function sendDraft(texts) {
  const form = new FormData();
  for (const [name, value] of Object.entries(texts)) if (value !== "" && value !== null) form.append(name, value);
  for (const { file, role } of draft.files) form.append(role, file, file.name);
  const abort = new AbortController();
  draft.sending = { share: 0, abort };
  draftChanged();
  try {
    const progress = (share) => { draft.sending.share = share; draftChanged(); };
    const job = await upload("jobs", form, { progress, signal: abort.signal, headers: { "Idempotency-Key": keyOf(texts) } });
    draft.files = [];
    draft.asked = "";
    return job;
  } finally {
    draft.sending = null;
    draftChanged();
  }
}
