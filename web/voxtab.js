// Voxtab for other pages: import { Voxtab } from ".../voxtab.js". tools/npm/README.md says how to use it, and voxtab.d.ts
// has its types.

import { openAudio } from "./audio/file.js";
import { Microphone } from "./audio/microphone.js";
import { checkRate } from "./audio/mono.js";
import { Resampler } from "./audio/resampler.js";
import { SAMPLE_RATE } from "./config.js";
import { Engine } from "./engine.js";
import { Failure } from "./failure.js";
import { list, remove } from "./worker/store/models.js";

export { Failure };

/** @import * as types from "./voxtab.js" */

const PIECE_SECONDS = 12; // of given samples, copied at a time

/** @implements {types.Voxtab} */
export class Voxtab extends EventTarget {
  static async open({ model, tokenizer = null, keep = false, delayMs = null, signal = null, onProgress = (_) => {} }) {
    const voxtab = new Voxtab(delayMs);
    const engine = voxtab._engine;
    engine.on("progress", ({ stage, done, total }) => onProgress({ stage, done, total, message: null }));
    engine.on("network", ({ tell, warn }) => {
      const message = tell ?? warn;
      if (message) onProgress({ stage: "network", done: 0, total: 0, message });
    });
    const abort = () => engine.close();
    if (signal?.aborted) throw new Failure("aborted", "Stopped.");
    signal?.addEventListener("abort", abort);
    try {
      const request = { model: modelOf(model, keep), tokenizer: tokenizerOf(tokenizer), variants: null, network: true };
      const facts = await engine.open(request);
      voxtab.model = { name: facts.name, bytes: facts.model_bytes, delayMs: facts.default_delay_ms, kept: facts.kept };
      voxtab.gpu = facts.gpu;
    } catch (error) {
      engine.close();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
    engine.on("gone", (failure) => voxtab._tell("lost", failure));
    engine.on("quiet", (isQuiet) => voxtab._tell("quiet", isQuiet));
    return voxtab;
  }

  static async kept() {
    const models = await list();
    return models.map(({ model, record, bytes, kept }) => ({
      kept: model,
      name: record?.name ?? null,
      bytes,
      keptBytes: kept,
    }));
  }

  static remove(kept) {
    return remove(kept);
  }

  // Only `open` makes one.
  constructor(delayMs) {
    super();
    this.model = null;
    this.gpu = null;
    this._engine = new Engine();
    this._delayMs = delayMs;
    this._closed = null; // a Failure, once it is
    this._last = Promise.resolve(); // the end of the last transcription: a model transcribes one after the other
    this._running = null; // the Transcription whose text comes
    for (const event of ["text", "words", "covered"])
      this._engine.on(event, (message) => this._running?.[`_${event}`](message));
  }

  transcribe(source, options = {}) {
    const transcription = new Transcription(this, source, { delayMs: this._delayMs, ...options });
    this._last = transcription.result.then(ignore, ignore);
    return transcription;
  }

  close() {
    this._closed = new Failure("aborted", "The model was closed.");
    this._engine.close(this._closed);
  }

  _tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}

/** @implements {types.Transcription} */
class Transcription extends EventTarget {
  constructor(voxtab, source, options) {
    super();
    this.words = [];
    this.text = "";
    this.seconds = 0;
    this._voxtab = voxtab;
    this._audio = null; // once it is open
    this._isOver = false;
    this._isFinishing = false;
    this._failure = null; // once it was stopped
    this._abandoned = null; // a promise, once the engine was told
    this._news = Promise.withResolvers(); // of words, or of the end
    this._stopped = Promise.withResolvers(); // rejects
    this._stopped.promise.catch(ignore);
    this._wake = ignore; // lets what waits for a block go on
    const { signal = null } = options;
    const stop = () => this._stop();
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    this.result = this._run(source, options).finally(() => {
      signal?.removeEventListener("abort", stop);
      this._isOver = true;
      this._news.resolve();
    });
    this.result.catch(ignore); // who awaits it, or iterates, gets the failure
  }

  finish() {
    this._isFinishing = true;
    if (this._audio?.end) this._audio.end();
    else this._wake();
    return this.result;
  }

  // From the first word on. Leaving the loop stops the transcription.
  async *[Symbol.asyncIterator]() {
    try {
      for (let given = 0; ; ) {
        while (given < this.words.length) yield this.words[given++];
        if (this._isOver) break;
        await this._news.promise;
      }
      await this.result; // or its failure
    } finally {
      this._stop();
    }
  }

  async _run(source, { delayMs, leftSilenceTokens = null, guard = true, alternatives = 0 }) {
    const { _engine: engine, _last: before } = this._voxtab;
    const opening = opened(source); // live sound is heard while another transcription goes on
    try {
      await Promise.race([Promise.all([opening, before]), this._stopped.promise]);
      this._audio = await opening;
      if (this._isFinishing) this._audio.end?.();
      this._voxtab._running = this;
      const settings = { delay_ms: delayMs, left_silence_tokens: leftSilenceTokens, guard, alternatives };
      const { result, subtitles } = await engine.transcribe({ blocks: () => this._blocks() }, settings, ignore);
      const { notes = [] } = this._audio;
      return { ...result, ...(notes.length ? { notes } : {}), subtitles };
    } catch (error) {
      if (this._voxtab._running === this) await this._abandon();
      throw this._failure ?? this._voxtab._closed ?? error;
    } finally {
      if (this._voxtab._running === this) this._voxtab._running = null;
      opening.then((audio) => audio.close?.(), ignore);
    }
  }

