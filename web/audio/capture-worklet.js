// The AudioWorklet: the microphone's sound -> blocks of 16 kHz mono, each sent as soon as it completes a token's audio.

import { LOOKAHEAD_SAMPLES, SAMPLES_PER_TOKEN } from "../config.js";
import { Resampler } from "./resampler.js";

// It hears nothing before the message {ports}: where each block goes besides the page. A block is {samples, at}: at, the
// wall's time at its end, in seconds. At any other message it stops, and sends null after the last block.
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._resampler = new Resampler(sampleRate);
    this._block = new Float32Array(LOOKAHEAD_SAMPLES + SAMPLES_PER_TOKEN);
    this._filled = 0;
    this._ports = null; // while it hears
    this._stopped = false;
    this.port.onmessage = ({ data }) => {
      if (data.ports) {
        this._ports = [...data.ports, this.port];
        return;
      }
      this._stopped = true;
      this._send();
      for (const port of this._ports ?? [this.port]) port.postMessage(null);
    };
  }

  process([[channel]]) {
    if (this._ports && !this._stopped && channel) {
      const samples = this._resampler.push(channel);
      for (let i = 0; i < samples.length; i++) {
        this._block[this._filled++] = samples[i];
        if (this._filled === this._block.length) this._send();
      }
    }
    return !this._stopped;
  }

  _send() {
    if (this._filled) {
      const block = { samples: this._block.slice(0, this._filled), at: Date.now() / 1000 };
      for (const port of this._ports) port.postMessage(block);
    }
    if (this._block.length !== SAMPLES_PER_TOKEN) this._block = new Float32Array(SAMPLES_PER_TOKEN); // only the first is longer
    this._filled = 0;
  }
}

registerProcessor("capture", Capture);
