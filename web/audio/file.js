// Audio files, and videos with sound -> 16 kHz mono float32.

import { SAMPLE_RATE } from "../config.js";
import { Failure } from "../failure.js";
import { startWorker } from "../worker/start.js";
import { Mono } from "./mono.js";

const SHORT_BYTES = 16 << 20; // of a file that the browser may decode whole: an hour of Opus, or 20 minutes of FLAC
const ENDED = new Failure("aborted", "Stopped.");

// Resolves with an AudioFile. Throws a Failure if there is nothing to decode.
export async function openAudio(blob, name) {
  if (blob.size === 0) throw new Failure("audio", `${name} is empty: choose another file.`);
  const audio = new AudioFile(blob, name);
  await audio.open();
  return audio;
}

class AudioFile {
  constructor(blob, name) {
    this.name = name;
    this.live = false;
    this.seconds = 0; // of the whole; an estimate until blocks() has ended; null: unknown
    this.notes = []; // sentences, complete when blocks() has ended
    this.blob = blob; // the file, to be played
    this.session = null; // where its text is kept: see web/worker/sessions/sessions.js
    this._decoder = null; // opened, and not read from yet, or being read
    this._kinds = [StreamDecoder, WholeDecoder]; // the first that can decode the file is kept
  }

  async open() {
    const [Kind, ...others] = this._kinds;
    this._decoder = new Kind(this.name);
    try {
      this.seconds = await this._decoder.open(this.blob);
    } catch (error) {
      this.close();
      if (error.kind !== "undecodable") throw error;
      const undecodable = new Failure("audio", error.message);
      if (!others.length || this.blob.size > SHORT_BYTES) throw undecodable;
      this._kinds = others;
      await this.open().catch(() => {
        throw undecodable;
      });
    }
  }

  // Float32Arrays, whose memory the caller may transfer. Can be called again, after the last call has ended.
  async *blocks() {
    if (!this._decoder) await this.open();
    const decoder = this._decoder;
    try {
      for (;;) {
        const { samples, seconds, notes } = await decoder.next();
        this.seconds = seconds;
        if (!samples) {
          this.notes = notes;
          return;
        }
        yield samples;
      }
    } finally {
      this.close();
    }
  }

  // Ends the decoding; blocks() throws.
  close() {
    this._decoder?.close();
    this._decoder = null;
  }
}

// ../worker/audio/decoder.js.
class StreamDecoder {
  constructor(name) {
    this._name = name;
    this._worker = startWorker(new URL("../worker/audio/decoder.js", import.meta.url));
    this._isClosed = false;
    this._reject = (_error) => {}; // of the call that waits for an answer
  }

  async open(blob) {
    return (await this._ask({ blob, name: this._name })).seconds;
  }

  next() {
    return this._ask({});
  }

  close() {
    this._isClosed = true;
    this._worker.terminate();
    this._reject(ENDED);
  }

  _ask(message) {
    return new Promise((resolve, reject) => {
      this._reject = reject;
      if (this._isClosed) reject(ENDED);
      this._worker.onmessage = ({ data }) => {
        const { failure } = data;
        if (failure) reject(new Failure(failure.kind, failure.message));
        else resolve(data);
      };
      this._worker.onerror = (event) => {
        event.preventDefault();
        const reason = event.message ?? "its files did not load";
        reject(new Failure("bug", `The decoder stopped unexpectedly (${reason}): reload the page.`));
      };
      this._worker.postMessage(message);
    });
  }
}

// The browser's decodeAudioData, for short files of a kind that the Worker cannot read, such as FLAC in Ogg.
class WholeDecoder {
  constructor(name) {
    this._mono = new Mono(name);
  }

  async open(blob) {
    const context = new OfflineAudioContext(1, 1, SAMPLE_RATE); // it resamples to this rate
    const decoded = await context.decodeAudioData(await blob.arrayBuffer());
    const channels = Array.from({ length: decoded.numberOfChannels }, (_, i) => decoded.getChannelData(i));
    this._samples = this._mono.samples(seconds(channels));
    this._seconds = decoded.duration;
    return decoded.duration;
  }

  async next() {
    const { value: samples, done } = await this._samples.next();
    return { seconds: this._seconds, samples, notes: done ? this._mono.notes() : null };
  }

  close() {}
}

async function* seconds(channels) {
  for (let at = 0; at < channels[0].length; at += SAMPLE_RATE)
    yield { rate: SAMPLE_RATE, channels: channels.map((channel) => channel.subarray(at, at + SAMPLE_RATE)) };
}
