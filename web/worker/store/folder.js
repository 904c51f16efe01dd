// Where the store is: in the browser's private storage for this site (OPFS), a folder for each model under models/. It
// has `record` (models.js) and, for each shard and the tokenizer, NAME with its bytes and NAME.pieces (sidecar.js).

// The store cannot be used; the message says why, and what happens instead.
export class Unkept extends Error {}

const AT_ONCE = 256 << 10; // bytes of a write
const WAIT_MS = 300;
const ATTEMPTS = 20; // Chromium may hold a file's lock for some seconds after a reload

export async function modelsFolder() {
  if (!navigator.storage?.getDirectory || !navigator.locks) {
    throw new Unkept("This browser cannot keep models, so this one will be downloaded again next time.");
  }
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle("models", { create: true });
  } catch (error) {
    if (error.name === "QuotaExceededError") throw unwritable(error);
    // In private windows of Firefox and Safari, for example.
    throw new Unkept(
      "The browser lets this window keep nothing (is it private?), so the model will be downloaded again next time.",
    );
  }
}

export async function modelFolder(model) {
  return (await modelsFolder()).getDirectoryHandle(model, { create: true });
}

// A handle to write a file of a folder. Throws Unkept.
export async function openForWriting(folder, name) {
  let failure;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      return await (await folder.getFileHandle(name, { create: true })).createSyncAccessHandle();
    } catch (error) {
      failure = error;
      if (error.name !== "NoModificationAllowedError" && error.name !== "InvalidStateError") break;
    }
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
  throw unwritable(failure);
}

// Writes all bytes, or throws Unkept.
export function write(handle, bytes, at) {
  for (let start = 0; start < bytes.length; start += AT_ONCE) {
    const part = bytes.subarray(start, start + AT_ONCE);
    let written = 0;
    try {
      written = handle.write(part, { at: at + start });
    } catch (error) {
      throw unwritable(error);
    }
    if (written < part.length) throw unwritable({ name: "QuotaExceededError" });
  }
}

function unwritable(cause) {
  return new Unkept(
    cause.name === "QuotaExceededError"
      ? "The disk is full, or the browser gives this site no more room: what has come so far is kept, and the rest " +
          "of the model will be downloaded again next time. Make room, or remove a model under “Models on this machine”."
      : `The browser could not write to its storage (${cause.name}), so the model will be downloaded again next time.`,
    { cause },
  );
}

// Takes a Web Lock. Resolves with the function that gives it back, or with null if it is not free and
// options.ifAvailable is true.
export function lock(name, options) {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, options, (taken) => {
        if (!taken) return resolve(null);
        return new Promise((release) => {
          resolve(release);
        });
      })
      .catch(reject);
  });
}

// Held (shared) while a model is read, and exclusively while it is removed.
export const modelLock = (model) => `voxtab model ${model}`;
