// A Worker of parts.js: answers each piece with its SHA-256 and its memory.

self.onmessage = async ({ data: piece }) => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", piece));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  self.postMessage({ sha256, memory: piece.buffer }, [piece.buffer]);
};
