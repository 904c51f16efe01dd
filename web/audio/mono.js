// Blocks of any rate and number of channels -> 16 kHz mono, and what is to say about their level. As
// app/voxtab/native/audio/conversion.py does it.

import { SAMPLE_RATE } from "../config.js";
import { Failure } from "../failure.js";
import { Resampler } from "./resampler.js";

const LEAST_RATE = 1000; // Hz; less is a damaged header
const PIECE_SECONDS = 0.1; // mixed and checked together
const SILENT = 1e-4; // of full scale: what is never louder is silent
const QUIET = 0.01; // what is never louder than this is far below speech
const FAR = 128; // times full scale: from there on, they are samples of another scale
const CANCELLED = 0.1; // channels whose mean has less than this part of the power that unrelated channels would have

export class Mono {
  constructor(name) {
    this._name = name;
    this._seconds = 0; // mixed so far
    this._cancelled = 0; // seconds of them in which the channels cancel each other
    this._kept = new Map(); // number of channels -> the one that is taken then; always the same, or there are clicks
    this._low = Infinity; // the lowest sample
    this._high = -Infinity;
  }

  // blocks: an async iterable of {rate, channels: [Float32Array...]}. Yields Float32Arrays of 16 kHz. Throws a Failure at
  // a sample that is not a finite number or far beyond full scale, and at a rate that no audio has; what came before has then been yielded.
  async *samples(blocks) {
    let resampler = null;
    let from = SAMPLE_RATE;
    try {
      for await (const { rate, channels } of pieces(blocks)) {
        checkRate(rate, this._name);
        if (rate !== from) {
          if (resampler) yield resampler.rest();
          from = rate;
          resampler = rate === SAMPLE_RATE ? null : new Resampler(rate);
        }
        const mono = this._mixed(rate, channels);
        yield resampler ? resampler.push(mono) : mono;
      }
    } catch (error) {
      if (resampler) yield resampler.rest();
      throw error;
    }
    if (resampler) yield resampler.rest();
  }

  // Sentences.
  notes() {
    const notes = [];
    if (this._cancelled > Math.min(1, this._seconds / 2)) {
      notes.push(
        `Its channels cancel each other out for ${this._cancelled.toFixed(1)} of ${this._seconds.toFixed(1)} s, as if ` +
          "one is inverted. One of them is transcribed there: if words are missing, export the audio again in mono.",
      );
    }
    const peak = (this._high - this._low) / 2; // half the range: without a constant offset
    if (peak >= 0 && peak < QUIET) {
      const offset = (this._high + this._low) / 2;
      const from = Math.abs(offset) > QUIET ? ` from a constant ${offset.toFixed(2)}` : "";
      const loudest = `the loudest sample is ${peak.toFixed(5)} of full scale${from}`;
      notes.push(
        peak < SILENT
          ? `It is silent (${loudest}): see that the right input was recorded.`
          : `It is far quieter than speech (${loudest}), so text may be missing: record or export it louder.`,
      );
    }
    return notes;
  }

  // The channels' mean; where they cancel each other out, the loudest of them.
  _mixed(rate, channels) {
    const length = channels[0].length;
    let mono = channels[0];
    if (channels.length > 1) {
      mono = new Float32Array(length);
      for (let i = 0; i < length; i++) {
        let sum = 0;
        for (let channel = 0; channel < channels.length; channel++) sum += channels[channel][i];
        mono[i] = sum / channels.length;
      }
      const powers = channels.map(variance);
      const mean = powers.reduce((sum, power) => sum + power, 0) / powers.length;
      if (variance(mono) * channels.length < CANCELLED * mean) {
        this._cancelled += length / rate;
        if (!this._kept.has(channels.length)) this._kept.set(channels.length, powers.indexOf(Math.max(...powers)));
        mono = channels[this._kept.get(channels.length)];
      }
    }
    for (let i = 0; i < length; i++) {
      const sample = mono[i];
      if (!Number.isFinite(sample)) {
        const at = (this._seconds + i / rate).toFixed(3);
        throw new Failure(
          "audio",
          `${this._name} holds a sample that is not a finite number at ${at} s: export the audio again.`,
        );
      }
      if (Math.abs(sample) >= FAR)
        throw new Failure(
          "audio",
          `${this._name} is far too loud: its samples go far beyond full scale. It was probably exported wrongly: export ` +
            "it again as 16-bit WAV.",
        );
      if (sample < this._low) this._low = sample;
      if (sample > this._high) this._high = sample;
    }
    this._seconds += length / rate;
    return mono;
  }
}

export function checkRate(rate, name) {
  if (rate >= LEAST_RATE) return;
  throw new Failure(
    "audio",
    `${name} says that its rate is ${rate} Hz, where ${LEAST_RATE} is the least: its header is damaged, so export the ` +
      "audio again.",
  );
}

// Blocks of any length -> blocks of PIECE_SECONDS; shorter where the rate or the number of channels changes, and at the
// end, also before an error.
async function* pieces(blocks) {
  let piece = null; // {rate, channels}, of which `filled` samples are there
  let filled = 0;
  const shorter = () => ({ rate: piece.rate, channels: piece.channels.map((channel) => channel.subarray(0, filled)) });
  try {
    for await (const { rate, channels } of blocks) {
      if (piece && (piece.rate !== rate || piece.channels.length !== channels.length)) {
        yield shorter();
        piece = null;
      }
      for (let at = 0; at < channels[0].length; ) {
        if (!piece) {
          const size = Math.max(1, Math.round(rate * PIECE_SECONDS));
          piece = { rate, channels: channels.map(() => new Float32Array(size)) };
          filled = 0;
        }
        const end = at + piece.channels[0].length - filled;
        channels.forEach((channel, i) => {
          piece.channels[i].set(channel.subarray(at, end), filled);
        });
        filled += Math.min(end, channels[0].length) - at;
        at = end;
        if (filled < piece.channels[0].length) break;
        yield piece;
        piece = null;
      }
    }
  } catch (error) {
    if (piece) yield shorter();
    throw error;
  }
  if (piece) yield shorter();
}

function variance(samples) {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < samples.length; i++) {
    sum += samples[i];
    squares += samples[i] * samples[i];
  }
  return squares / samples.length - (sum / samples.length) ** 2;
}
