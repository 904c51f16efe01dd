// What the microphone heard, as 16-bit samples of 16 kHz: grows, can be read meanwhile, and becomes a WAV file.

import { SAMPLE_RATE } from "../config.js";

const BLOCK_SAMPLES = 5 * SAMPLE_RATE;

// live until end(): append() adds samples. blocks() gives all of it from the start, and waits for more while it is
// live.
export class Recording {
  constructor(name) {
    this.name = name;
    this.live = true;
    this._sealed = new Blob([]); // which the browser may keep on disk
    this._fresh = new Int16Array(10 * SAMPLE_RATE); // what comes after it
    this._filled = 0; // samples of _fresh
    /** @type {(value?: any) => void} */
    this._wake = () => {}; // what blocks() waits for
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
    const text = (at, letters) =>
      [...letters].forEach((letter, i) => {
        header.setUint8(at + i, letter.charCodeAt(0));
      });
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
