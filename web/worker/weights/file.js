// One file of a model, read in pieces from front to back: at an address, or chosen on this machine.

import { Failure } from "../../failure.js";

const CACHED_BYTES = 256 << 20; // Chromium's cache keeps no larger file, but writes much of it before it gives up
const RETRY_SECONDS = [0.3, 1, 2, 4, 8]; // between attempts to go on where the network broke

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// An address for a message: signed links carry keys behind the question mark.
export const shown = (url) => url.split(/[?#]/)[0];

// One GET from byte `from` on. Throws a Failure that says what to do.
async function get(url, from, cache = "default") {
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
      `${shown(url)} may not be read (${status}): the link has expired or needs a login, so get a new one.`,
    );
  }
  if (status === 416) throw new Failure("model", `${shown(url)} has become shorter: open it again.`);
  if (!response.ok)
    throw new Failure("network", `${new URL(url).host} answered ${status} for ${shown(url)}: try again later.`);
  if (/^text\/html/i.test(response.headers.get("Content-Type") ?? "")) {
    response.body?.cancel();
    throw new Failure("model", `${shown(url)} is a web page and not a file: give the address of the file itself.`);
  }
  return response;
}

// Why fetch failed, which it does not say: the other origin refuses, or it cannot be reached.
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
      // not reachable at all
    } finally {
      asked.abort();
    }
  }
  return new Failure("network", `${host} cannot be reached: check the address and the network, then try again.`);
}

// One file at an address, in pieces. Goes on where the network broke.
export class Address {
  constructor({ url, bytes = null }, pieceBytes) {
    this.url = url;
    this.name = shown(url);
    this.bytes = bytes; // the file's size, once known
    this.position = 0;
    this.failures = 0; // in a row
    this.memory = null; // for the next piece, unless it is elsewhere
    this.pieceBytes = pieceBytes;
  }

  async open() {
    const response = await get(this.url, this.position, this.bytes > CACHED_BYTES ? "no-store" : "default");
    const [, start, size] = /^bytes (\d+)-\d+\/(\d+)/.exec(response.headers.get("Content-Range") ?? "") ?? [];
    // Not every server lets another origin see these headers; what is there must fit.
    const tag = response.headers.get("ETag");
    const encoded = response.headers.has("Content-Encoding"); // then Content-Length is not the file's
    const length =
      Number(size ?? (response.status === 200 && !encoded && response.headers.get("Content-Length"))) || null;
    if (
      (this.opened && tag && this.tag && tag !== this.tag) ||
      (length && this.bytes && length !== this.bytes) ||
      (start && Number(start) !== this.position)
    ) {
      response.body.cancel();
      throw this.opened
        ? new Failure("model", `${this.name} changed while it was read: open it again.`)
        : new Failure(
            "model",
            `${this.name} has ${length} bytes and not ${this.bytes} as its manifest says: it is another file, or cut short.`,
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
    // A server that knows no ranges begins again.
    this.skip = response.status === 206 ? 0 : this.position;
  }

  // The next piece, or null at the end. It is overwritten by the next call, unless its memory is given away.
  async read() {
    for (;;) {
      try {
        if (!this.reader) await this.open();
        const { done, value } = await (this.byob ? this.reader.read(this.room()) : this.reader.read());
        if (!done) this.memory = value.buffer;
        if (done) {
          if (this.skip) throw new Failure("model", `${this.name} has become shorter: open it again.`);
          return null;
        }
        const bytes = value.subarray(Math.min(this.skip, value.length));
        this.skip -= value.length - bytes.length;
        if (!bytes.length) continue;
        this.position += bytes.length;
        this.failures = 0;
        return bytes;
      } catch (error) {
        // Before the first byte nothing is worth waiting for; later only a broken network is.
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
    return new Uint8Array(this.memory?.byteLength === this.pieceBytes ? this.memory : new ArrayBuffer(this.pieceBytes));
  }

  // Memory of a piece that was given away and is free again.
  reuse(memory) {
    this.memory = memory;
  }
}

// One chosen file, in pieces.
export class Chosen {
  constructor({ file }, pieceBytes) {
    this.file = file;
    this.name = file.name;
    this.bytes = file.size;
    this.position = 0;
    this.pieceBytes = pieceBytes;
  }

  async open() {}

  async read() {
    if (this.position === this.bytes) return null;
    try {
      const bytes = new Uint8Array(await this.file.slice(this.position, this.position + this.pieceBytes).arrayBuffer());
      this.position += bytes.length;
      return bytes;
    } catch (error) {
      throw new Failure(
        "model",
        `${this.name} cannot be read (${error.name}): if it was changed or moved, choose it again.`,
      );
    }
  }

  reuse() {}
}

// A small text at an address.
export async function text(url) {
  const response = await get(url, 0);
  return response.text();
}
