// One file of a model, read in pieces (step 1 in source.js): from an address, or from this machine.
//
// bytes: the file's size, or null while it is unknown.
// piece(from, to, memory, until): resolves with the bytes from `from` to `to`; fewer only at the file's end. They are in
// `memory` if that fits. until: up to where the next pieces will be asked for too, or null for the file's end.

import { Failure } from "../../failure.js";
import { Temporary } from "./patience.js";
import { NoRanges, refusesOthers, request, shown } from "./range.js";

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

// When a request names a range.
const ALWAYS = 2;
const NOT_AT_FIRST = 1; // only after the file's first byte: a cache can answer a request without one
const NEVER = 0; // the server's ranges cannot be relied on

// A file at an address. If the connection breaks, it goes on from the same byte.
export class RemoteFile {
  // shard: see Shards in shards.js, or {url}. patience: a Patience.
  constructor(shard, chunkBytes, patience) {
    this.url = shard.url;
    this.host = new URL(shard.url).host;
    this.name = shown(shard.url);
    this.bytes = shard.bytes ?? null;
    this.isDescribed = this.bytes !== null; // by a manifest
    this.tag = null; // its validator
    this.isKept = false; // whether the store has some of its bytes
    this.hasSums = Boolean(shard.pieces || shard.sha256); // they tell if the file changed, so tags may differ
    /** @type {RequestCache} */
    this.cache = shard.store ? "no-store" : "default"; // Firefox breaks off a huge file that its cache may keep
    this.ranges = shard.store ? ALWAYS : NOT_AT_FIRST;
    this.patience = patience;
    this.chunkBytes = chunkBytes;
    this.position = 0; // of the next byte from the network
    this.until = null;
    this.rest = new Uint8Array(0); // bytes before `position` that no piece has yet
    /** @type {any} */
    this.answer = null; // {start, end, bytes, tag} of `request`, while its body is read
    this.reader = null; // of the body
    this.byob = false;
    this.memory = null; // for the next chunk
    this.skip = 0; // bytes of the body before `position`
    this.came = 0; // bytes that this answer brought
    this.failures = 0; // in a row
    this.answered = false; // ever
    this.received = 0; // bytes
  }

  // The store has some of its bytes: {bytes, tag} of the file that they are from.
  resume({ bytes, tag }) {
    Object.assign(this, { bytes, tag, isKept: true });
  }

  // Nothing is taken from a cache from now on.
  bypassCaches() {
    this.cache = "reload";
  }

  // Makes the first request, which tells the size.
  async open() {
    while (!this.answered) await this.attempt(() => this.connect());
  }

  async piece(from, to, memory, until) {
    if (from !== this.position - this.rest.length) {
      this.disconnect();
      this.rest = new Uint8Array(0);
      this.position = from;
    }
    this.until = until;
    const piece = new Uint8Array(memory?.byteLength === to - from ? memory : to - from);
    let filled = 0;
    while (filled < piece.length) {
      if (!this.rest.length) this.rest = (await this.read()) ?? this.rest;
      if (!this.rest.length) break;
      const bytes = this.rest.subarray(0, piece.length - filled);
      piece.set(bytes, filled);
      filled += bytes.length;
      this.rest = this.rest.subarray(bytes.length);
    }
    return piece.subarray(0, filled);
  }

  // After the last byte. Throws if the file goes on.
  async end() {
    if (this.position === this.bytes && !this.rest.length) await this.read();
  }

  // Resolves with the next chunk, or null at the file's end. The next call overwrites it.
  async read() {
    let chunk = null;
    while (!chunk?.length && !this.isAtEnd()) {
      chunk = await this.attempt(async () => {
        if (!this.answer) await this.connect();
        return this.receive();
      });
    }
    return chunk;
  }

  // Only the answer's end shows that the file does not go on.
  isAtEnd() {
    return this.position === this.bytes && !this.reader;
  }

  // Resolves with what `act` gives, or with null if it has to be tried again.
  async attempt(act) {
    await this.patience.unpaused();
    try {
      return await act();
    } catch (error) {
      this.disconnect();
      if (this.patience.paused) return null;
      if (error instanceof NoRanges) {
        if (this.ranges === NEVER)
          throw new Failure("network", `${this.host} sends only a part of ${this.name}: use another host.`);
        this.ranges = NEVER;
        return null;
      }
      if (error instanceof Failure) throw error;
      return this.waitAfter(error);
    }
  }

  async waitAfter(error) {
    this.failures++;
    if (!this.answered && this.failures === 2 && (await refusesOthers(this.url))) {
      throw new Failure(
        "network",
        `${this.host} does not allow other sites to read ${this.name} (no CORS): ` +
          "download the file and choose it here, or use a host that allows it.",
      );
    }
    // Browsers refuse a compressed answer to a range, and do not say so.
    if (!this.answered && this.failures === 2 && this.position === 0) this.ranges = Math.min(this.ranges, NOT_AT_FIRST);
    try {
      await this.patience.wait(error, this.failures, this.host);
    } catch {
      if (error instanceof Temporary) throw new Failure("network", error.message);
      if (!this.answered) {
        throw new Failure(
          "network",
          `${this.host} cannot be reached: check the address and the network, then try again.`,
        );
      }
      throw new Failure(
        "network",
        `The connection to ${this.host} broke after ${megabytes(this.position)} of ${this.name} and did not come ` +
          "back: check the network, then open the model again.",
      );
    }
    return null;
  }

