// A shard of a model, in pieces: from the store where it has them, else from the network or the disk, and then into the
// store. Every piece is checked before it is used: against the manifest's sum of it, or against the sum that the store
// holds since the piece came. A piece that differs is fetched once more, it alone.

import { Failure } from "../../failure.js";
import { KeptShard, Unkept } from "../store/kept_shard.js";
import { Checker } from "./checkers.js";
import { LocalFile, RemoteFile } from "./file.js";

export class Shard {
  // described: {url}, {file}, or {name} if only the store has it; and, each of them null or missing if there is none,
  //   bytes    its size
  //   pieces   {bytes, sha256: [...]}: the size of each piece but the last, and their sums
  //   sha256   the sum of the whole shard, which is checked once, at its end, if there are no sums of pieces
  //   store    {model, name}: where the store keeps it
  // context.chunkBytes: the size of pieces where a shard does not say; network: whether it may be used; tell, warn:
  // called with a sentence for the user; tell(null) once the last one is not true any more.
  constructor(described, context) {
    this.described = described;
    this.context = context;
    this.pieceBytes = described.pieces?.bytes ?? context.chunkBytes;
    this.given = described.pieces?.sha256.map((sum) => sum.toLowerCase()) ?? null;
    this.file = this.original();
    this.name = this.file?.name ?? described.url?.split(/[?#]/)[0] ?? described.name;
    this.bytes = described.bytes ?? described.file?.size ?? null;
    this.kept = null; // a KeptShard
    this.opening = null;
    this.turn = Promise.resolve(); // `bring` reads one piece at a time
  }

  // Where the bytes come from if the store does not have them, or null.
  original() {
    const { described, context } = this;
    if (described.file) return new LocalFile(described.file);
    return described.url && context.network ? new RemoteFile(described, context.chunkBytes, context.patience) : null;
  }

  open() {
    this.opening ??= this.find();
    return this.opening;
  }

  async find() {
    if (this.described.store) {
      await this.keeping(async () => {
        this.kept = await KeptShard.open(this.described.store);
      });
      const header = this.kept?.header;
      if (header?.piece_bytes !== this.pieceBytes || (this.bytes ?? header.bytes) !== header.bytes)
        this.kept?.forgetAll();
      else {
        this.bytes = header.bytes;
        if (this.file instanceof RemoteFile) this.file.resume(header);
      }
    }
    if (this.bytes !== null) return;
    if (!this.file) throw this.missing();
    await this.file.open();
    this.bytes = this.file.bytes;
  }

  async prepare() {
    await this.open();
    if (this.bytes === null) {
      this.unkeep(`${this.name} is not kept on this machine, because its server does not say how large it is.`);
    }
    if (this.kept && !this.kept.isComplete && this.file) await this.keeping(() => this.complete());
  }

  // Resolves with the bytes from `from` to `to`, or to the shard's end, out of their turn: `pieces` still yields all.
  async part(from, to) {
    await this.prepare();
    const end = Math.min(this.bytes ?? Infinity, to);
    const part = new Uint8Array(Math.max(0, end - from));
    let filled = 0;
    for (let i = Math.floor(from / this.pieceBytes); i * this.pieceBytes < end; i++) {
      const upTo = Math.min(this.bytes ?? Infinity, (i + 1) * this.pieceBytes);
      const piece = await this.verify(i, await this.bring(i, upTo, upTo));
      const bytes = piece.subarray(Math.max(0, from - i * this.pieceBytes), end - i * this.pieceBytes);
      part.set(bytes, filled);
      filled += bytes.length;
      if (piece.length < this.pieceBytes) break;
    }
    return part.subarray(0, filled);
  }

  // Yields {piece}, a promise of each piece.
  async *pieces() {
    await this.prepare();
    const end = this.bytes ?? Infinity;
    const whole = this.described.sha256 && !this.given && this.kept?.whole !== this.described.sha256;
    const hasher = whole ? new Checker("hasher.js") : null;
    let last = Promise.resolve();
    for (let i = 0; i * this.pieceBytes < end; i++) {
      const brought = await this.bring(i, Math.min(end, (i + 1) * this.pieceBytes));
      const { length } = brought.bytes;
      if (!length) break; // only if the size is unknown
      const piece = this.hashed(hasher, last, this.verify(i, brought));
      last = piece.then(() => {});
      last.catch(() => {});
      yield { piece };
      if (length < this.pieceBytes) break;
    }
    await last;
    if (this.file instanceof RemoteFile) await this.file.end();
    if (hasher) await this.checkWhole(hasher);
    this.kept?.close();
  }

  // Resolves with the piece once those before it are done, and the hasher, if there is one, has taken it in.
  async hashed(hasher, before, verifying) {
    verifying.catch(() => {});
    await before;
    const piece = await verifying;
    return hasher ? (await hasher.ask({ piece })).bytes : piece;
  }

  async checkWhole(hasher) {
    const { sha256 } = await hasher.ask({ end: true });
    hasher.close();
    if (sha256 === this.described.sha256) return this.keeping(() => this.kept?.noteWhole(sha256));
    // Which piece is wrong, nobody can say.
    await this.keeping(() => this.takeStore());
    if (this.kept) for (const i of this.kept.sums.keys()) this.kept.forget(i);
    throw this.differs();
  }

  // Resolves with {bytes, isStored}. until: as in file.js, if the next pieces are not read.
  bring(i, to, until = undefined) {
    const brought = this.turn.then(() => this.bringNow(i, to, until));
    this.turn = brought.then(
      () => {},
      () => {},
    );
    return brought;
  }

  async bringNow(i, to, until) {
    const from = i * this.pieceBytes;
    const stored = this.kept?.has(i) ? await this.kept.read(from, to, this.context.checkers.memory(to - from)) : null;
    if (stored) return { bytes: stored, isStored: true };
    if (!this.file) throw this.missing();
    if (this.kept?.has(i)) await this.keeping(() => this.takeStore()); // its data is gone
    const memory = this.context.checkers.memory(to - from);
    const bytes = await this.file.piece(from, to, memory, until === undefined ? this.endOfHole(i) : until);
    if (this.bytes !== null && bytes.length < to - from)
      throw new Failure("model", `${this.name} is cut short: it has ${from + bytes.length} bytes of ${this.bytes}.`);
    return { bytes, isStored: false };
  }

  // Where the first piece after piece i begins that the store has, or null if it has none.
  endOfHole(i) {
    const next = this.kept ? this.kept.sums.findIndex((sum, at) => at > i && sum) : -1;
    return next < 0 ? null : next * this.pieceBytes;
  }

  // Resolves with the piece, which is right and, if there is a store, in it.
  async verify(i, { bytes: piece, isStored }) {
    const expected = this.given?.[i] ?? this.kept?.sum(i) ?? null;
    if (!expected && !this.kept) return piece;
    const { sha256, bytes } = await this.context.checkers.check(piece);
    if (expected && sha256 !== expected) return this.repair(i, isStored, expected, sha256);
    if (!isStored) await this.keep(i, bytes, sha256);
    return bytes;
  }

  // Fetches a piece once more whose sum is not the expected one.
  async repair(i, isStored, expected, sha256) {
    const file = this.original();
    if (!file) {
      await this.keeping(async () => {
        await this.takeStore();
        this.kept?.forget(i);
      });
      throw this.missing();
    }
    if (isStored) {
      this.context.tell(`A piece of ${this.name} that is kept on this machine is damaged. It is fetched again.`);
      await this.keeping(() => this.takeStore());
    }
    if (file instanceof RemoteFile) file.bypassCaches();
    const from = i * this.pieceBytes;
    const to = Math.min(this.bytes, from + this.pieceBytes);
    const again = await this.context.checkers.check(await file.piece(from, to, null, to));
    if (file instanceof RemoteFile) file.disconnect();
    this.context.tell(null);
    // If the bytes were right and only the store's sum of them was damaged, it is replaced.
    if (again.sha256 !== expected && !(isStored && !this.given && again.sha256 === sha256)) throw this.differs();
    await this.keep(i, again.bytes, again.sha256);
    return again.bytes;
  }

  async keep(i, bytes, sha256) {
    if (this.kept) await this.keeping(() => this.kept.write(i, bytes, sha256));
  }

  // Waits until no other tab downloads this shard. If it has completed it by then, there is nothing to write.
  async complete() {
    await this.kept.take(this.context.tell);
    if (this.kept.isComplete) return;
    if (!this.kept.header) await this.file.open(); // its answer says which version of the file this is
    await this.takeStore();
  }

  // Waits until no other tab downloads this shard, and then may write it.
  async takeStore() {
    if (!this.kept) return;
    await this.kept.take(this.context.tell);
    await this.kept.describe({
      url: this.described.url ?? null,
      bytes: this.bytes,
      tag: this.file?.tag ?? null,
      piece_bytes: this.pieceBytes,
    });
  }

  // Does something with the store. If that cannot be done, goes on without, and says so.
  async keeping(act) {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Unkept)) throw error;
      this.unkeep(error.message);
    }
  }

  unkeep(sentence) {
    if (this.described.store) this.context.warn(sentence);
    this.kept?.close();
    this.kept = null;
  }

  differs() {
    return new Failure(
      "model",
      this.given || this.described.sha256
        ? `${this.name} is not the file that its manifest or its hub describes (its SHA-256 differs): download it again.`
        : `${this.name} is not the file any more that is kept on this machine (its SHA-256 differs): remove the ` +
            "model under “Models on this machine”, then load it again.",
    );
  }

  missing() {
    return new Failure(
      "kept",
      `${this.name} is not whole on this machine any more: ` +
        (this.described.url ? "fetch what is missing." : "choose the model's files again."),
    );
  }
}
