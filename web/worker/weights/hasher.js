// A Worker that computes the SHA-256 of a whole shard: it answers each {piece}, in order, with {bytes} once it has taken
// it in, and {end} with {sha256}. crypto.subtle takes only what is whole in memory, so hash-wasm does this.

import { serve } from "../siblings.js";

const LIBRARY = new URL("../../hash-wasm/sha256.umd.min.js", import.meta.url).href; // tools/build_site puts it there

let hasher;

const post = serve(async ({ piece, end }) => {
  if (!hasher) {
    await import(LIBRARY); // it is no module: it leaves its name on `self`
    hasher = await /** @type {any} */ (self).hashwasm.createSHA256();
  }
  if (end) return post({ sha256: hasher.digest() });
  hasher.update(piece);
  post({ bytes: piece }, [piece.buffer]);
});
