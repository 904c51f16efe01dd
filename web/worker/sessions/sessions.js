// The sessions that are kept on this machine, as the page sees them. A session is one transcription: its text, and its
// audio if that was recorded here.

import { SAMPLE_RATE } from "../../config.js";
import { startWorker } from "../start.js";
import { lock } from "../store/folder.js";
import { AUDIO, canKeep, LOG, sessionLock, sessionsFolder } from "./folder.js";
import { parse } from "./log.js";

const mine = new Set(); // ids of the sessions that this tab writes: their locks may still be on the way

// To the other tabs: {removed: id of a session that the user deleted, or null; written: id of one that was written, or null}.
const tabs = new BroadcastChannel("voxtab sessions");

// act: called with {removed, written} when another tab has written, removed or deleted a session.
export function onChange(act) {
  tabs.onmessage = ({ data }) => act(data);
}

// One session, while this tab writes it; each entry is one of the log's. Where the browser keeps nothing, entries go
// nowhere, and `failure` says why: an error's name.
export class Session {
  failure = null;

  // id: of a session that is there, or null for a new one, whose audio is called `name`. onfailure: called with the
  // error's name, once, when no more can be kept.
  constructor({ id = null, name = null, onfailure }) {
    this.id = id ?? crypto.randomUUID();
    this._first = id ? null : { begun: new Date().toISOString(), name }; // entry of its log, until it is written
    this._onfailure = onfailure;
    this._worker = null;
    this._closed = Promise.resolve(); // once it is being closed, when it is
  }

  // Takes the session's lock and opens its files. Returns the port that the audio thread sends the sound to.
  open() {
    const { port1, port2 } = new MessageChannel();
    if (!canKeep()) {
      port1.close();
      this._fail("NotSupportedError");
      return port2;
    }
    this._worker = startWorker(new URL("./writer.js", import.meta.url));
    this._worker.onmessage = ({ data }) => data.failure && this._fail(data.failure);
    this._worker.onerror = (event) => {
      event.preventDefault();
      this._fail("NetworkError"); // its file did not load
    };
    this._worker.postMessage({ id: this.id, port: port1 }, [port1]);
    mine.add(this.id);
    if (this._first) this.note(this._first);
    this._first = null;
    return port2;
  }

  get isOpen() {
    return this._worker !== null;
  }

  note(entry) {
    this._worker?.postMessage({ note: entry });
  }

  // Resolves once all is written and the lock is free.
  close() {
    const worker = this._worker;
    if (!worker) return this._closed;
    this._worker = null;
    const { promise, resolve } = Promise.withResolvers();
    worker.onerror = resolve;
    worker.onmessage = ({ data }) => {
      if (data.failure) this._fail(data.failure);
      resolve(null);
    };
    worker.postMessage({ close: true });
    this._closed = promise.then(() => {
      worker.terminate();
      mine.delete(this.id);
      tabs.postMessage({ removed: null, written: this.id });
    });
    return this._closed;
  }

  _fail(name) {
    this.failure = name;
    this._worker?.terminate();
    this._worker = null;
    mine.delete(this.id);
    this._onfailure(name);
  }
}

// Every session, the newest first: {id, isOpen: whether a tab writes it now, isElsewhere: whether that is another tab,
// seconds: of its audio, bytes: its size on disk, and what log.js knows of it}. Throws if the browser keeps nothing.
export async function list() {
  if (!canKeep()) throw new DOMException("There is no private storage.", "NotSupportedError");
  const found = [];
  const open = new Set((await navigator.locks.query()).held.map(({ name }) => name));
  for await (const [id, folder] of (await sessionsFolder()).entries()) {
    if (folder.kind !== "directory") continue;
    const isElsewhere = !mine.has(id) && open.has(sessionLock(id));
    const [audio, log] = [await fileOf(folder, AUDIO), await fileOf(folder, LOG)];
    const seconds = Math.floor(audio.size / 2) / SAMPLE_RATE;
    const isOpen = isElsewhere || mine.has(id);
    found.push({ id, isOpen, isElsewhere, seconds, bytes: audio.size + log.size, ...(await parse(await textOf(log))) });
  }
  return found.sort((one, other) => (other.begun ?? "").localeCompare(one.begun ?? ""));
}

// The audio of a session: a Blob of 16-bit samples, 16 kHz mono; it may be empty.
export async function audioOf(id) {
  return fileOf(await (await sessionsFolder()).getDirectoryHandle(id), AUDIO);
}

// isEmpty: the user has not deleted it, but there is nothing in it to keep. Resolves with false if a tab writes it.
export async function remove(id, isEmpty = false) {
  const release = await lock(sessionLock(id), { ifAvailable: true });
  if (!release) return false;
  try {
    await (await sessionsFolder()).removeEntry(id, { recursive: true });
    tabs.postMessage({ removed: isEmpty ? null : id, written: null });
  } catch (error) {
    if (error.name !== "NotFoundError") throw error; // another tab has removed it
  } finally {
    release();
  }
  return true;
}

// Resolves when no tab writes the session any more.
export async function whenClosed(id) {
  await navigator.locks.request(sessionLock(id), { mode: "shared" }, () => {});
}

async function fileOf(folder, name) {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch {
    return new Blob([]); // there is none
  }
}

async function textOf(file) {
  try {
    return await file.text();
  } catch {
    return ""; // it was written to at this moment
  }
}
