// A Worker that decodes one audio file. {blob, name} is answered with {seconds}, and each {} after it with a block,
// {samples, seconds}: 16 kHz mono, at the page's pace, so that memory does not grow with the file. The last answer is
// {notes, seconds}: sentences. seconds: of the whole, an estimate until the end. What goes wrong
// is answered with {failure: {kind, message}}; of kind 'undecodable' if the page may have another way.

import { Mono } from "../../audio/mono.js";
import { SAMPLE_RATE } from "../../config.js";
import { openMedia } from "./media.js";
import { openWav } from "./wav.js";

// As long as ROOM_SECONDS in app/voxtab/transcriber.py: the first block is then enough for the engine to begin with
// whole blocks of its own.
const BLOCK_SAMPLES = 24 * SAMPLE_RATE;
const TOLD_PLACES = 5;

let name;
let media;
let mono;
let blocks;
let first; // block: whether the file can be decoded is known when it is there

async function answer(blob) {
  if (blob) {
    media = (await openWav(blob, name)) ?? (await openMedia(blob, name));
    mono = new Mono(name);
    blocks = inBlocks(mono.samples(media.blocks()));
    first = await blocks.next();
    return { seconds: media.seconds };
  }
  const { value: samples, done } = first ?? (await blocks.next());
  first = null;
  const { seconds } = media;
  return done ? { seconds, notes: [...damageNotes(media), ...mono.notes()] } : { seconds, samples };
}

self.onmessage = async ({ data }) => {
  name ??= data.name;
  try {
    const found = await answer(data.blob);
    self.postMessage(found, { transfer: found.samples ? [found.samples.buffer] : [] });
  } catch (error) {
    const isUnreadable = ["NotReadableError", "NotFoundError"].includes(error.name);
    const failure = isUnreadable
      ? { kind: "audio", message: `${name} cannot be read; perhaps it was moved or changed: choose it again.` }
      : { kind: error.kind ?? "bug", message: error.message };
    self.postMessage({ failure });
  }
};

async function* inBlocks(pieces) {
  let block = new Float32Array(BLOCK_SAMPLES);
  let filled = 0;
  try {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + BLOCK_SAMPLES - filled);
        block.set(part, filled);
        at += part.length;
        filled += part.length;
        if (filled < BLOCK_SAMPLES) break;
        yield block;
        block = new Float32Array(BLOCK_SAMPLES);
        filled = 0;
      }
    }
  } catch (error) {
    if (filled) yield block.slice(0, filled); // what came before is good
    throw error;
  }
  if (filled) yield block.slice(0, filled);
}

function damageNotes({ tracks = [], damage }) {
  const notes = [];
  if (tracks.length)
    notes.push(`It has ${tracks.length} audio tracks (${tracks.join(", ")}): the first one is transcribed.`);
  for (const pause of [false, true]) {
    const places = damage.filter((place) => place.pause === pause);
    if (!places.length) continue;
    const told = places.slice(0, TOLD_PLACES).map(({ seconds, at }) => `${seconds.toFixed(2)} s at ${at.toFixed(2)} s`);
    const more = places.length > TOLD_PLACES ? `, and ${places.length - TOLD_PLACES} more places` : "";
    const all = told.join(", ") + more;
    notes.push(
      pause
        ? `Without sound, and left out: ${all}.`
        : `Damaged or missing, and left out: ${all}. To have what was said there, get the file again from where it came.`,
    );
  }
  return notes;
}
