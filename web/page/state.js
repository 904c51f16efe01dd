// What the page is doing, and what the user may do meanwhile. Only `enter` changes the phase.

import * as view from "./view.js";
import { wording } from "./words.js";

const yes = true;
const no = false;

// What is possible in each phase. In `demo` and `showing`, only the self-test model is open, which cannot take dictation:
// audio waits for a model for speech, files in the queue (queue.js), other audio as `state.job`. The columns: choosing a
// model, which replaces one that is being opened; giving audio; opening a text that is kept; pressing Speak; and what the
// Stop button asks of the engine.
// biome-ignore format: a table
const PHASES = {
  impossible:   { openModel: no,  takeAudio: no,  openText: yes, speak: no,  stop: null },     // this machine cannot run the engine
  closed:       { openModel: yes, takeAudio: yes, openText: yes, speak: no,  stop: null },     // no model is open
  opening:      { openModel: yes, takeAudio: yes, openText: yes, speak: no,  stop: "cancel" },
  demo:         { openModel: yes, takeAudio: yes, openText: yes, speak: no,  stop: null },     // only “See it work” is possible
  showing:      { openModel: yes, takeAudio: yes, openText: yes, speak: no,  stop: "stop" },   // “See it work” plays: demo.js
  ready:        { openModel: yes, takeAudio: yes, openText: yes, speak: yes, stop: null },     // a model is open
  transcribing: { openModel: no,  takeAudio: no,  openText: yes, speak: no,  stop: "stop" },
  measuring:    { openModel: no,  takeAudio: no,  openText: no,  speak: no,  stop: "stop" },   // ?bench=1
};
const RUNNING = { transcribing: "state.transcribing", measuring: "state.measuring" };

export const [OPEN, COMING, MISSING] = ["open", "coming", "missing"];
export const ASKING = "asking"; // the browser asks the user for the microphone

export const state = {
  phase: "closed",
  impossible: null, // why this machine cannot run the engine: a sentence for the user
  model: null, // while opening, the model that is being opened; then the open one: see opening.js
  hadModel: false, // one for speech was open in this tab: if it went away, an error offers to open it again
  job: null, // the transcription that runs, or that waits for a model: see transcribing.js
  microphone: null, // ASKING, or the Microphone that is listening
  stopping: false, // the Stop button was pressed in this phase
  shown: null, // the text on the page: see textOf in transcribing.js; another may be transcribed
};

const listeners = [];

export function enter(phase, changes = {}) {
  Object.assign(state, { stopping: false }, changes, { phase });
  state.hadModel ||= phase === "ready";
  changed();
}

function changed() {
  showControls();
  for (const listener of listeners) listener();
}

// Shows a text from now on.
export function show(shown) {
  const lost = lostBy(shown);
  if (lost && isKept(lost)) lost.session = null; // it is that of `shown` now
  view.begin(lost, shown);
  state.shown = shown;
  changed();
}

// Takes the text that is shown off the page.
export function clear() {
  view.clear();
  state.shown = null;
  changed();
}

// Calls `listener` whenever a phase begins or another transcript is shown, or none.
export function onPhase(listener) {
  listeners.push(listener);
}

export function setMicrophone(microphone) {
  state.microphone = microphone;
  showControls();
}

export function isListening() {
  return Boolean(state.microphone && state.microphone !== ASKING);
}

// The verb that stops what the engine is doing, or null.
export function stopVerb() {
  return PHASES[state.phase].stop;
}

// Why `action`, a column of the table, is not possible now: a sentence for the user, or null if it is possible.
function refusal(action) {
  if (action === "openText" && isListening()) return wording(RUNNING.transcribing);
  if (!PHASES[state.phase][action]) return state.impossible ?? wording(RUNNING[state.phase]);
  // A file that waits for a model can be replaced by another. A recording cannot be made again.
  if (action === "takeAudio" && state.job?.recording) {
    return wording("state.recording_waits");
  }
  return null;
}

// Whether `action` is possible now. If it is not, the user reads why.
export function allows(action) {
  const sentence = refusal(action);
  if (sentence) view.error(sentence);
  return !sentence;
}

// Whether the page has no model for speech yet, and nothing to read.
function isFirstMinute() {
  const { phase, model, job, shown } = state;
  if (shown && (shown !== job?.text || view.text())) return false; // the user reads it
  if (phase === "opening") return Boolean(model.request.demo);
  return ["impossible", "demo", "showing"].includes(phase) || (phase === "closed" && !job && !view.text());
}

// Whether a file can be transcribed now.
export function canTakeFile() {
  return state.phase === "ready" && !state.job && !isListening();
}

// The model that files wait for: OPEN, COMING, or MISSING until the user asks for one.
export function modelForSpeech() {
  if (["closed", "demo", "showing"].includes(state.phase)) return MISSING;
  if (state.phase !== "opening") return OPEN;
  return state.model.request.demo ? MISSING : COMING;
}

// Whether the open model is the self-test model, which knows one delay only.
export function isSelfTest() {
  return ["ready", "transcribing", "measuring"].includes(state.phase) && state.model.request.model === null;
}

export function canSpeak() {
  return PHASES[state.phase].speak && !state.microphone;
}

// Of what was said, some may not be written yet.
const stopWork = () => (state.phase === "transcribing" && state.job?.recording ? "work.stop_writing" : "work.stop");

function showControls() {
  const running = state.phase === "transcribing" || state.phase === "measuring";
  const isFirst = isFirstMinute();
  view.welcome(isFirst);
  view.controls({
    speak: canSpeak(),
    dictates: !isFirst,
    get: !isFirst && !state.hadModel && modelForSpeech() === MISSING,
    busy: running,
    stop: isListening() ? wording("work.stop_listening") : !isFirst && stopVerb() && wording(stopWork()), // else demo.js
  });
}

// The text on the page, if it would be lost when `next` is shown; otherwise null: it is still being transcribed, or stays in
// the list of transcripts, unless its audio is transcribed again, into the same session.
function lostBy(next) {
  const { shown, job } = state;
  if (!shown || shown === next || shown === job?.text) return null;
  const isReplaced = next === job?.text && shown.session?.id === next.session?.id && !next.goesOn;
  return isKept(shown) && !isReplaced ? null : shown;
}

// Whether the list of transcripts has all of a text.
export function isKept({ session }) {
  return Boolean(session) && !session.failure;
}

// Tells the user what went wrong. If something is running, only show the message; otherwise go to the error state.
export function fail(sentence, retry = null, status = wording("status.wrong")) {
  view.error(sentence, retry);
  if (stopVerb()) return;
  view.progress(null);
  view.note(null);
  view.state("error", status);
}
