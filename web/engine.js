// The engine in its Worker, as the page's thread sees it: Voxtab's own page, and others by voxtab.js. A call is answered
// once, under its id; messages without an id are events.

import { Failure } from "./failure.js";
import { remember, remembered } from "./remembered.js";
import { startSiblingsOf } from "./worker/siblings.js";
import { startWorker } from "./worker/start.js";

const STOP_MS = 3000; // a Worker that has not stopped by then is terminated

// A Worker can die without an event: see siblings.js. So the page asks for a sign of life, which boot.js gives, each
// second. Seconds are counted by a timer, not by the clock, so that a machine's sleep does not count.
const QUIET_SECONDS = 5; // the user is told
const DEAD_SECONDS = 15; // the Worker is terminated

// Events, for `on`: progress, network, text, words, restart and covered, each with the Worker's message; quiet, with true
// when the Worker gives no sign of life and false when it does again; and gone, with a Failure of kind 'lost', 'crash' or
// 'silent': the model that was open is gone. A call of `open` starts a Worker if there is none.
export class Engine extends EventTarget {
  constructor() {
    super();
    this._pending = new Map(); // id -> {resolve, reject}
    this._lastId = 0;
    this._worker = null;
    this._endSiblings = () => {};
    this._held = null; // calls made while Python starts, which can still be taken back; null once it has started
    this._gone = null; // why calls fail until the next `open`: a Failure
    this._silence = 0; // seconds since the Worker's last message
    this._watch = null; // the timer that counts them
  }

  on(event, act) {
    this.addEventListener(event, (/** @type {any} */ { detail }) => act(detail));
  }

  // Starts Python in the Worker, before the first call.
  start() {
    if (this._worker) return;
    this._held = [];
    this._worker = startWorker(new URL("./worker/boot.js", import.meta.url));
    this._worker.onmessage = ({ data }) => this._take(data);
    this._worker.onmessageerror = () => this._crash("it sent an unreadable message");
    this._worker.onerror = (event) => {
      event.preventDefault();
      this._crash(event.message ?? "its files did not load");
    };
    this._endSiblings = startSiblingsOf(this._worker);
    this._silence = 0;
    this._watch = setInterval(() => this._listen(), 1000);
  }

  get isRunning() {
    return this._worker !== null;
  }

  get isStarting() {
    return this._held !== null;
  }

  call(verb, values = {}, transfer = []) {
    const answer = new Promise((resolve, reject) => {
      if (verb === "open") {
        this._gone = null;
        this.start();
      }
      if (this._gone || !this._worker) return reject(this._gone ?? new Failure("crash", "The engine is not running."));
      const id = ++this._lastId;
      this._pending.set(id, { resolve, reject });
      if (this._held) this._held.push([{ ...values, id, verb }, transfer]);
      else this._worker.postMessage({ ...values, id, verb }, transfer);
    });
    answer.catch(() => {}); // the caller may await it later, or not at all
    return answer;
  }

  // Opens a model: {model, tokenizer, variants, network}, as Worker.open in app/voxtab/browser/worker.py takes them, with
  // the kernel variants that were found fastest here before. Resolves with facts about it.
  async open(request) {
    const opened = await this.call("open", { ...request, known: remembered("variants", {}) });
    // {case: variants}; a case is a GPU and a model, as the Worker names them.
    const { choice } = opened;
    if (choice) remember("variants", { ...remembered("variants"), [choice.name]: choice.variants });
    return opened;
  }

  // Transcribes audio, {blocks()}, at the engine's pace: a feed is answered once at most ROOM_SECONDS of audio wait
  // (app/voxtab/transcriber.py). settings: as Worker.start takes them. take: called with each block before it is fed, and
  // with null at the end; what it throws ends the transcription. Resolves with {result, tokens, subtitles}.
  async transcribe(audio, settings, take) {
    await this.call("start", settings);
    for await (const samples of audio.blocks()) {
      take(samples);
      await this.call("feed", { samples }, [samples.buffer]);
    }
    take(null);
    return this.call("finish");
  }

  // verb: cancel or stop. A Worker that does not stop is terminated, and the open model with it.
  async abandon(verb) {
    if (this._held) {
      this._held = [];
      return this._rejectAll(new Failure("aborted", "Stopped."));
    }
    const worker = this._worker;
    const late = Symbol();
    const timeout = new Promise((resolve) => {
      setTimeout(resolve, STOP_MS, late);
    });
    const first = await Promise.race([this.call(verb).catch(() => {}), timeout]);
    if (first === late && worker === this._worker) this.close();
  }

  close(error = new Failure("aborted", "Stopped.")) {
    if (this._worker) {
      // Messages that it had posted before may still come.
      this._worker.onmessage = this._worker.onmessageerror = null;
      this._worker.onerror = (event) => event.preventDefault();
      this._endSiblings();
      this._worker.terminate();
    }
    clearInterval(this._watch);
    this._worker = null;
    this._held = null;
    this._rejectAll(error);
  }

  // Once a second.
  _listen() {
    this._silence++;
    if (this._silence === QUIET_SECONDS) this._tell("quiet", true);
    if (this._silence < DEAD_SECONDS) return this._worker.postMessage({ verb: "live" });
    const error = new Failure("silent", `The engine has not answered for ${DEAD_SECONDS} seconds.`);
    this.close(error);
    this._end(error);
  }

  _tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }

  _take(message) {
    if (this._silence >= QUIET_SECONDS) this._tell("quiet", false);
    this._silence = 0;
    if (this._held && message.stage === "python" && message.done) {
      for (const [held, transfer] of this._held) this._worker.postMessage(held, transfer);
      this._held = null;
    }
    if (message.error?.kind === "memory") {
      this._crash(message.error.message); // a Worker never gives Python's memory back
    } else if (message.event === "lost") {
      this._end(new Failure("lost", message.message));
    } else if (message.event) {
      this._tell(message.event, message);
    } else {
      const call = this._pending.get(message.id);
      this._pending.delete(message.id);
      if (message.error) call?.reject(new Failure(message.error.kind, message.error.message));
      else call?.resolve(message.result);
    }
  }

  _crash(reason) {
    const error = new Failure(
      "crash",
      this._held
        ? `The engine could not start (${reason}): reload the page. If that does not help, the site lacks files.`
        : `The engine stopped unexpectedly (${reason}).`,
    );
    this.close(error);
    this._end(error);
  }

  _end(error) {
    this._gone = error;
    this._rejectAll(error);
    this._tell("gone", error);
  }

  _rejectAll(error) {
    const calls = [...this._pending.values()];
    this._pending.clear();
    for (const { reject } of calls) reject(error);
  }
}
