// A model's bytes, read once from front to back: an address or a chosen file, or shards of them.
// Nothing is kept but the piece that has come last.

import { Failure } from './gpu.js';
import './hash-wasm/sha256.js';

const PIECE_BYTES = 4 << 20;
const CHECKERS = 4;             // Workers that check pieces; each holds one and a copy of it
const RETRY_SECONDS = [0.3, 1, 2, 4, 8];    // between attempts to go on where the network broke

const megabytes = bytes => `${(bytes / 1e6).toFixed(1)} MB`;
const sleep = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));

// An address for a message: signed links carry keys behind the question mark.
const shown = url => url.split(/[?#]/)[0];

// One GET from byte `from` on. Throws a Failure that says what to do.
async function get(url, from, signal) {
  let response;
  try {
    response = await fetch(url, { signal, headers: from ? { Range: `bytes=${from}-` } : {} });
  } catch (error) {
    if (signal.aborted) throw new Failure('aborted', 'This was stopped.');
    throw await refusal(url);
  }
  const { status } = response;
  if (status === 404) throw new Failure('model', `${shown(url)} does not exist (404): check the address.`);
  if ([401, 403, 410].includes(status)) {
    throw new Failure('model', `${shown(url)} may not be read (${status}): the link has expired or needs a login, so get a new one.`);
  }
  if (status === 416) throw new Failure('model', `${shown(url)} has become shorter: open it again.`);
  if (!response.ok) throw new Failure('network', `${new URL(url).host} answered ${status} for ${shown(url)}: try again later.`);
  if (/^text\/html/i.test(response.headers.get('Content-Type') ?? '')) {
    response.body?.cancel();
    throw new Failure('model', `${shown(url)} is a web page and not a file: give the address of the file itself.`);
  }
  return response;
}

// Why fetch failed, which it does not say: the other origin refuses, or it cannot be reached.
async function refusal(url) {
  const { host, origin } = new URL(url);
  if (origin !== self.location.origin) {
    const asked = new AbortController();
    try {
      await fetch(url, { mode: 'no-cors', signal: asked.signal });
      return new Failure('network', `${host} does not allow other sites to read ${shown(url)} (no CORS): ` +
        'download the file and choose it here, or use a host that allows it.');
    } catch {
      // not reachable at all
    } finally {
      asked.abort();
    }
  }
  return new Failure('network', `${host} cannot be reached: check the address and the network, then try again.`);
}

// One file at an address, in pieces. Goes on where the network broke.
class Address {
  constructor({ url, bytes = null }, pieceBytes) {
    this.url = url;
    this.name = shown(url);
    this.bytes = bytes;         // the file's size, once known
    this.position = 0;
    this.failures = 0;          // in a row
    this.pieceBytes = pieceBytes;
    this.stop = new AbortController();
  }

  async open() {
    const response = await get(this.url, this.position, this.stop.signal);
    const [, start, size] = /^bytes (\d+)-\d+\/(\d+)/.exec(response.headers.get('Content-Range') ?? '') ?? [];
    // Not every server lets another origin see these headers; what is there must fit.
    const tag = response.headers.get('ETag');
    const encoded = response.headers.has('Content-Encoding');       // then Content-Length is not the file's
    const length = Number(size ?? (response.status === 200 && !encoded && response.headers.get('Content-Length'))) || null;
    if (this.opened && tag && this.tag && tag !== this.tag || length && this.bytes && length !== this.bytes
        || start && Number(start) !== this.position) {
      response.body.cancel();
      throw this.opened ? new Failure('model', `${this.name} changed while it was read: open it again.`)
        : new Failure('model', `${this.name} has ${length} bytes and not ${this.bytes} as its manifest says: it is another file, or cut short.`);
    }
    this.opened = true;
    this.tag = tag;
    this.bytes ??= length;
    try {
      this.reader = response.body.getReader({ mode: 'byob' });
      this.byob = true;
    } catch {
      this.reader = response.body.getReader();
      this.byob = false;
    }
    // A server that knows no ranges begins again.
    this.skip = response.status === 206 ? 0 : this.position;
  }

  // The next piece, or null at the end. It may be overwritten by the next call.
  async read() {
    for (;;) {
      try {
        if (!this.reader) await this.open();
        const { done, value } = await (this.byob ? this.reader.read(this.memory()) : this.reader.read());
        if (!done) this.lent = value.buffer;
        if (done) {
          if (this.skip) throw new Failure('model', `${this.name} has become shorter: open it again.`);
          return null;
        }
        const bytes = value.subarray(Math.min(this.skip, value.length));
        this.skip -= value.length - bytes.length;
        if (!bytes.length) continue;
        this.position += bytes.length;
        this.failures = 0;
        return bytes;
      } catch (error) {
        if (this.stop.signal.aborted) throw new Failure('aborted', 'This was stopped.');
        // Before the first byte nothing is worth waiting for; later only a broken network is.
        if (!this.opened || error instanceof Failure && error.kind !== 'network') throw error;
        if (this.failures === RETRY_SECONDS.length) {
          throw new Failure('network', `The connection to ${new URL(this.url).host} broke after ${megabytes(this.position)} of ` +
            `${this.name} and did not come back: check the network, then open the model again.`);
        }
        this.reader = null;
        await sleep(RETRY_SECONDS[this.failures++]);
      }
    }
  }

  memory() {
    const buffer = this.lent?.byteLength === this.pieceBytes ? this.lent : new ArrayBuffer(this.pieceBytes);
    return new Uint8Array(buffer);
  }

  close() {
    this.stop.abort();
  }
}

// One chosen file, in pieces.
class Chosen {
  constructor({ file }, pieceBytes) {
    this.file = file;
    this.name = file.name;
    this.bytes = file.size;
    this.position = 0;
    this.pieceBytes = pieceBytes;
    this.closed = false;
  }

  async open() {}

  async read() {
    if (this.closed) throw new Failure('aborted', 'This was stopped.');
    if (this.position === this.bytes) return null;
    try {
      const bytes = new Uint8Array(await this.file.slice(this.position, this.position + this.pieceBytes).arrayBuffer());
      this.position += bytes.length;
      return bytes;
    } catch (error) {
      throw new Failure('model', `${this.name} cannot be read (${error.name}): if it was changed or moved, choose it again.`);
    }
  }

  close() {
    this.closed = true;
  }
}

// A shard in pieces of the size whose SHA-256 its manifest tells. They are checked behind the reading: a piece that was
// read goes to a checker, and its memory comes back. Chromium's digest() works on the thread that calls it.
class Checked {
  constructor(shard, { bytes, sha256 }, checkers) {
    this.shard = shard;
    this.sha256 = sha256.map(sum => sum.toLowerCase());
    this.checkers = checkers;
    this.memory = new Uint8Array(bytes);
    this.filled = 0;
    this.rest = new Uint8Array(0);      // what has come of the next piece
    this.index = 0;
    this.checks = [];                   // promises, the oldest first: of {sha256, memory}, and what it should be
  }

  // The next piece, or null at the end. It is gone with the next call.
  async read() {
    if (this.filled) await this.check();
    while (this.filled < this.memory.length) {
      if (!this.rest?.length) this.rest = await this.shard.read();
      if (!this.rest) break;
      const bytes = this.rest.subarray(0, this.memory.length - this.filled);
      this.memory.set(bytes, this.filled);
      this.filled += bytes.length;
      this.rest = this.rest.subarray(bytes.length);
    }
    return this.filled ? this.memory.subarray(0, this.filled) : null;
  }

  // Hands the piece to the checker whose turn it is. One that is not done with its last piece is waited for.
  async check() {
    const piece = this.memory.subarray(0, this.filled), { length } = this.memory;
    const turn = this.index % this.checkers.length;
    this.checks.push({ check: this.checkers[turn].check(piece), expected: this.sha256[this.index++] });
    this.memory = this.checks.length === this.checkers.length ? new Uint8Array(await this.oldest()) : new Uint8Array(length);
    this.filled = 0;
  }

  // The memory of the piece that was given on first.
  async oldest() {
    const { check, expected } = this.checks.shift();
    const { sha256, memory } = await check;
    if (sha256 !== expected) throw changed(this.shard);
    return memory;
  }

  // Behind the last piece: throws if one differs.
  async end() {
    while (this.checks.length) await this.oldest();
  }
}

// A Worker that hashes one piece at a time.
class Checker {
  constructor() {
    this.worker = new Worker(new URL('./checker.js', import.meta.url), { type: 'module' });
    this.failed = new Promise((_, reject) => {
      this.worker.onerror = event => {
        event.preventDefault();
        reject(new Failure('network', `The model could not be checked (${event.message ?? 'checker.js did not load'}): reload the page.`));
      };
    });
    this.failed.catch(() => {});        // it is told to who asks
  }

  // A promise of {sha256, memory}; the piece's memory goes there meanwhile.
  check(piece) {
    const answered = new Promise(resolve => {
      this.worker.onmessage = ({ data }) => resolve(data);
    });
    this.worker.postMessage(piece, [piece.buffer]);
    const answer = Promise.race([answered, this.failed]);
    answer.catch(() => {});             // it is awaited later, or given up
    return answer;
  }

  close() {
    this.worker.terminate();
  }
}

const changed = shard =>
  new Failure('model', `${shard.name} is not the file that its manifest names (SHA-256 differs): download it again.`);

export class Source {
  // Each part is {url, bytes, sha256, pieces} or {file}. All but the url may be missing; where there are `pieces`,
  // {bytes, sha256: [...]}, they are checked instead of the whole. `size` is in bytes; null if a server does not say.
  constructor(parts, pieceBytes = PIECE_BYTES) {
    this.parts = Array.from(parts, part => ({ ...part, shard: part.file ? new Chosen(part, pieceBytes) : new Address(part, pieceBytes) }));
    this.index = 0;
    this.position = 0;
    this.piece = new Uint8Array(0);     // what has come and was not read yet
    this.hash = null;                   // of the shard, where only a whole one's is told
    this.pieces = null;                 // of the shard, where theirs are
    this.checkers = [];
    this.checked = this.parts.some(part => part.sha256 || part.bytes);
  }

  async open() {
    await this.parts[0].shard.open();
    return this.size;
  }

  get size() {
    return this.parts.reduce((sum, { shard }) => sum === null || shard.bytes === null ? null : sum + shard.bytes, 0);
  }

  started() {
    while (this.checkers.length < CHECKERS) this.checkers.push(new Checker());
    return this.checkers;
  }

  // From 1 to `most` of the next bytes, or null at the end. They are gone with the next call.
  async next(most) {
    while (!this.piece.length) {
      if (this.index === this.parts.length) return null;
      const { shard, bytes, sha256, pieces } = this.parts[this.index];
      if (pieces) this.pieces ??= new Checked(shard, pieces, this.started());
      else if (sha256) this.hash ??= await self.hashwasm.createSHA256();
      const piece = await (this.pieces ?? shard).read();
      if (piece) {
        this.hash?.update(piece);
        this.piece = piece;
        continue;
      }
      if (bytes && shard.position !== bytes) {
        throw new Failure('model', `${shard.name} has ${shard.position} bytes and not ${bytes} as its manifest says: it is another file, or cut short.`);
      }
      await this.pieces?.end();
      if (this.hash && this.hash.digest('hex') !== sha256.toLowerCase()) throw changed(shard);
      this.pieces = this.hash = null;
      this.index++;
    }
    const bytes = this.piece.subarray(0, most);
    this.piece = this.piece.subarray(bytes.length);
    this.position += bytes.length;
    return bytes;
  }

  async read(most) {
    return await this.next(most) ?? this.short();
  }

  short() {
    throw new Failure('model', `${this.parts.at(-1).shard.name} ends at byte ${this.position} of the model, where more is expected: it is cut short.`);
  }

  // Goes on to `position`.
  async skip(position) {
    while (this.position < position) await this.read(position - this.position);
  }

  // Copies of the first `nbytes`, or of all if there are fewer; they will be read again.
  async head(nbytes) {
    const head = new Uint8Array(nbytes);
    let have = 0;
    for (let bytes; have < nbytes && (bytes = await this.next(nbytes - have)); have += bytes.length) head.set(bytes, have);
    const rest = this.piece;
    this.piece = new Uint8Array(have + rest.length);
    this.piece.set(head.subarray(0, have));
    this.piece.set(rest, have);
    this.position = 0;
    return this.piece.subarray(0, have);
  }

  // Behind the last byte that is wanted: what follows matters only if there is something to check.
  async end() {
    if (this.checked) while (await this.next(PIECE_BYTES));
  }

  close() {
    for (const { shard } of this.parts) shard.close();
    for (const checker of this.checkers) checker.close();
  }
}

// A small text at an address.
export async function text(url) {
  const response = await get(url, 0, new AbortController().signal);
  return response.text();
}
