// The photos that this browser has had segmented, in its own IndexedDB; the service keeps none. The oldest ones go first.

export const MAX_PHOTOS = 60;
const MAX_BYTES = 300e6;
const STORES = ["entries", "contents"]; // entries are small, so that the gallery need not load the photos

let database = null; // null: none is to be had, in private windows for example; then photos last as long as the page
let entries = new Map();
const contents = new Map();

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const finished = (transaction) => new Promise((resolve, reject) => {
  transaction.oncomplete = resolve;
  transaction.onabort = transaction.onerror = () => reject(transaction.error);
});

export async function openHistory() {
  try {
    const opening = indexedDB.open("flood-seg", 1);
    opening.onupgradeneeded = () => STORES.forEach((name) => opening.result.createObjectStore(name, { keyPath: "id" }));
    database = await done(opening);
    const found = await done(database.transaction("entries").objectStore("entries").getAll());
    entries = new Map(found.map((entry) => [entry.id, entry]));
  } catch {
    database = null;
  }
}

// Newest first.
export const listed = () => [...entries.values()].sort((one, other) => other.id - one.id);

export const entry = (id) => entries.get(id);

// `content`: { photo, mask, probability } as blobs (the last may be null), and `answer`, the service's JSON without them.
export async function remember(entry, content) {
  entries.set(entry.id, entry);
  contents.set(entry.id, content);
  let total = 0;
  const old = listed().filter((one, place) => (total += one.bytes, place && (place >= MAX_PHOTOS || total > MAX_BYTES)));
  await forget(old.map((one) => one.id));
  await write((stores) => {
    stores.entries.put(entry);
    stores.contents.put({ id: entry.id, ...content });
  });
}

export async function content(id) {
  if (contents.has(id)) return contents.get(id);
  return database && done(database.transaction("contents").objectStore("contents").get(id));
}

export async function forget(ids) {
  for (const id of ids) {
    entries.delete(id);
    contents.delete(id);
  }
  await write((stores) => ids.forEach((id) => STORES.forEach((name) => stores[name].delete(id))));
}

async function write(change) {
  if (!database) return;
  try {
    const transaction = database.transaction(STORES, "readwrite");
    change(Object.fromEntries(STORES.map((name) => [name, transaction.objectStore(name)])));
    await finished(transaction);
    contents.clear(); // they are stored now, and need no memory
  } catch {
    database = null; // full, or closed by the browser: from here on in memory
  }
}
