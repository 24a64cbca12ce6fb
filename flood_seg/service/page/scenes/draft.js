// The files of a job that is not sent yet, and the one that is on its way; kept while other views are open.

import { upload } from "../base/api.js";
import { guessRole } from "./roles.js";

export const draft = { files: [], sending: null }; // files: { file, role }; sending: { share, abort }
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

// Sends the draft with the texts of the form; returns the job. The same key makes a second try the same job.
export async function sendDraft(texts) {
  const form = new FormData();
  for (const [name, value] of Object.entries(texts)) if (value !== "" && value !== null) form.append(name, value);
  for (const { file, role } of draft.files) form.append(role, file, file.name);
  const abort = new AbortController();
  draft.sending = { share: 0, abort };
  draftChanged();
  try {
    const progress = (share) => { draft.sending.share = share; draftChanged(); };
    const job = await upload("jobs", form, { progress, signal: abort.signal });
    draft.files = [];
    return job;
  } finally {
    draft.sending = null;
    draftChanged();
  }
}
