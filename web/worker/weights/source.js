// A model's bytes, read once from front to back, on their way to the GPU:
//
// 1. file.js gets chunks of one file from the network or the disk, and goes on at the same byte if the network breaks.
// 2. shards.js reads the files of a model one after the other, and joins chunks to pieces where the manifest has their
//    sums.
// 3. reader.js runs both in a Worker, and posts the chunks here without a copy.
// 4. Source asks for some chunks ahead. Its user, `upload` of gpu.js or browser/models.py, takes any amount of bytes.
// 5. With the next request the memory of a used chunk goes back to reader.js, and from there, if it is a piece, to a
//    checker.js, a Worker that computes its SHA-256, so checking does not delay reading. Then the memory takes a new
//    piece.
// 6. `end` waits for the checks. A model whose bytes differ is refused there at the latest.
//
// The bytes are never in Python's memory, nor in one array as a whole.

import { Failure } from "../../failure.js";
import { shown } from "./file.js";

export { text } from "./file.js";

const CHUNK_BYTES = 4 << 20;
const AHEAD = 2; // chunks that are read while one is used

export class Source {
  // shards: see Shards in shards.js.
  constructor(shards, chunkBytes = CHUNK_BYTES) {
    this.shards = Array.from(shards);
    this.position = 0;
    this.chunk = new Uint8Array(0); // what has come and was not taken yet
    this.memory = null; // of the last chunk, to be given back
    this.coming = []; // promises of the reader's answers, each with a chunk
    this.asked = []; // requests without an answer, the oldest first: {resolve, reject}
    this.failure = null; // why every request fails
    this.ended = false;
    this.reader = new Worker(new URL("./reader.js", import.meta.url), { type: "module" });
    this.reader.onmessage = ({ data }) => {
      const { resolve, reject } = this.asked.shift();
      if (data.failure) reject(new Failure(data.failure.kind, data.failure.message));
      else resolve(data);
    };
    this.reader.onerror = (event) => {
      event.preventDefault();
      this.fail(
        new Failure(
          "network",
          `The model could not be read (${event.message ?? "reader.js did not load"}): reload the page.`,
        ),
      );
    };
    this.reader.postMessage({ shards: this.shards, chunkBytes });
  }

  // A promise of the reader's answer. The memory of the used chunk goes back with the request.
  ask(verb) {
    const answer = this.failure
      ? Promise.reject(this.failure)
      : new Promise((resolve, reject) => {
          this.asked.push({ resolve, reject });
          this.reader.postMessage({ verb, memory: this.memory }, this.memory ? [this.memory] : []);
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
      const { chunk } = await this.coming.shift();
      if (!chunk) {
        this.ended = true;
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
    const { url, file } = this.shards.at(-1);
    throw new Failure(
      "model",
      `${file ? file.name : shown(url)} is cut short: it ends at byte ${this.position} of the model, which is longer.`,
    );
  }

  // Skips the bytes up to `position`.
  async skip(position) {
    while (this.position < position) await this.read(position - this.position);
  }

  // Resolves with a copy of the first `nbytes`, or of all if there are fewer. They stay the next to be read.
  async head(nbytes) {
    const head = new Uint8Array(nbytes);
    let have = 0;
    while (have < nbytes) {
      const bytes = await this.next(nbytes - have);
      if (!bytes) break;
      head.set(bytes, have);
      have += bytes.length;
    }
    const rest = this.chunk;
    this.chunk = new Uint8Array(have + rest.length);
    this.chunk.set(head.subarray(0, have));
    this.chunk.set(rest, have);
    this.position = 0;
    return this.chunk.subarray(0, have);
  }

  // After the last byte that is needed. If a manifest describes the shards, reads the rest, and fails if it differs.
  async end() {
    if (!this.shards.some((shard) => shard.bytes)) return;
    while (await this.next(CHUNK_BYTES));
    await this.ask("end");
  }

  close() {
    this.fail(new Failure("aborted", "This was stopped."));
    this.reader.terminate();
  }
}
