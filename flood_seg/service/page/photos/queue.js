// Sends photos to the service, two at a time, and puts the results into the history.

import { Problem, json } from "../base/api.js";
import { remember } from "./history.js";

const AT_ONCE = 2;
const ATTEMPTS = 5; // where the service is busy
const THUMBNAIL = 192; // pixels of the longer side

// Photos that are not done: { id, name, file, problem }, problem being null while it waits.
export const pending = [];
const listeners = new Set();
let running = 0;
let last = 0;

export function watchQueue(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// `finished`: the entry of a photo that is done; `isFirst`: of those that came together.
const changed = (finished = null, isFirst = false) => listeners.forEach((listener) => listener(finished, isFirst));

// `model`: its record; of models with several classes there is no one probability.
export function add(files, model) {
  files.forEach((file, place) => {
    last = Math.max(Date.now(), last + 1); // an id, by which they are sorted
    pending.push({ id: last, name: file.name, file, model, problem: null, started: false, isFirst: place === 0 });
  });
  changed();
  proceed();
}

export function drop(item) {
  pending.splice(pending.indexOf(item), 1);
  changed();
}

export function retry(item) {
  Object.assign(item, { problem: null, started: false });
  changed();
  proceed();
}

function proceed() {
  for (const item of pending.filter((one) => !one.started)) {
    if (running === AT_ONCE) return;
    running += 1;
    item.started = true;
    run(item).finally(() => { running -= 1; proceed(); });
  }
}

async function run(item) {
  try {
    const { mask, probability, ...answer } = await predict(item);
    const content = { photo: item.file, mask: decoded(mask), probability: probability ? decoded(probability) : null, answer };
    const bytes = Object.values(content).reduce((sum, blob) => sum + (blob?.size ?? 0), 0);
    const entry = { id: item.id, name: item.name, shares: answer.shares, bytes, thumbnail: await thumbnail(item.file) };
    pending.splice(pending.indexOf(item), 1);
    await remember(entry, content);
    changed(entry, item.isFirst);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    item.problem = error;
    changed();
  }
}

async function predict(item) {
  for (let attempt = 1; ; attempt += 1) {
    const form = new FormData();
    form.append("image", item.file, item.name);
    try {
      return await json("predict", { method: "POST", body: form, query: { model: item.model.name, probability: item.model.spec.task === "binary" } });
    } catch (error) {
      if (attempt === ATTEMPTS || !(error instanceof Problem) || ![429, 503].includes(error.status)) throw error;
      await new Promise((resolve) => { setTimeout(resolve, 1000 * (error.retryAfter ?? 2)); });
    }
  }
}

function decoded(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

// A small picture, or null of a format that browsers do not show.
async function thumbnail(file) {
  try {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, THUMBNAIL / Math.max(image.width, image.height));
    const canvas = new OffscreenCanvas(Math.max(1, image.width * scale), Math.max(1, image.height * scale));
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    image.close();
    return await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
  } catch {
    return null;
  }
}
