// The AudioWorklet: the microphone's sound -> blocks of 16 kHz mono, each sent as soon as it completes a token's audio.

import { Resampler } from "./resampler.js";

// config.py's SAMPLES_PER_TOKEN and LOOKAHEAD_SAMPLES: token k is heard when 1280 (k + 1) + 40 samples have come.
const STEP_SAMPLES = 1280;
const AHEAD_SAMPLES = 40;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._resampler = new Resampler(sampleRate);
    this._block = new Float32Array(AHEAD_SAMPLES + STEP_SAMPLES);
    this._filled = 0;
    this._running = true;
    this.port.onmessage = () => {
      // the only message: stop
      this._running = false;
      this._send();
      this.port.postMessage(null); // all has been sent
    };
  }

  process([[channel]]) {
    if (this._running && channel) {
      for (const sample of this._resampler.push(channel)) {
        this._block[this._filled++] = sample;
        if (this._filled === this._block.length) this._send();
      }
    }
    return this._running;
  }

  _send() {
    if (this._filled) this.port.postMessage(this._block.slice(0, this._filled));
    this._block = new Float32Array(STEP_SAMPLES); // all but the first
    this._filled = 0;
  }
}

registerProcessor("capture", Capture);
