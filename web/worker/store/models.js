// The models in the store: their records, and what the page's list shows of them.

import { Failure } from "../../failure.js";
import { Sibling } from "../siblings.js";
import { lock, modelFolder, modelLock, modelsFolder, openForWriting, Unkept, write } from "./folder.js";
import { KeptShard } from "./kept_shard.js";
import { format, verified } from "./sidecar.js";

const RECORD = "record";
const SUM_BYTES = 32; // SHA-256

// A record says what a model is and where its bytes come from, so that it opens without asking the network again:
// {name, address, added, shards, tokenizer}; app/voxtab/browser/locate.py makes it. Written in a Worker only.
export async function writeRecord(model, json) {
  try {
    const handle = await openForWriting(await modelFolder(model), RECORD);
    try {
      const text = new TextEncoder().encode(await format(JSON.parse(json)));
      handle.truncate(0);
      write(handle, text, 0);
      handle.flush();
    } finally {
      handle.close();
    }
  } catch (error) {
    if (!(error instanceof Unkept)) throw error; // the shards meet the same, and tell the user
  }
}

// Resolves with the record's JSON, or with null if there is none, or it is damaged.
export async function readRecord(model) {
  try {
    const folder = await (await modelsFolder()).getDirectoryHandle(model);
    const file = await (await folder.getFileHandle(RECORD)).getFile();
    return await verified(await file.text());
  } catch {
    return null;
  }
}

// The vocabulary of a tokenizer that the store has, as bytes that Python has packed: 15 MB of JSON are not read at every
// start. It is kept as NAME.vocabulary behind the SHA-256 of the tokenizer's sidecar, so it counts as long as that has not
// changed. place: {model, name} of the tokenizer. Written in a Worker only.
export async function keepVocabulary({ model, name }, packed) {
  try {
    const folder = await modelFolder(model);
    const sum = await sidecarSum(folder, name);
    const handle = await openForWriting(folder, `${name}.vocabulary`);
    try {
      handle.truncate(0);
      write(handle, packed, SUM_BYTES);
      write(handle, sum, 0);
      handle.flush();
    } finally {
      handle.close();
    }
  } catch (error) {
    if (!(error instanceof Unkept)) throw error; // it is read again next time
  }
}

// Resolves with the bytes, or with null if there are none.
export async function keptVocabulary({ model, name }) {
  try {
    const folder = await (await modelsFolder()).getDirectoryHandle(model);
    const file = await (await folder.getFileHandle(`${name}.vocabulary`)).getFile();
    const bytes = new Uint8Array(await file.arrayBuffer());
    const sum = await sidecarSum(folder, name);
    return sum.every((byte, i) => byte === bytes[i]) ? bytes.subarray(SUM_BYTES) : null;
  } catch {
    return null;
  }
}

async function sidecarSum(folder, name) {
  const file = await (await folder.getFileHandle(`${name}.pieces`)).getFile();
  return new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
}

// The shards that a record names, with the tokenizer's.
const shardsOf = ({ shards, tokenizer }) => [...shards, tokenizer].filter(Boolean); // some models carry their vocabulary

// Every model: {model: its key; record, or null if it is damaged; bytes: its size, or null if it is unknown; kept: how
// many of them are there}.
export async function list() {
  const found = [];
  for await (const [model, folder] of (await modelsFolder()).entries()) {
    if (folder.kind !== "directory") continue;
    const record = JSON.parse(await readRecord(model));
    let bytes = 0;
    let kept = 0;
    for (const described of record ? shardsOf(record) : []) {
      const shard = new KeptShard(folder, model, described.store.name);
      await shard.load();
      const size = described.bytes ?? shard.header?.bytes ?? null;
      bytes = size === null || bytes === null ? null : bytes + size;
      kept += shard.bytes;
    }
    found.push({ model, record, bytes, kept });
  }
  return found.sort((one, other) => (other.record?.added ?? "").localeCompare(one.record?.added ?? ""));
}

// Throws Failure if a tab uses it.
export async function remove(model) {
  const release = await lock(modelLock(model), { ifAvailable: true });
  if (!release) {
    throw new Failure(
      "kept",
      "A tab is reading this model or downloading it: wait for it or stop it, then remove the model.",
    );
  }
  try {
    await (await modelsFolder()).removeEntry(model, { recursive: true });
  } finally {
    release();
  }
}

// Checks all that is kept of a model, in a Worker. Each damaged piece is marked as missing, so that only it is fetched
// when the model is opened again. progress: called with (bytes so far, bytes in all). Resolves with {pieces, damaged}, the
// number of each.
export function verify(model, progress) {
  const worker = new Sibling(new URL("./verifier.js", import.meta.url));
  const { promise, resolve, reject } = Promise.withResolvers();
  worker.onmessage = ({ data }) => {
    if (data.failure) reject(new Failure("kept", data.failure));
    else if (data.found) resolve(data.found);
    else progress(data.done, data.total);
  };
  worker.onerror = ({ message }) => {
    reject(new Failure("kept", `The model could not be checked (${message ?? "verifier.js did not load"}).`));
  };
  worker.postMessage({ model });
  return promise.finally(() => worker.terminate());
}