  async connect() {
    const asked = new AbortController();
    this.asked = asked;
    const ranged = this.ranges === ALWAYS || (this.ranges === NOT_AT_FIRST && this.position > 0);
    const answer = await this.watch(
      request(this.url, this.position, this.until, { ranged, cache: this.cache, signal: asked.signal }),
    );
    try {
      this.compare(answer);
    } catch (error) {
      asked.abort();
      throw error;
    }
    if (!this.answered && this.ranges === ALWAYS) this.patience.begin();
    this.answered = true;
    this.tag ??= answer.tag;
    this.bytes ??= answer.bytes;
    this.answer = answer;
    this.skip = this.position - answer.start;
    this.came = 0;
    this.reader = null;
    if (!answer.body) return;
    try {
      this.reader = answer.body.getReader({ mode: "byob" });
      this.byob = true;
    } catch {
      this.reader = answer.body.getReader();
      this.byob = false;
    }
  }

  // Throws unless the answer is about the file as it was.
  compare({ bytes, tag }) {
    const otherSize = bytes !== null && this.bytes !== null && bytes !== this.bytes;
    const otherTag = !this.hasSums && tag && this.tag && tag !== this.tag;
    if ((otherTag || otherSize) && this.isKept) {
      throw new Failure(
        "model",
        `${this.name} has changed since it was kept on this machine: remove the model under “Models on this machine”, ` +
          "then load it again.",
      );
    }
    if (otherTag || (otherSize && !this.isDescribed))
      throw new Failure("model", `${this.name} changed while it was read: open the model again.`);
    if (otherSize) throw this.otherSize(bytes);
  }

  otherSize(bytes) {
    return new Failure(
      "model",
      this.isDescribed
        ? `${this.name} has ${bytes} bytes, but its manifest says ${this.bytes}: it is another file, or cut short.`
        : `${this.name} has ${bytes} bytes, and had ${this.bytes} before: open the model again.`,
    );
  }

  // Resolves with the next bytes of the answer, perhaps none.
  async receive() {
    if (!this.reader) return this.finish(); // the answer has no body: the file ends here
    const { done, value } = await this.watch(this.reader.read(...(this.byob ? [this.room()] : [])));
    if (done) return this.finish();
    this.memory = value.buffer;
    let bytes = value.subarray(Math.min(this.skip, value.length));
    this.skip -= value.length - bytes.length;
    const room = (this.answer.end ?? this.bytes ?? Infinity) - this.position;
    if (bytes.length > room) {
      if (this.answer.end === null) throw this.otherSize(`more than ${this.bytes}`);
      bytes = bytes.subarray(0, room); // of a server that sends more than it says; no sum speaks for the rest
      this.disconnect();
    }
    this.position += bytes.length;
    this.came += bytes.length;
    this.received += bytes.length;
    if (bytes.length) this.failures = 0;
    return bytes;
  }

  // The answer has ended. It may have brought less than what was asked for: then the next one goes on from there.
  finish() {
    const { answer, came, skip } = this;
    this.disconnect();
    const isEnd = !answer.body || (answer.end === null && answer.bytes === null); // as far as the server says
    if (skip) throw new Failure("model", `${this.name} became shorter while it was read: open the model again.`);
    if (this.bytes === null && isEnd) this.bytes = this.position;
    if (came || this.position === this.bytes) return null;
    throw isEnd ? this.otherSize(this.position) : new Error("nothing came");
  }

  watch(coming) {
    coming.catch(() => {});
    return this.patience.watch(coming, this.host, () => this.asked.abort());
  }

  disconnect() {
    this.asked?.abort();
    this.answer = null;
    this.reader = null;
  }

  room() {
    return new Uint8Array(this.memory?.byteLength === this.chunkBytes ? this.memory : new ArrayBuffer(this.chunkBytes));
  }
}

// A file that the user chose.
export class LocalFile {
  constructor(file) {
    this.file = file;
    this.name = file.name;
    this.bytes = file.size;
    this.tag = null;
  }

  async open() {}

  async piece(from, to) {
    try {
      return new Uint8Array(await this.file.slice(from, to).arrayBuffer());
    } catch (error) {
      throw new Failure(
        "model",
        `${this.name} cannot be read (${error.name}); perhaps it was moved or changed: choose it again.`,
      );
    }
  }
}

// Resolves with the text of a manifest at an address, of at most `most` bytes.
export async function text(url, most, patience) {
  const file = new RemoteFile({ url }, 1 << 16, patience);
  const blobs = [];
  for (;;) {
    const chunk = await file.read();
    if (!chunk) break;
    blobs.push(chunk.slice());
    if (file.position > most) {
      file.disconnect();
      throw new Failure("model", `${file.name} is too large for a manifest: at most ${most} bytes are possible.`);
    }
  }
  return new Blob(blobs).text();
}
