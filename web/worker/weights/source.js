// A model's bytes, read once from front to back: an address or a chosen file, or shards of them, as parts.js takes them.
// A Worker reads them; here are the piece that is used, and those that come next.

import { Failure } from "../../failure.js";
import { shown } from "./file.js";

export { text } from "./file.js";

const PIECE_BYTES = 4 << 20;
const AHEAD = 2; // pieces that are read while one is used

export class Source {
  constructor(parts, pieceBytes = PIECE_BYTES) {
    this.parts = Array.from(parts);
    this.position = 0;
    this.piece = new Uint8Array(0); // what has come and was not read yet
    this.memory = null; // of the piece that came last
    this.coming = []; // promises of pieces
    this.asked = []; // what the reader is to answer, the oldest first: {resolve, reject}
    this.failure = null;
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
    this.reader.postMessage({ parts: this.parts, pieceBytes });
  }

  // An answer of the reader's, which has the memory of the piece that was used back.
  ask(verb) {
    const answer = this.failure
      ? Promise.reject(this.failure)
      : new Promise((resolve, reject) => {
          this.asked.push({ resolve, reject });
          this.reader.postMessage({ verb, memory: this.memory }, this.memory ? [this.memory] : []);
          this.memory = null;
        });
    answer.catch(() => {}); // it is awaited later, or given up
    return answer;
  }

  fail(failure) {
    this.failure = failure;
    for (const { reject } of this.asked.splice(0)) reject(failure);
  }

  // The size in bytes; null if a server does not say.
  async open() {
    return (await this.ask("open")).size;
  }

  // From 1 to `most` of the next bytes, or null at the end. They are gone with the next call.
  async next(most) {
    while (!this.piece.length) {
      if (this.ended) return null;
      while (this.coming.length <= AHEAD) this.coming.push(this.ask("next"));
      const { piece } = await this.coming.shift();
      if (!piece) {
        this.ended = true;
        return null;
      }
      this.piece = piece;
      this.memory = piece.buffer;
    }
    const bytes = this.piece.subarray(0, most);
    this.piece = this.piece.subarray(bytes.length);
    this.position += bytes.length;
    return bytes;
  }

  async read(most) {
    return (await this.next(most)) ?? this.short();
  }

  short() {
    const { url, file } = this.parts.at(-1);
    throw new Failure(
      "model",
      `${file ? file.name : shown(url)} ends at byte ${this.position} of the model, where more is expected: it is cut short.`,
    );
  }

  // Goes on to `position`.
  async skip(position) {
    while (this.position < position) await this.read(position - this.position);
  }

  // Copies of the first `nbytes`, or of all if there are fewer; they will be read again.
  async head(nbytes) {
    const head = new Uint8Array(nbytes);
    let have = 0;
    for (let bytes; have < nbytes && (bytes = await this.next(nbytes - have)); have += bytes.length)
      head.set(bytes, have);
    const rest = this.piece;
    this.piece = new Uint8Array(have + rest.length);
    this.piece.set(head.subarray(0, have));
    this.piece.set(rest, have);
    this.position = 0;
    return this.piece.subarray(0, have);
  }

  // Behind the last byte that is wanted: what follows matters only if there is something to check.
  async end() {
    if (!this.parts.some((part) => part.sha256 || part.bytes)) return;
    while (await this.next(PIECE_BYTES));
    await this.ask("end");
  }

  close() {
    this.fail(new Failure("aborted", "This was stopped."));
    this.reader.terminate();
  }
}
