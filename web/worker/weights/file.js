// One file, read in chunks from front to back (step 1 in source.js): from an address, or from this machine.

import { Failure } from "../../failure.js";

const CACHED_BYTES = 256 << 20; // larger files are not cached by Chromium, and trying wastes disk writes
const RETRY_SECONDS = [0.3, 1, 2, 4, 8]; // pauses before each attempt to go on after a broken connection

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// An address for a message, without the part after the question mark: signed links have keys there.
export const shown = (url) => url.split(/[?#]/)[0];

// One GET from byte `from` on. Throws a Failure that says what to do.
/** @type {(url: string, from: number, cache?: RequestCache) => Promise<Response>} */
const get = async (url, from, cache = "default") => {
  let response;
  try {
    response = await fetch(url, { cache, headers: from ? { Range: `bytes=${from}-` } : {} });
  } catch {
    throw await refusal(url);
  }
  const { status } = response;
  if (status === 404) throw new Failure("model", `${shown(url)} does not exist (404): check the address.`);
  if ([401, 403, 410].includes(status)) {
    throw new Failure(
      "model",
      `The server refused ${shown(url)} (${status}): the link has expired or needs a login, so get a new one.`,
    );
  }
  if (status === 416)
    throw new Failure("model", `${shown(url)} became shorter while it was read: open the model again.`);
  if (!response.ok)
    throw new Failure("network", `${new URL(url).host} answered ${status} for ${shown(url)}: try again later.`);
  if (/^text\/html/i.test(response.headers.get("Content-Type") ?? "")) {
    response.body?.cancel();
    throw new Failure("model", `${shown(url)} is a web page, not a model's file: use the address of the file itself.`);
  }
  return response;
};

// Finds out why a fetch failed, as the browser does not tell: either another origin does not allow it, or it cannot be
// reached.
async function refusal(url) {
  const { host, origin } = new URL(url);
  if (origin !== self.location.origin) {
    const asked = new AbortController();
    try {
      await fetch(url, { mode: "no-cors", signal: asked.signal });
      return new Failure(
        "network",
        `${host} does not allow other sites to read ${shown(url)} (no CORS): ` +
          "download the file and choose it here, or use a host that allows it.",
      );
    } catch {
      // It cannot be reached.
    } finally {
      asked.abort();
    }
  }
  return new Failure("network", `${host} cannot be reached: check the address and the network, then try again.`);
}

// A file at an address. If the connection breaks, it goes on from the same byte.
export class RemoteFile {
  constructor({ url, bytes = null }, chunkBytes) {
    this.url = url;
    this.name = shown(url);
    this.bytes = bytes; // the file's size, once known
    this.position = 0;
    this.failures = 0; // in a row
    this.memory = null; // for the next chunk; detached while it is away
    /** @type {any} */
    this.reader = null;
    this.chunkBytes = chunkBytes;
  }

  async open() {
    const response = await get(this.url, this.position, this.bytes > CACHED_BYTES ? "no-store" : "default");
    const [, start, size] = /^bytes (\d+)-\d+\/(\d+)/.exec(response.headers.get("Content-Range") ?? "") ?? [];
    // Not every server lets another origin see these headers. Those that are there must fit.
    const tag = response.headers.get("ETag");
    const encoded = response.headers.has("Content-Encoding"); // then Content-Length is not the file's size
    const length =
      Number(size ?? (response.status === 200 && !encoded && response.headers.get("Content-Length"))) || null;
    if (
      (this.opened && tag && this.tag && tag !== this.tag) ||
      (length && this.bytes && length !== this.bytes) ||
      (start && Number(start) !== this.position)
    ) {
      response.body.cancel();
      throw this.opened
        ? new Failure("model", `${this.name} changed while it was read: open the model again.`)
        : new Failure(
            "model",
            `${this.name} has ${length} bytes, but its manifest says ${this.bytes}: it is another file, or cut short.`,
          );
    }
    this.opened = true;
    this.tag = tag;
    this.bytes ??= length;
    try {
      this.reader = response.body.getReader({ mode: "byob" });
      this.byob = true;
    } catch {
      this.reader = response.body.getReader();
      this.byob = false;
    }
    // A server that does not support ranges sends the file from its beginning again.
    this.skip = response.status === 206 ? 0 : this.position;
  }

  // Resolves with the next chunk, or null at the end. The next call overwrites it, unless its memory was transferred.
  async read() {
    for (;;) {
      try {
        if (!this.reader) await this.open();
        const { done, value } = await this.reader.read(...(this.byob ? [this.room()] : []));
        if (!done) this.memory = value.buffer;
        if (done) {
          if (this.skip)
            throw new Failure("model", `${this.name} became shorter while it was read: open the model again.`);
          return null;
        }
        const bytes = value.subarray(Math.min(this.skip, value.length));
        this.skip -= value.length - bytes.length;
        if (!bytes.length) continue;
        this.position += bytes.length;
        this.failures = 0;
        return bytes;
      } catch (error) {
        // Retry only network failures, and only after the first answer.
        if (!this.opened || (error instanceof Failure && error.kind !== "network")) throw error;
        if (this.failures === RETRY_SECONDS.length) {
          throw new Failure(
            "network",
            `The connection to ${new URL(this.url).host} broke after ${megabytes(this.position)} of ` +
              `${this.name} and did not come back: check the network, then open the model again.`,
          );
        }
        this.reader = null;
        await sleep(RETRY_SECONDS[this.failures++]);
      }
    }
  }

  room() {
    return new Uint8Array(this.memory?.byteLength === this.chunkBytes ? this.memory : new ArrayBuffer(this.chunkBytes));
  }

  // Memory of a chunk that was transferred and is free again.
  reuse(memory) {
    this.memory = memory;
  }
}

// A file that the user chose.
export class LocalFile {
  constructor(file, chunkBytes) {
    this.file = file;
    this.name = file.name;
    this.bytes = file.size;
    this.position = 0;
    this.chunkBytes = chunkBytes;
  }

  async open() {}

  async read() {
    if (this.position === this.bytes) return null;
    try {
      const bytes = new Uint8Array(await this.file.slice(this.position, this.position + this.chunkBytes).arrayBuffer());
      this.position += bytes.length;
      return bytes;
    } catch (error) {
      throw new Failure(
        "model",
        `${this.name} cannot be read (${error.name}); perhaps it was moved or changed: choose it again.`,
      );
    }
  }

  reuse() {}
}

// Resolves with the text of a small file at an address.
export async function text(url) {
  const response = await get(url, 0);
  return response.text();
}
