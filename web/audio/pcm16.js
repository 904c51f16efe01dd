// Samples of -1 to 1 <-> 16-bit samples, and WAV files of them: 16 kHz mono.

import { SAMPLE_RATE } from "../config.js";

export function toPcm16(samples) {
  const pcm = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    pcm[i] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
  }
  return pcm;
}

export function fromPcm16(pcm) {
  return Float32Array.from(pcm, (sample) => sample / 32768);
}

// parts: Blobs and Int16Arrays, in order. Returns a Blob.
export function wavFile(parts) {
  const data = new Blob(parts);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) =>
    [...letters].forEach((letter, i) => {
      header.setUint8(at + i, letter.charCodeAt(0));
    });
  text(0, "RIFF");
  header.setUint32(4, 36 + data.size, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true); // PCM, mono
  header.setUint32(24, SAMPLE_RATE, true);
  header.setUint32(28, 2 * SAMPLE_RATE, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true); // bytes and bits a sample
  text(36, "data");
  header.setUint32(40, data.size, true);
  return new Blob([header, data], { type: "audio/wav" });
}
