// Audio files -> 16 kHz mono float32.

import { SAMPLE_RATE } from "../config.js";
import { Failure } from "../failure.js";

// As long as ROOM_SECONDS in app/voxtab/transcriber.py: the first block is then enough for the engine to begin with
// whole blocks of its own.
const BLOCK_SAMPLES = 12 * SAMPLE_RATE;

// Resolves with {name, live: false, seconds, blob, blocks()}. blocks() yields Float32Arrays, whose memory the caller may
// transfer, and can be called again. Throws a Failure.
export async function openAudio(blob, name) {
  if (blob.size === 0) throw new Failure("audio", `${name} is empty: choose another file.`);
  let wav;
  try {
    wav = await openWav(blob);
  } catch {
    throw new Failure("audio", `${name} cannot be read; perhaps it was moved or changed: choose it again.`);
  }
  const audio = wav ?? (await decode(blob, name));
  if (audio.seconds === 0)
    throw new Failure("audio", `${name} contains no sound, or was cut off: choose another file.`);
  return { name, live: false, blob, ...audio };
}

// A WAV file of 16 kHz, int16 or float32, is read here: int16 / 32768, the mean of the channels, as libsndfile and the
// command line do. (Browsers divide positive samples by 32767.) Resolves with null for any other file.
async function openWav(blob) {
  const bytes = async (start, count) => new DataView(await blob.slice(start, start + count).arrayBuffer());
  const tag = (view, at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
  const head = await bytes(0, 12);
  if (head.byteLength < 12 || tag(head, 0) !== "RIFF" || tag(head, 8) !== "WAVE") return null;
  let channels, read, width;
  for (let at = 12; at + 8 <= blob.size; ) {
    const chunk = await bytes(at, 8 + 40);
    const size = chunk.getUint32(4, true);
    if (tag(chunk, 0) === "fmt " && chunk.byteLength >= 24) {
      const extensible = chunk.getUint16(8, true) === 0xfffe && chunk.byteLength >= 34;
      const format = chunk.getUint16(extensible ? 32 : 8, true);
      const bits = chunk.getUint16(22, true);
      channels = chunk.getUint16(10, true);
      width = bits / 8;
      if (format === 1 && bits === 16) read = (view, i) => view.getInt16(2 * i, true) / 32768;
      else if (format === 3 && bits === 32) read = (view, i) => view.getFloat32(4 * i, true);
      if (!read || channels < 1 || chunk.getUint32(12, true) !== SAMPLE_RATE) return null;
    } else if (tag(chunk, 0) === "data" && read) {
      // A recorder that crashed, or that wrote to a pipe, did not know the size and wrote a larger one, or 0: then
      // the data go to the end of the file.
      const frames = Math.floor(Math.min(size || Infinity, blob.size - at - 8) / (channels * width));
      return { seconds: frames / SAMPLE_RATE, blocks: () => wavBlocks(bytes, at + 8, frames, channels, width, read) };
    }
    at += 8 + size + (size % 2);
  }
  return null;
}

async function* wavBlocks(bytes, start, frames, channels, width, read) {
  for (let done = 0; done < frames; done += BLOCK_SAMPLES) {
    const samples = new Float32Array(Math.min(BLOCK_SAMPLES, frames - done));
    const view = await bytes(start + done * channels * width, samples.length * channels * width);
    for (let i = 0; i < samples.length; i++) {
      let sum = 0;
      for (let channel = 0; channel < channels; channel++) sum += read(view, i * channels + channel);
      samples[i] = sum / channels;
    }
    yield samples;
  }
}

// Any other file that the browser can decode. It resamples to the context's rate.
async function decode(blob, name) {
  let decoded;
  try {
    const context = new OfflineAudioContext(1, 1, SAMPLE_RATE);
    decoded = await context.decodeAudioData(await blob.arrayBuffer());
  } catch {
    throw new Failure(
      "audio",
      `${name} is not audio that this browser can decode: use WAV, MP3, M4A, OGG, FLAC or WebM.`,
    );
  }
  const mono = decoded.getChannelData(0);
  for (let channel = 1; channel < decoded.numberOfChannels; channel++) {
    const other = decoded.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) mono[i] += other[i];
  }
  if (decoded.numberOfChannels > 1) for (let i = 0; i < mono.length; i++) mono[i] /= decoded.numberOfChannels;
  return {
    seconds: mono.length / SAMPLE_RATE,
    async *blocks() {
      for (let at = 0; at < mono.length; at += BLOCK_SAMPLES) yield mono.slice(at, at + BLOCK_SAMPLES);
    },
  };
}
