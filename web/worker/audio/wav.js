// WAV files of whole numbers or floats. Other kinds of WAV, such as A-law, are left to media.js.

import { checkRate } from "../../audio/mono.js";
import { Failure } from "../../failure.js";

// "WAV's format, bits" -> a sample, -1 to 1. An int16 is divided by 32768, as libsndfile and FFmpeg do it; browsers
// divide positive ones by 32767.
const READERS = {
  "1 8": (view, at) => (view.getUint8(at) - 128) / 2 ** 7,
  "1 16": (view, at) => view.getInt16(at, true) / 2 ** 15,
  "1 24": (view, at) => ((view.getUint16(at, true) << 8) | (view.getUint8(at + 2) << 24)) / 2 ** 31,
  "1 32": (view, at) => view.getInt32(at, true) / 2 ** 31,
  "3 32": (view, at) => view.getFloat32(at, true),
  "3 64": (view, at) => view.getFloat64(at, true),
};
const CUT_SECONDS = 0.5; // a file that is this much shorter than its header says is cut off
const UNKNOWN_SIZE = 0x7fff0000; // a writer that did not know the size may have written this or more

// What openMedia() of media.js resolves with; null for any other file.
export async function openWav(blob, name) {
  const bytes = async (start, count) => new DataView(await blob.slice(start, start + count).arrayBuffer());
  const tag = (view, at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
  const head = await bytes(0, 12);
  if (head.byteLength < 12 || tag(head, 0) !== "RIFF" || tag(head, 8) !== "WAVE") return null;
  let channels, rate, read, width;
  for (let at = 12; at + 8 <= blob.size; ) {
    const chunk = await bytes(at, 8 + 40);
    const size = chunk.getUint32(4, true);
    if (tag(chunk, 0) === "fmt " && chunk.byteLength >= 24) {
      const extensible = chunk.getUint16(8, true) === 0xfffe && chunk.byteLength >= 34;
      const bits = chunk.getUint16(22, true);
      read = READERS[`${chunk.getUint16(extensible ? 32 : 8, true)} ${bits}`];
      [channels, rate, width] = [chunk.getUint16(10, true), chunk.getUint32(12, true), bits / 8];
      if (!read || channels < 1) return null;
      checkRate(rate, name);
    } else if (tag(chunk, 0) === "data" && read) {
      // A recorder that crashed, or that wrote to a pipe, did not know the size and wrote a larger one, or 0: then
      // the data go to the end of the file.
      const there = Math.floor((blob.size - at - 8) / (channels * width));
      const told = size > 0 && size < UNKNOWN_SIZE ? Math.floor(size / (channels * width)) : there;
      const seconds = Math.min(told, there) / rate;
      if (seconds <= 0) throw new Failure("audio", `${name} contains no sound, or was cut off: choose another file.`);
      return {
        seconds,
        damage:
          told - there > CUT_SECONDS * rate ? [{ at: seconds, seconds: (told - there) / rate, pause: false }] : [],
        blocks: () => wavBlocks(bytes, at + 8, Math.min(told, there), { channels, rate, read, width }),
      };
    }
    at += 8 + size + (size % 2);
  }
  return null;
}

// Of a second each.
async function* wavBlocks(bytes, start, frames, { channels, rate, read, width }) {
  const step = channels * width;
  for (let done = 0; done < frames; done += rate) {
    const count = Math.min(rate, frames - done);
    const view = await bytes(start + done * step, count * step);
    yield {
      rate,
      channels: Array.from({ length: channels }, (_, channel) => {
        const samples = new Float32Array(count);
        for (let i = 0, at = channel * width; i < count; i++, at += step) samples[i] = read(view, at);
        return samples;
      }),
    };
  }
}
