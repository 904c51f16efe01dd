// A shard in the store: its bytes in one file, and what is known of them in a sidecar. Several tabs may read at a time;
// one at a time writes.

import { lock, modelFolder, modelLock, openForWriting, write } from "./folder.js";
import { countOf, format, LINE, NONE, parse, parseLines } from "./sidecar.js";

export { Unkept } from "./folder.js";

const FLUSH_BYTES = 64 << 20; // of pieces; a power cut loses fewer
const LOOK_MS = 1000; // how often to look how far another tab is

export class KeptShard {
  // place: {model, name}. Throws Unkept.
  static async open({ model, name }) {
    const folder = await modelFolder(model);
    const kept = new KeptShard(folder, model, name);
    kept.releases.push(await lock(modelLock(model), { mode: "shared" }));
    await kept.load();
    return kept;
  }

  constructor(folder, model, name) {
    this.folder = folder;
    this.name = name;
    this.lockName = `voxtab model ${model} ${name}`;
    this.header = null;
    this.sums = []; // of each piece, or null where it is not there
    this.whole = null; // the sum of all, once it was checked
    this.start = 0; // of the sums in the sidecar
    this.reader = null; // a promise of a handle to read, which other readers may have too, or of null
    this.blob = null; // the bytes, to read where there is no such handle
    this.taking = null; // promises
    this.describing = null;
    this.data = null; // handles to write, while this tab has the lock
    this.sidecar = null;
    this.unflushed = 0; // bytes
    this.releases = []; // what to call when this is closed
  }

  async load() {
    try {
      const file = await (await this.folder.getFileHandle(`${this.name}.pieces`)).getFile();
      Object.assign(this, await parse(await file.text()));
    } catch {
      this.forgetAll(); // there is none
    }
  }

  has(i) {
    return Boolean(this.sums[i]);
  }

  sum(i) {
    return this.sums[i] ?? null;
  }

  get isComplete() {
    return Boolean(this.header) && this.sums.every(Boolean);
  }

  // Bytes of the pieces that are there.
  get bytes() {
    if (!this.header) return 0;
    const { bytes, piece_bytes } = this.header;
    return this.sums.reduce((sum, there, i) => sum + (there ? Math.min(piece_bytes, bytes - i * piece_bytes) : 0), 0);
  }

  // What is there does not fit what is wanted.
  forgetAll() {
    Object.assign(this, { header: null, sums: [], whole: null, start: 0 });
  }

  // Resolves with these bytes, or with null if they cannot be read. memory: an ArrayBuffer of this size to use for them, or
  // undefined.
  async read(from, to, memory) {
    await this.describing?.catch(() => {}); // a handle to read would shut out those to write
    if (!this.data) this.reader ??= this.openReader();
    const handle = this.data ?? (await this.reader);
    const bytes = memory ? new Uint8Array(memory) : new Uint8Array(to - from);
    const isRead = (handle) => {
      try {
        return handle.read(bytes, { at: from }) === bytes.length;
      } catch {
        return false; // it was closed meanwhile, to write, for example
      }
    };
    if (handle && isRead(handle)) return bytes;
    await this.describing?.catch(() => {});
    if (this.data) return isRead(this.data) ? bytes : null;
    return this.readBlob(from, to);
  }

  // In Chromium a file's handle reads many times faster than its blob. Other browsers know only handles that exclude all
  // others, and while a tab writes there is none to be had.
  async openReader() {
    if (!("mode" in /** @type {any} */ (globalThis).FileSystemSyncAccessHandle.prototype)) return null;
    try {
      const file = await this.folder.getFileHandle(this.name);
      return await /** @type {any} */ (file).createSyncAccessHandle({ mode: "read-only" });
    } catch {
      return null; // readBlob finds out what is wrong
    }
  }

  async readBlob(from, to) {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        this.blob ??= await (await this.folder.getFileHandle(this.name)).getFile();
        const bytes = new Uint8Array(await this.blob.slice(from, to).arrayBuffer());
        if (bytes.length === to - from) return bytes;
      } catch {
        // Another tab has written a piece meanwhile, or there is no such file.
      }
      this.blob = null;
    }
    return null;
  }

  // Waits until no other tab writes, and loads what it has written. tell: called with a sentence meanwhile.
  take(tell) {
    this.taking ??= this.acquire(tell);
    return this.taking;
  }

  async acquire(tell) {
    let release = await lock(this.lockName, { ifAvailable: true });
    if (!release) {
      const look = async () => {
        await this.load();
        const amount = this.header ? ` ${Math.floor((100 * this.bytes) / this.header.bytes)} % of it has come.` : "";
        tell(`Another tab is downloading ${this.name} of this model; this one goes on after it.${amount}`);
      };
      await look();
      const timer = setInterval(look, LOOK_MS);
      release = await lock(this.lockName, {});
      clearInterval(timer);
      tell(null);
    }
    this.releases.push(release);
    await this.load();
  }

  // After `take` and before the first `write`: says what the shard is. That is written before any byte of it.
  describe(header) {
    this.describing ??= this.openFiles(header);
    return this.describing;
  }

  async openFiles(header) {
    const head = await format(header);
    const count = countOf(header);
    await this.stopReading();
    const [data, sidecar] = [await this.openFile(this.name), await this.openFile(`${this.name}.pieces`)];
    if (!this.header) {
      const size = head.length + (count + 1) * LINE;
      const kept = sidecar.getSize() === size ? readText(sidecar, head.length, size) : "";
      // A damaged header of this length: the lines behind it are still good, and each is checked when it is used.
      Object.assign(this, parseLines(kept, count));
      if (!kept) {
        sidecar.truncate(0);
        write(sidecar, encode(head + `${NONE}\n`.repeat(count + 1)), 0);
      } else write(sidecar, encode(head), 0);
      sidecar.flush();
      Object.assign(this, { header, start: head.length });
    }
    Object.assign(this, { data, sidecar });
  }

  async openFile(name) {
    const handle = await openForWriting(this.folder, name);
    this.releases.push(() => handle.close());
    return handle;
  }

  async stopReading() {
    const { reader } = this;
    Object.assign(this, { reader: null, blob: null });
    (await reader)?.close();
  }

  write(i, bytes, sum) {
    write(this.data, bytes, i * this.header.piece_bytes);
    this.note(i, sum);
    this.unflushed += bytes.length;
    if (this.unflushed >= FLUSH_BYTES) this.flush();
  }

  // Piece i is not right.
  forget(i) {
    this.note(i, null);
  }

  // The sum of all is what it should be. A tab that wrote nothing need not note it.
  noteWhole(sum) {
    if (this.sidecar) this.writeLine(this.sums.length, sum);
    this.whole = sum;
  }

  note(i, sum) {
    this.writeLine(i, sum);
    this.sums[i] = sum;
  }

  writeLine(i, sum) {
    write(this.sidecar, encode(`${sum ?? NONE}\n`), this.start + i * LINE);
  }

  flush() {
    this.data.flush();
    this.sidecar.flush();
    this.unflushed = 0;
  }

  close() {
    try {
      if (this.data) this.flush();
    } finally {
      this.stopReading();
      for (const release of this.releases.splice(0).reverse()) release();
      Object.assign(this, { data: null, sidecar: null, taking: null, describing: null });
    }
  }
}

const encode = (text) => new TextEncoder().encode(text);

function readText(handle, from, to) {
  const bytes = new Uint8Array(to - from);
  handle.read(bytes, { at: from });
  return new TextDecoder().decode(bytes);
}
