// The AudioWorklet: the microphone's sound -> blocks of 16 kHz mono, each sent as soon as it completes a token's audio.

import { LOOKAHEAD_SAMPLES, SAMPLES_PER_TOKEN } from "../config.js";
import { Resampler } from "./resampler.js";

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._resampler = new Resampler(sampleRate);
    this._block = new Float32Array(LOOKAHEAD_SAMPLES + SAMPLES_PER_TOKEN);
    this._filled = 0;
    this._running = true;
    this.port.onmessage = () => {
      // The only message: stop.
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
    this._block = new Float32Array(SAMPLES_PER_TOKEN); // only the first is longer
    this._filled = 0;
  }
}

registerProcessor("capture", Capture);
