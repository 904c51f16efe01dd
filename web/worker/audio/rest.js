// What of a file can be read behind damage, at which mediabunny ends these formats.

import { findBytes } from "./places.js";

const CLUSTER = Uint8Array.of(0x1f, 0x43, 0xb6, 0x75); // begins a few seconds of Matroska
const FLAC = new TextEncoder().encode("fLaC"); // begins a file
const FRAME_HEAD = { FLAC: 4, ADTS: 3 }; // bytes of a frame's header that are the same in nearly all frames

// A file with the headers of `blob` and what follows places.end; null if there is no more. format: mediabunny's name;
// places: the Places of the packets so far.
export async function restOf(blob, format, places) {
  if (!places.isFound) return null;
  let [begin, head] = [places.begin, CLUSTER]; // of what follows the headers, and the bytes that it begins with
  if (format in FRAME_HEAD) {
    head = new Uint8Array(await blob.slice(begin, begin + FRAME_HEAD[format]).arrayBuffer());
  } else if (["Matroska", "WebM"].includes(format)) {
    begin = await findBytes(blob, 0, CLUSTER);
  } else {
    return null;
  }
  const next = await findBytes(blob, places.end, head);
  const joined = format === "FLAC" ? await findBytes(blob, places.end, FLAC) : -1;
  if (joined >= 0 && (next < 0 || joined < next)) return blob.slice(joined);
  return next < 0 ? null : new Blob([blob.slice(0, begin), blob.slice(next)]);
}
