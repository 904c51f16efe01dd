// The AudioWorklet: the microphone's sound -> blocks of 16 kHz mono, a tenth of a second each.

import { Resampler } from "./resampler.js";

const BLOCK_SAMPLES = 1600;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._resampler = new Resampler(sampleRate);
    this._block = new Float32Array(BLOCK_SAMPLES);
    this._filled = 0;
    this._running = true;
    this.port.onmessage = () => {             // the only message: stop
      this._running = false;
      this._send();
      this.port.postMessage(null);            // all has been sent
    };
  }

  process([[channel]]) {
    if (this._running && channel) {
      for (const sample of this._resampler.push(channel)) {
        this._block[this._filled++] = sample;
        if (this._filled === BLOCK_SAMPLES) this._send();
      }
    }
    return this._running;
  }

  _send() {
    if (this._filled) this.port.postMessage(this._block.slice(0, this._filled));
    this._filled = 0;
  }
}

registerProcessor("capture", Capture);
