// The parts of a model, which reader.js reads once from front to back, checked as their manifest says.

import { Failure } from "../../failure.js";
import { Address, Chosen } from "./file.js";

const CHECKERS = 4; // Workers that check pieces; each holds one

// A shard in pieces of the size whose SHA-256 its manifest tells.
class Pieces {
  constructor(shard, bytes, free) {
    this.shard = shard;
    this.bytes = bytes;
    this.free = free; // memory of pieces that were checked
    this.rest = new Uint8Array(0); // what has come of the next piece
  }

  // The next piece, or null at the end.
  async read() {
    const memory = this.free.pop(); // another shard's pieces may have another size
    const piece = new Uint8Array(memory?.byteLength === this.bytes ? memory : this.bytes);
    let filled = 0;
    while (filled < piece.length) {
      if (!this.rest?.length) this.rest = await this.shard.read();
      if (!this.rest) break;
      const bytes = this.rest.subarray(0, piece.length - filled);
      piece.set(bytes, filled);
      filled += bytes.length;
      this.rest = this.rest.subarray(bytes.length);
    }
    return filled ? piece.subarray(0, filled) : null;
  }
}

// A Worker that hashes one piece at a time.
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
    this.failed.catch(() => {}); // it is told to who asks
  }

  // A promise of {sha256, memory}; the piece's memory goes there meanwhile.
  check(piece) {
    const answered = new Promise((resolve) => {
      this.worker.onmessage = ({ data }) => resolve(data);
    });
    this.worker.postMessage(piece, [piece.buffer]);
    const answer = Promise.race([answered, this.failed]);
    answer.catch(() => {}); // it is awaited later, or given up
    return answer;
  }
}

const changed = (shard) =>
  new Failure("model", `${shard.name} is not the file that its manifest names (SHA-256 differs): download it again.`);

export class Parts {
  // Each is {url, bytes, sha256, pieces} or {file}. All but the url may be missing; where there are `pieces`,
  // {bytes, sha256: [...]}, they are checked instead of the whole: behind the reading, as Chromium's digest() works on the
  // thread that calls it.
  constructor(parts, pieceBytes) {
    this.parts = parts.map((part) => ({
      ...part,
      shard: part.file ? new Chosen(part, pieceBytes) : new Address(part, pieceBytes),
    }));
    this.index = 0;
    this.hash = null; // of the shard, where only a whole one's is told
    this.pieces = null; // of the shard, where theirs are
    this.sums = []; // which the shard's next pieces should have
    this.given = []; // pieces whose memory is to come back, the oldest first: {shard, length, expected}
    this.checks = []; // the same, and a promise of {sha256, memory}
    this.checkers = [];
    this.turn = 0;
    this.free = [];
  }

  // The size of all in bytes; null if a server does not say.
  async open() {
    await this.parts[0].shard.open();
    return this.parts.reduce((sum, { shard }) => (sum === null || shard.bytes === null ? null : sum + shard.bytes), 0);
  }

  // The next piece, or null at the end. Its memory comes back by `takeBack`.
  async read() {
    while (this.index < this.parts.length) {
      const { shard, bytes, sha256, pieces } = this.parts[this.index];
      if (pieces && !this.pieces) {
        this.pieces = new Pieces(shard, pieces.bytes, this.free);
        this.sums = Array.from(pieces.sha256, (sum) => sum.toLowerCase());
      } else if (sha256 && !pieces) {
        this.hash ??= await hasher();
      }
      const piece = await (this.pieces ?? shard).read();
      if (piece) {
        this.hash?.update(piece);
        if (pieces && !this.sums.length) throw changed(shard); // a piece that should not be
        this.given.push({ shard, length: piece.length, expected: pieces ? this.sums.shift() : null });
        return piece;
      }
      if (bytes && shard.position !== bytes) {
        throw new Failure(
          "model",
          `${shard.name} has ${shard.position} bytes and not ${bytes} as its manifest says: it is another file, or cut short.`,
        );
      }
      if (this.hash && this.hash.digest("hex") !== sha256.toLowerCase()) throw changed(shard);
      this.pieces = this.hash = null;
      this.index++;
    }
    return null;
  }

  // The memory of the oldest piece that was given, which is read now. It goes to the checker whose turn it is; one that is
  // not done with its last piece is waited for.
  async takeBack(memory) {
    const piece = this.given.shift();
    if (!piece.expected) {
      piece.shard.reuse(memory);
      return;
    }
    if (this.checks.length === CHECKERS) await this.oldest();
    if (this.checkers.length < CHECKERS) this.checkers.push(new Checker());
    const check = this.checkers[this.turn++ % CHECKERS].check(new Uint8Array(memory, 0, piece.length));
    this.checks.push({ ...piece, check });
  }

  async oldest() {
    const { shard, expected, check } = this.checks.shift();
    const { sha256, memory } = await check;
    if (sha256 !== expected) throw changed(shard);
    this.free.push(memory);
  }

  // Behind the last piece: throws if one differs.
  async end() {
    while (this.checks.length) await this.oldest();
  }
}

async function hasher() {
  await import("../../hash-wasm/sha256.js");
  return self.hashwasm.createSHA256();
}
