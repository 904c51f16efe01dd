// The shards of a model, one after the other, in pieces (step 3 in source.js).

import { Checkers } from "./checkers.js";
import { Shard } from "./shard.js";

export class Shards {
  // shards: as Shard takes them; context: what its constructor takes, without the checkers.
  constructor(shards, context) {
    this.checkers = new Checkers();
    this.shards = shards.map((shard) => new Shard(shard, { ...context, checkers: this.checkers }));
    this.ready = []; // promises of the next pieces, the oldest first; the last one of null
    this.producing = false;
    this.changed = Promise.withResolvers(); // `ready` is longer or shorter than before
  }

  // Opens the first. Resolves with the size of all in bytes, or null if a server does not tell.
  async open() {
    await this.shards[0].open();
    return this.shards.reduce((sum, { bytes }) => (sum === null || bytes === null ? null : sum + bytes), 0);
  }

  // Resolves with {part, size}: bytes of one shard, out of their turn, and the shard's size, or null if it is unknown.
  async part(index, from, to) {
    const shard = this.shards[index];
    return { part: await shard.part(from, to), size: shard.bytes };
  }

  // Resolves with the next piece, which is right, or null at the end. Its memory may be transferred; `takeBack` gets it.
  async read() {
    if (!this.producing) this.produce();
    this.producing = true;
    while (!this.ready.length) await this.changed.promise;
    const piece = this.ready.shift();
    this.change();
    return piece;
  }

  takeBack(memory) {
    this.checkers.free.push(memory);
  }

  // Whether the store has all of it.
  get isKept() {
    return this.shards.every((shard) => shard.kept?.isComplete);
  }

  // Reads as many pieces ahead as can be checked at a time.
  async produce() {
    try {
      for (const shard of this.shards) for await (const { piece } of shard.pieces()) await this.put(piece);
      await this.put(Promise.resolve(null));
    } catch (error) {
      await this.put(Promise.reject(error));
    }
  }

  async put(piece) {
    piece.catch(() => {}); // `read` hands it on
    this.ready.push(piece);
    this.change();
    while (this.ready.length >= this.checkers.count) await this.changed.promise;
  }

  change() {
    const { resolve } = this.changed;
    this.changed = Promise.withResolvers();
    resolve();
  }
}
