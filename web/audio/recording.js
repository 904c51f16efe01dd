// What the microphone heard, as 16-bit samples of 16 kHz: grows, can be read meanwhile, and becomes a WAV file.

import { SAMPLE_RATE } from "../config.js";
import { fromPcm16, toPcm16, wavFile } from "./pcm16.js";

const BLOCK_SAMPLES = 5 * SAMPLE_RATE;

// live until end(): append() adds samples. blocks() gives all of it from the start, and waits for more while it is
// live.
export class Recording {
  begun = new Date();
  session = null; // where it is kept: see web/worker/sessions/sessions.js

  // pcm: a Blob with what was recorded before.
  constructor(name, pcm = new Blob([])) {
    this.name = name;
    this.live = true;
    this._sealed = pcm.slice(0, pcm.size - (pcm.size % 2)); // which the browser may keep on disk
    this._fresh = new Int16Array(10 * SAMPLE_RATE); // what comes after it
    this._filled = 0; // samples of _fresh
    /** @type {(value?: any) => void} */
    this._wake = () => {}; // what blocks() waits for
  }

  get seconds() {
    return (this._sealed.size / 2 + this._filled) / SAMPLE_RATE;
  }

  append(samples) {
    const pcm = toPcm16(samples);
    for (let at = 0; at < pcm.length; ) {
      const part = pcm.subarray(at, at + this._fresh.length - this._filled);
      this._fresh.set(part, this._filled);
      this._filled += part.length;
      at += part.length;
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
        yield fromPcm16(block);
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
    return wavFile([this._sealed, this._fresh.slice(0, this._filled)]);
  }
}
