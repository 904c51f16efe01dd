// A Worker that checks pieces: it answers each with its SHA-256 and gives its memory back. Chromium computes
// crypto.subtle's digests on the calling thread, which would delay reading.

self.onmessage = async ({ data: piece }) => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", piece));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  self.postMessage({ sha256, memory: piece.buffer }, { transfer: [piece.buffer] });
};
