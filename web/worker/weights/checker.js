// A Worker that checks pieces: it answers each {piece} with {sha256, bytes}, and so gives its memory back. Chromium
// computes crypto.subtle's digests on the calling thread, which would delay reading.

import { serve } from "../siblings.js";

const post = serve(async ({ piece }) => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", piece));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  post({ sha256, bytes: piece }, [piece.buffer]);
});
