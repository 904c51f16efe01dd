// The shards of a model, one after the other (step 2 in source.js), checked against what the manifest says of them.

import { Failure } from "../../failure.js";
import { LocalFile, RemoteFile } from "./file.js";

const CHECKERS = 4; // Workers that check pieces, each one piece at a time

export class Shards {
  // Each shard is {url, bytes, pieces} or {file}. bytes: its size, or null; pieces: {bytes, sha256: [...]}, the size of
  // each piece but the last, and their sums; null if nothing is to be checked.
  constructor(shards, chunkBytes) {
    this.shards = shards.map((shard) => ({
      ...shard,
      file: shard.file ? new LocalFile(shard.file, chunkBytes) : new RemoteFile(shard, chunkBytes),
    }));
    this.index = 0; // of the shard that is being read
    this.joiner = null; // of its pieces, if it has some
    this.sums = []; // of its pieces that have not been read yet
    this.away = []; // chunks whose memory is not back, the oldest first: {file, length, expected: its sum, or null}
    this.checks = []; // pieces that are being checked, the oldest first: the same, and {check: a promise}
    this.checkers = [];
    this.next = 0; // which checker gets the next piece
    this.free = []; // memory of pieces that were checked
  }

  // Opens the first. Resolves with the size of all in bytes, or null if a server does not tell.
  async open() {
    await this.shards[0].file.open();
    return this.shards.reduce((sum, { file }) => (sum === null || file.bytes === null ? null : sum + file.bytes), 0);
  }

  // Resolves with the next chunk, a whole piece where there are pieces, or null at the end. Its memory may be
  // transferred and comes back by `takeBack`.
  async read() {
    while (this.index < this.shards.length) {
      const { file, bytes, pieces } = this.shards[this.index];
      if (pieces && !this.joiner) {
        this.joiner = new Joiner(file, pieces.bytes, this.free);
        this.sums = Array.from(pieces.sha256, (sum) => sum.toLowerCase());
      }
      const chunk = await (this.joiner ?? file).read();
      if (chunk) {
        if (pieces && !this.sums.length) throw differs(file); // a piece too many
        this.away.push({ file, length: chunk.length, expected: pieces ? this.sums.shift() : null });
        return chunk;
      }
      if (bytes && file.position !== bytes) {
        throw new Failure(
          "model",
          `${file.name} has ${file.position} bytes, but its manifest says ${bytes}: it is another file, or cut short.`,
        );
      }
      this.joiner = null;
      this.index++;
    }
    return null;
  }

  // Takes the memory of the oldest chunk that is away. A piece goes on to the next checker, which may still
  // have to finish its last one. Throws if that one's sum differs.
  async takeBack(memory) {
    const chunk = this.away.shift();
    if (!chunk.expected) {
      chunk.file.reuse(memory);
      return;
    }
    if (this.checks.length === CHECKERS) await this.finishOldest();
    if (this.checkers.length < CHECKERS) this.checkers.push(new Checker());
    const check = this.checkers[this.next++ % CHECKERS].check(new Uint8Array(memory, 0, chunk.length));
    this.checks.push({ ...chunk, check });
  }

  async finishOldest() {
    const { file, expected, check } = this.checks.shift();
    const { sha256, memory } = await check;
    if (sha256 !== expected) throw differs(file);
    this.free.push(memory);
  }

  // After the last chunk is back. Throws if the sum of any piece differs.
  async end() {
    while (this.checks.length) await this.finishOldest();
  }
}

// Joins a file's chunks to the pieces of its manifest.
class Joiner {
  constructor(file, bytes, free) {
    this.file = file;
    this.bytes = bytes;
    this.free = free;
    this.rest = new Uint8Array(0); // of the last chunk, for the next piece; null at the end
  }

  // Resolves with the next piece, or null at the end.
  async read() {
    const memory = this.free.pop(); // another shard's pieces may have another size
    const piece = new Uint8Array(memory?.byteLength === this.bytes ? memory : this.bytes);
    let filled = 0;
    while (filled < piece.length) {
      if (!this.rest?.length) this.rest = await this.file.read();
      if (!this.rest) break;
      const bytes = this.rest.subarray(0, piece.length - filled);
      piece.set(bytes, filled);
      filled += bytes.length;
      this.rest = this.rest.subarray(bytes.length);
    }
    return filled ? piece.subarray(0, filled) : null;
  }
}

// The page's side of a checker.js.
class Checker {
  constructor() {
    this.worker = new Worker(new URL("./checker.js", import.meta.url), { type: "module" });
    this.failed = new Promise((_, reject) => {
      this.worker.onerror = (event) => {
        event.preventDefault();
        reject(
          new Failure(
            "network",
            `The model could not be checked (${event.message ?? "checker.js did not load"}): reload the page.`,
          ),
        );
      };
    });
    this.failed.catch(() => {}); // `check` hands it on
  }

  // A promise of {sha256, memory}. The piece's memory is transferred.
  check(piece) {
    const answered = new Promise((resolve) => {
      this.worker.onmessage = ({ data }) => resolve(data);
    });
    this.worker.postMessage(piece, [piece.buffer]);
    const answer = Promise.race([answered, this.failed]);
    answer.catch(() => {}); // it is awaited later, or never if reading stops
    return answer;
  }
}

const differs = (file) =>
  new Failure(
    "model",
    `${file.name} is not the file that its manifest describes (its SHA-256 differs): download it again.`,
  );
