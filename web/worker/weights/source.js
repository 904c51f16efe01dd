// A model's bytes, read once from front to back, on their way to the GPU:
//
// 1. file.js gets the bytes of one file from the network or the disk, and goes on at the same byte if the network breaks.
//    range.js checks each answer; patience.js says how long to wait.
// 2. shard.js reads a file in pieces: those that the store (../store) has from there, the others from the file, and then
//    into the store. A piece is used once its sum is right.
// 3. shards.js reads the files of a model one after the other, some pieces ahead. checker.js computes their sums in
//    Workers of its own, so checking does not delay reading.
// 4. reader.js runs all this in a Worker, and posts the pieces here without a copy.
// 5. Source asks for some pieces ahead. Its user, `upload` of gpu.js or browser/models.py, takes any amount of bytes. With
//    the next request the memory of a used piece goes back.
//
// The bytes are never in Python's memory, nor in one array as a whole.

import { Failure } from "../../failure.js";
import { Sibling } from "../siblings.js";
import * as elsewhere from "./elsewhere.js";
import { shown } from "./range.js";

export { listing, pinned } from "./elsewhere.js";
export { isRepository } from "./hub.js";

const CHUNK_BYTES = 1 << 20; // and the size of pieces where no manifest says one
const AHEAD = 2; // chunks that are read while one is used
const sources = new Set(); // those that are open

let post = (_) => {};
let isPaused = false;

// Downloads report to `receive`: {event: "network", tell: a sentence for the user, or null once it is not true any more},
// {event: "network", warn: a sentence}, or {event: "network", downloading: true} once something comes.
export function report(receive) {
  post = (message) => receive({ event: "network", ...message });
}

// Pauses all downloads, or lets them go on.
export function pause(paused) {
  isPaused = paused;
  for (const source of sources) source.reader.postMessage({ paused });
}

// Resolves with the text of a small file at an address, of at most `most` bytes.
export function text(url, most) {
  return elsewhere.text(url, most, (tell) => post({ tell }));
}

export class Source {
  // shards: see Shard in shard.js. options: {chunkBytes; network: whether it may be used; times: see patience.js}.
  constructor(shards, options = {}) {
    this.shards = Array.from(shards);
    this.position = 0;
    this.chunk = new Uint8Array(0); // what has come and was not taken yet
    this.memory = null; // of the last chunk, to be given back
    this.coming = []; // promises of the reader's answers, each with a chunk
    this.asked = []; // requests without an answer, the oldest first: {resolve, reject}
    this.failure = null; // why every request fails
    this.ended = false;
    this.isKept = false; // whether the store has everything, once it was read to the end
    this.reader = new Sibling(new URL("./reader.js", import.meta.url));
    this.reader.onmessage = ({ data }) => {
      if ("tell" in data || "warn" in data || "downloading" in data) return post(data);
      const waiting = this.asked.shift();
      if (!waiting) return; // this was closed meanwhile
      const { resolve, reject } = waiting;
      if (data.failure) reject(new Failure(data.failure.kind, data.failure.message));
      else resolve(data);
    };
    this.reader.onerror = ({ message }) => {
      this.fail(
        new Failure(
          "network",
          `The model could not be read (${message ?? "reader.js did not load"}): reload the page.`,
        ),
      );
    };
    this.reader.postMessage({ shards: this.shards, chunkBytes: CHUNK_BYTES, network: true, ...options });
    if (isPaused) this.reader.postMessage({ paused: true });
    sources.add(this);
  }

  // A promise of the reader's answer. The memory of the used chunk goes back with the request.
  ask(verb, more = {}) {
    const answer = this.failure
      ? Promise.reject(this.failure)
      : new Promise((resolve, reject) => {
          this.asked.push({ resolve, reject });
          this.reader.postMessage({ verb, memory: this.memory, ...more }, this.memory ? [this.memory] : []);
          this.memory = null;
        });
    answer.catch(() => {}); // it is awaited later, or never: then the next answer fails too
    return answer;
  }

  fail(failure) {
    this.failure = failure;
    for (const { reject } of this.asked.splice(0)) reject(failure);
  }

  // Resolves with the size in bytes, or null if a server does not tell.
  async open() {
    return (await this.ask("open")).size;
  }

  // Resolves with 1 to `most` of the next bytes, or null at the end. The next call overwrites them.
  async next(most) {
    while (!this.chunk.length) {
      if (this.ended) return null;
      while (this.coming.length <= AHEAD) this.coming.push(this.ask("next"));
      const { chunk, isKept } = await this.coming.shift();
      if (!chunk) {
        this.ended = true;
        this.isKept = isKept;
        this.chunk = new Uint8Array(0); // the memory of the last one is away
        return null;
      }
      this.chunk = chunk;
      this.memory = chunk.buffer;
    }
    const bytes = this.chunk.subarray(0, most);
    this.chunk = this.chunk.subarray(bytes.length);
    this.position += bytes.length;
    return bytes;
  }

  // As `next`, where more bytes must come.
  async read(most) {
    return (await this.next(most)) ?? this.short();
  }

  short() {
    const { url, file, name } = this.shards.at(-1);
    throw new Failure(
      "model",
      `${file?.name ?? (url ? shown(url) : name)} is cut short: it ends at byte ${this.position} of the model, ` +
        "which is longer.",
    );
  }

  // Skips the bytes up to `position`.
  async skip(position) {
    while (this.position < position) await this.read(position - this.position);
  }

  // Resolves with a copy of the first `nbytes`, or of all if there are fewer. They stay the next to be read. `nbytes` may
  // be a number from a header that lies: memory is taken only for what comes.
  async head(nbytes) {
    const come = [];
    let have = 0;
    while (have < nbytes) {
      const bytes = await this.next(nbytes - have);
      if (!bytes) break;
      come.push(bytes.slice());
      have += bytes.length;
    }
    const whole = new Uint8Array(have + this.chunk.length);
    let at = 0;
    for (const bytes of [...come, this.chunk]) {
      whole.set(bytes, at);
      at += bytes.length;
    }
    this.chunk = whole;
    this.position = 0;
    return whole.subarray(0, have);
  }

  // Resolves with {part, size}: the bytes of one shard from `from` to `to`, fewer only at its end, without changing what is
  // read next; and the shard's size, or null if a server does not tell.
  part(index, from, to) {
    return this.ask("part", { index, from, to });
  }

  // After the last byte that is needed. Reads the rest where a manifest describes the shards, or the store keeps them.
  async end() {
    if (!this.shards.some((shard) => shard.bytes || shard.store)) return;
    while (await this.next(CHUNK_BYTES));
  }

  close() {
    this.fail(new Failure("aborted", "This was stopped."));
    this.reader.terminate();
    sources.delete(this);
  }
}
