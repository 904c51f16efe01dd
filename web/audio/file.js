// Audio files -> 16 kHz mono float32, and back to a WAV file.

import { Failure } from "../failure.js";

export const SAMPLE_RATE = 16000;
const BLOCK_SAMPLES = 5 * SAMPLE_RATE;

// {name, seconds, blocks()}: blocks() yields Float32Arrays that the caller may give away, and may be called again.
export async function openAudio(blob, name) {
  if (blob.size === 0) throw new Failure("audio", `${name} is empty: choose another file.`);
  let wav;
  try {
    wav = await openWav(blob);
  } catch {
    throw new Failure("audio", `${name} cannot be read: has it been moved or changed? Choose it again.`);
  }
  const audio = wav ?? (await decode(blob, name));
  if (audio.seconds === 0) throw new Failure("audio", `${name} holds no sound: it is empty or cut off.`);
  return { name, live: false, ...audio };
}

// A WAV file of 16 kHz, 16 bit or float, is taken as it is: int16 / 32768, channels averaged, as libsndfile and the
// command line do it (browsers divide positive samples by 32767). null: another kind of file.
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
      // A recorder that was cut off, or that wrote to a pipe, did not know the size and wrote another one, or 0: the data
      // reach to the end.
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

// What the browser decodes; it resamples to the context's rate.
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

// What the microphone heard: grows by append() until end(), can be read from its start meanwhile and afterwards.
// Kept as 16 bit; whole pieces go into a Blob, which the browser may put on disk.
export class Recording {
  constructor(name) {
    this.name = name;
    this.live = true;
    this._sealed = new Blob([]);
    this._fresh = new Int16Array(10 * SAMPLE_RATE);
    this._filled = 0;
    this._wake = () => {};
  }

  get seconds() {
    return (this._sealed.size / 2 + this._filled) / SAMPLE_RATE;
  }

  append(samples) {
    for (const sample of samples) {
      this._fresh[this._filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
      if (this._filled < this._fresh.length) continue;
      this._sealed = new Blob([this._sealed, this._fresh]);
      this._filled = 0;
    }
    this._wake();
  }

  end() {
    this.live = false;
    this._wake();
  }

  async *blocks() {
    for (let done = 0; ; ) {
      const sealed = this._sealed.size / 2;
      const block =
        done < sealed
          ? new Int16Array(await this._sealed.slice(2 * done, 2 * (done + BLOCK_SAMPLES)).arrayBuffer())
          : this._fresh.slice(done - sealed, this._filled);
      if (block.length) {
        done += block.length;
        yield Float32Array.from(block, (sample) => sample / 32768);
      } else if (this.live) {
        await new Promise((resolve) => {
          this._wake = resolve;
        });
      } else {
        return;
      }
    }
  }

  wav() {
    const bytes = this._sealed.size + 2 * this._filled;
    const header = new DataView(new ArrayBuffer(44));
    const text = (at, letters) => [...letters].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
    text(0, "RIFF");
    header.setUint32(4, 36 + bytes, true);
    text(8, "WAVEfmt ");
    header.setUint32(16, 16, true);
    header.setUint16(20, 1, true);
    header.setUint16(22, 1, true); // PCM, mono
    header.setUint32(24, SAMPLE_RATE, true);
    header.setUint32(28, 2 * SAMPLE_RATE, true);
    header.setUint16(32, 2, true);
    header.setUint16(34, 16, true); // bytes and bits a sample
    text(36, "data");
    header.setUint32(40, bytes, true);
    return new Blob([header, this._sealed, this._fresh.slice(0, this._filled)], { type: "audio/wav" });
  }
}