  // The audio's, until it ends, or `finish` or `_stop` is called, however long the next one takes to come.
  async *_blocks() {
    const blocks = this._audio.blocks();
    try {
      for (;;) {
        const next = Promise.withResolvers();
        this._wake = () => next.resolve({ done: true });
        if (this._failure || (this._isFinishing && !this._audio.end)) this._wake();
        blocks.next().then(next.resolve, next.reject);
        const { value, done } = await next.promise;
        if (this._failure) throw this._failure;
        if (done) return;
        yield value;
      }
    } finally {
      blocks.return().catch(ignore); // it may never answer
    }
  }

  _stop() {
    if (this._isOver || this._failure) return;
    this._failure = new Failure("aborted", "Stopped.");
    this._stopped.reject(this._failure);
    this._wake();
    if (this._voxtab._running === this) this._abandon();
  }

  // Once, so that the next transcription does not begin before the engine has stopped this one.
  _abandon() {
    const { _voxtab: voxtab } = this;
    this._abandoned ??= voxtab._engine.isRunning
      ? voxtab._engine.abandon("stop").then(() => {
          if (voxtab._engine.isRunning || voxtab._closed) return;
          voxtab._tell("lost", new Failure("silent", "The engine did not stop and was ended: open the model again."));
        })
      : Promise.resolve();
    return this._abandoned;
  }

  // --- the engine's events

  _text({ text, audio_seconds }) {
    this.text += text;
    this._tell("text", text);
    this._covered({ audio_seconds });
  }

  _words({ words }) {
    this.words.push(...words);
    const news = this._news;
    this._news = Promise.withResolvers();
    news.resolve();
    for (const word of words) this._tell("word", word);
  }

  _covered({ audio_seconds }) {
    this.seconds = audio_seconds;
    this._tell("progress", { done: audio_seconds, total: this._audio.seconds ?? null });
  }

  _tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}

const ignore = (_) => {};

// --- what can be opened

function modelOf(model, keep) {
  if (model === "self-test") return null;
  if (model instanceof File) return { files: [model], keep };
  if (Array.isArray(model)) return { files: model, keep };
  if (model?.kept) return { kept: model.kept };
  return { url: addressOf(model, "model") };
}

function tokenizerOf(tokenizer) {
  if (!tokenizer) return null;
  return tokenizer instanceof File ? { file: tokenizer } : { url: addressOf(tokenizer, "tokenizer") };
}

function addressOf(address, name) {
  try {
    if (typeof address === "string" || address instanceof URL) return new URL(address, document.baseURI).href;
  } catch {
    // the same as nothing
  }
  throw new Failure(name, `The ${name} is no address and no file: ${address}`);
}

// --- what can be transcribed

// {blocks(): an async generator of Float32Arrays of 16 kHz, whose memory may be transferred; and perhaps close(), notes,
// seconds: of the whole; end(): nothing more is heard}.
/** @returns {Promise<any>} */
async function opened(source) {
  if (source instanceof Blob) return openAudio(source, source instanceof File ? source.name : "the audio");
  if (source instanceof MediaStream) return listening(source);
  if (source instanceof Float32Array || source?.samples) return { blocks: () => resampled([source]) };
  if (source?.[Symbol.asyncIterator] || source?.[Symbol.iterator]) return { blocks: () => resampled(source) };
  throw new Failure("audio", "This cannot be transcribed: give a File, a MediaStream, or samples as a Float32Array.");
}

async function listening(stream) {
  if (!stream.getAudioTracks().length) throw new Failure("microphone", "The MediaStream has no sound.");
  const microphone = await Microphone.of(stream, "live", { onlost: () => microphone.stop() });
  const end = () => microphone.stop();
  return { blocks: () => microphone.recording.blocks(), end, close: end };
}

// pieces: an iterable, also an asynchronous one, of Float32Arrays of 16 kHz or {samples, rate}.
async function* resampled(pieces) {
  let resampler = null;
  let from = SAMPLE_RATE;
  for await (const piece of pieces) {
    const { samples, rate = SAMPLE_RATE } = piece instanceof Float32Array ? { samples: piece } : (piece ?? {});
    if (!(samples instanceof Float32Array))
      throw new Failure("audio", "Samples must be a Float32Array, mono, from -1 to 1, or {samples, rate}.");
    checkRate(rate, "the audio");
    if (rate !== from) {
      if (resampler) yield resampler.rest();
      from = rate;
      resampler = rate === SAMPLE_RATE ? null : new Resampler(rate);
    }
    for (let at = 0; at < samples.length; at += PIECE_SECONDS * rate) {
      const part = samples.subarray(at, at + PIECE_SECONDS * rate);
      yield resampler ? resampler.push(part) : part.slice();
    }
  }
  if (resampler) yield resampler.rest();
}
