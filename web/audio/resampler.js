// Any rate -> 16 kHz, block by block: a windowed sinc, with one set of taps for each place between two input samples.
// The browser's own resampler is not enough: Firefox cannot connect a microphone to an AudioContext of another rate,
// and Safari crackles there.

import { SAMPLE_RATE } from "../config.js";

const ZERO_CROSSINGS = 48; // of the sinc, on each side: 7 kHz passes unchanged, 8.3 kHz is removed
const PASS = 0.955; // of the lower Nyquist frequency

export class Resampler {
  constructor(from, to = SAMPLE_RATE) {
    const divisor = greatestDivisor(from, to);
    this._up = to / divisor; // output m is at input m * down / up
    this._down = from / divisor;
    const cutoff = PASS * Math.min(1, to / from);
    this._half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this._taps = Array.from({ length: this._up }, (_, place) => taps(place / this._up, cutoff, this._half));
    this._waiting = new Float32Array(this._half - 1); // silence before the first sample
    this._place = 0; // of the next output, in input samples * up, from the middle of its taps
  }

  push(samples) {
    if (this._up === this._down) return samples;
    const input = new Float32Array(this._waiting.length + samples.length);
    input.set(this._waiting);
    input.set(samples, this._waiting.length);
    const width = 2 * this._half;
    const output = new Float32Array(Math.ceil((input.length * this._up) / this._down) + 1);
    let count = 0;
    let first = Math.floor(this._place / this._up);
    while (first + width <= input.length) {
      const weights = this._taps[this._place % this._up];
      let sum = 0;
      for (let i = 0; i < width; i++) sum += weights[i] * input[first + i];
      output[count++] = sum;
      this._place += this._down;
      first = Math.floor(this._place / this._up);
    }
    const used = Math.min(first, input.length);
    this._waiting = input.slice(used);
    this._place -= used * this._up;
    return output.slice(0, count);
  }

  // The outputs that waited for more input, at the end.
  rest() {
    return this.push(new Float32Array(this._half));
  }
}

function taps(fraction, cutoff, half) {
  const weights = new Float64Array(2 * half);
  let sum = 0;
  for (let i = 0; i < weights.length; i++) {
    const x = i - (half - 1) - fraction;
    const angle = Math.PI * cutoff * x;
    const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / half);
    weights[i] = (x === 0 ? 1 : Math.sin(angle) / angle) * window;
    sum += weights[i];
  }
  return weights.map((weight) => weight / sum);
}

function greatestDivisor(a, b) {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
