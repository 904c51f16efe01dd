// The AudioWorklet: the microphone's sound -> blocks of 16 kHz mono, each sent as soon as it completes a token's audio.

import { LOOKAHEAD_SAMPLES, SAMPLES_PER_TOKEN } from "../config.js";
import { Resampler } from "./resampler.js";

const QUANTUM = 128; // samples that a browser hands over at a time

// Its messages: {ports}, where each block goes besides the page: it hears nothing before; {pause: seconds}: it takes so much
// silence at once, and hears nothing until {resume}; {stop}: it sends null after the last block. A block is {samples, at}: at,
// the wall's time at its end, in seconds, as if there had been no pauses.
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._resampler = new Resampler(sampleRate);
    this._block = new Float32Array(LOOKAHEAD_SAMPLES + SAMPLES_PER_TOKEN);
    this._filled = 0;
    this._ports = null; // once it may hear
    this._pausedAt = null; // in seconds of the wall, while it is paused
    this._ahead = 0; // seconds by which the sound's time is ahead of the wall's
    this._stopped = false;
    this.port.onmessage = ({ data }) => {
      if (data.ports) this._ports = [...data.ports, this.port];
      else if (data.pause) this._pause(data.pause);
      else if (data.resume) this._resume();
      else this._stop();
    };
  }

  process([[channel]]) {
    if (this._ports && this._pausedAt === null && !this._stopped && channel) this._take(channel);
    return !this._stopped;
  }

  _pause(seconds) {
    this._pausedAt = Date.now() / 1000;
    for (let left = seconds * sampleRate; left > 0; left -= QUANTUM) {
      this._ahead += QUANTUM / sampleRate;
      this._take(new Float32Array(QUANTUM));
    }
  }

  _resume() {
    this._ahead -= Date.now() / 1000 - this._pausedAt;
    this._pausedAt = null;
  }

  _stop() {
    this._stopped = true;
    this._send();
    for (const port of this._ports ?? [this.port]) port.postMessage(null);
  }

  _take(channel) {
    const samples = this._resampler.push(channel);
    for (let i = 0; i < samples.length; i++) {
      this._block[this._filled++] = samples[i];
      if (this._filled === this._block.length) this._send();
    }
  }

  _send() {
    if (this._filled) {
      const block = { samples: this._block.slice(0, this._filled), at: Date.now() / 1000 + this._ahead };
      for (const port of this._ports) port.postMessage(block);
    }
    if (this._block.length !== SAMPLES_PER_TOKEN) this._block = new Float32Array(SAMPLES_PER_TOKEN); // only the first is longer
    this._filled = 0;
  }
}

registerProcessor("capture", Capture);
