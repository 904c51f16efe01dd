// A transcription: audio goes into the engine, text comes out.

import { Failure } from "../failure.js";
import { engine } from "./engine.js";
import { stopListening } from "./listening.js";
import { openModel } from "./opening.js";
import * as progress from "./progress.js";
import { allows, enter, fail, state } from "./state.js";
import * as view from "./view.js";
import { Peaks } from "./waveform.js";

const ABORTED = new Failure("aborted", "Stopped.");
const ENGINE_GONE = ["lost", "crash", "silent", "device"]; // kinds of failures after which no model is open

// audio: {name, live, seconds, blocks()}, a file or a Recording, which may still grow. It waits if no model is open.
// Resolves at the end with {failure, result, subtitles}; failure: of kind 'aborted' if it was stopped or put aside; null
// if it finished.
export async function transcribe(audio) {
  if (!allows("takeAudio")) return { failure: ABORTED };
  const job = new Job(audio);
  state.job?.end({ failure: ABORTED });
  view.begin(state.shown, job.recording);
  view.offer(null);
  state.shown = { name: audio.name, recording: job.recording, unfinished: true };
  state.job = job;
  if (state.phase === "ready") {
    job.run();
    return job.ended;
  }
  showActions(audio);
  if (["opening", "demo", "showing"].includes(state.phase)) {
    job.sayThatItWaits();
  } else {
    fail("No model is open yet: choose one, and the audio will be transcribed.");
    stopListening();
  }
  return job.ended;
}

export function audioFailed(error, retry = null) {
  fail(error.message, retry, "The audio could not be loaded.");
}

// Whether closing the page would lose what the user said.
export function hasUnsavedWords() {
  return Boolean(state.shown?.recording && state.shown.unfinished);
}

class Job {
  constructor(audio) {
    this.audio = audio;
    this.recording = audio.wav ? audio : null;
    this.delay = 0; // seconds
    this.covered = 0; // seconds of the audio whose text has come
    this.peaks = null; // of what was fed
    this.retried = false; // the engine went away once, and the transcription began again
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  get title() {
    return this.recording ? "Your recording" : this.audio.name;
  }

  sayThatItWaits() {
    if (state.phase === "demo") view.state("ready", "Get the model to begin.");
    view.note(
      this.recording
        ? "You are being recorded. The text follows once the model is open."
        : `${this.audio.name} will be transcribed once the model is open.`,
    );
  }

  // No model is being opened any more. The audio can still be transcribed with the button below the transcript.
  putAside() {
    state.job = null;
    showActions(this.audio, { again: true });
    this.end({ failure: ABORTED });
  }

  // Transcribes with the open model; once more, from the start, if the GPU or the Worker goes away.
  async run() {
    const { request } = state.model;
    const { audio, recording } = this;
    enter("transcribing");
    Object.assign(this, { delay: 0, covered: 0 });
    if (this.retried) view.begin(state.shown, recording);
    else view.error(null);
    view.note(null);
    Object.assign(window.voxtab, { result: null, tokens: null });
    view.state("transcribing", audio.live ? "Listening: speak now." : `Transcribing ${audio.name}…`);
    let saved = null;
    let written = null;
    let failure = null;
    let answer = {};
    try {
      answer = await this.stream();
      const { result, tokens, subtitles } = answer;
      Object.assign(window.voxtab, { result, tokens });
      state.shown.unfinished = false;
      state.model.reopened = false;
      if (result.words.length) saved = subtitles;
      written = result;
      view.text(result);
      view.state("done", doneSentence(result));
    } catch (error) {
      failure = error;
    }
    const retry = isEngineGone(failure) && !this.retried;
    if (failure && !retry) await stopListening(); // otherwise the microphone goes on meanwhile
    view.progress(null);
    view.note(null);
    showActions(audio, { subtitles: saved, again: !retry, result: written, peaks: this.peaks });
    if (!retry) {
      await settle(failure, recording);
      if (audio.notes?.length) view.note(`${audio.name}: ${audio.notes.join(" ")}`);
      return this.end({ ...answer, failure });
    }
    this.retried = true;
    enter("closed", { model: null });
    view.error(`${failure.message} The text so far is kept below, and the audio is transcribed again from the start.`);
    return openModel(request, { quiet: true, reopened: true });
  }

  // Feeds the audio at the engine's pace: a feed is answered once at most ROOM_SECONDS of audio wait
  // (app/voxtab/transcriber.py). Resolves with the answer to `finish`, {result, tokens, subtitles}.
  async stream() {
    const settings = view.settings();
    this.delay = settings.delay_ms / 1000;
    await engine.call("start", settings);
    this.peaks = new Peaks();
    for await (const samples of this.audio.blocks()) {
      throwIfStopping();
      this.peaks.take(samples);
      await engine.call("feed", { samples }, [samples.buffer]);
    }
    throwIfStopping();
    if (this.recording) view.status("Writing the last words…");
    return engine.call("finish");
  }

  follow(covered) {
    this.covered = covered;
    this.showPace();
  }

  showPace() {
    if (state.phase === "transcribing") progress.ofText(this.audio, this.covered, this.delay);
  }
}

engine.on("text", ({ text, audio_seconds }) => {
  if (state.phase !== "transcribing") return;
  view.append(text, audio_seconds);
  state.job.follow(audio_seconds);
});

engine.on("covered", ({ audio_seconds }) => {
  state.job?.follow(audio_seconds);
});

function throwIfStopping() {
  if (state.stopping) throw new Failure("aborted", "Stopped.");
}

function doneSentence({ text, audio_seconds }) {
  if (!text.trim()) return "Done: no speech was recognised in this audio.";
  return `Done: ${view.seconds(audio_seconds)} of audio.`;
}

// What can be done with a transcript and with its audio. subtitles: null if the text is incomplete; again: whether it
// can be transcribed again; result: the command line's JSON, if the text is complete; peaks: of the audio, if they are known.
function showActions(audio, { subtitles = null, again = false, result = null, peaks = null } = {}) {
  view.finished({
    name: audio.name,
    subtitles,
    recording: audio.wav ? audio : null,
    again: again ? () => transcribe(audio) : null,
    result,
    audio: result && audio,
    peaks,
  });
}

function isEngineGone(failure) {
  return ENGINE_GONE.includes(failure?.kind);
}

// What the engine was doing with the open model is over. failure: why it did not finish, or null.
export async function settle(failure, recording = null) {
  const { model } = state;
  const open = !isEngineGone(failure);
  enter(open ? "ready" : "closed", { job: null, model: open ? model : null });
  if (!failure) return;
  if (failure.kind === "aborted") {
    view.error(null); // an error about something that was refused meanwhile
    view.state("ready", view.text() ? "Stopped. The text so far is kept." : "Stopped.");
    if (!engine.isRunning) await openModel(model.request); // the Worker did not stop and was terminated
    return;
  }
  if (!open) view.model("None.");
  const kept = recording ? " Your recording is kept: you can save it, or transcribe it again." : "";
  fail(failure.message + kept, open ? null : () => openModel(model.request), "The transcription did not finish.");
}
