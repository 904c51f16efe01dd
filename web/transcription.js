// What the page does with the engine: a model is opened, audio goes in, text comes out.
// One thing at a time: `opening` a model, or `running` a transcription.

import { softwareWarning } from "./check.js";
import { Microphone } from "./microphone.js";
import { EngineError, Session } from "./session.js";
import * as view from "./view.js";

const AHEAD_SECONDS = 60;           // of a file that is fed before its text: an hour of audio need not lie in memory
const LATE_SECONDS = 3;             // behind a speaker, from which on it is worth a word

const session = new Session();
let impossible = null;              // why this machine cannot do it
let opening = null;                 // {wanted, ended: a promise, stopped: by the Stop button}
let loaded = null;                  // {wanted, info}: the open model
let running = null;                 // {source, stopped, covered, lag}
let last = null;                    // the transcription before: {name, recording, unfinished}
let waiting = null;                 // a source that is transcribed when the model is there
let microphone = null;              // while it listens
let asking = false;                 // for the microphone

session.addEventListener("progress", ({ detail }) => showProgress(detail));
session.addEventListener("text", ({ detail }) => {
  if (!running) return;
  view.append(detail.text);
  follow(detail.lag_seconds, detail.audio_seconds);
});
session.addEventListener("lag", ({ detail }) => follow(detail.seconds, detail.audio_seconds));
session.addEventListener("gone", ({ detail }) => {
  const model = loaded?.wanted;
  loaded = null;
  // Who waits for the engine gets the error; nobody does if it was idle.
  if (opening || running || !model) return;
  view.error(`${detail.message} The model is opened again.`);
  openModel(model, { quiet: true });
});

export function start() {
  session.start();
}

// This machine cannot do it, for the reason that the sentence says.
export function giveUp(sentence) {
  impossible = sentence;
  session.close();
  view.model("None: this browser cannot run one.");
  fail(sentence, null, "This browser cannot run Voxtab as it is.");
}

// A sentence about what went wrong; the page stays usable. Returns false.
export function fail(sentence, retry = null, status = "Something went wrong: see below.") {
  view.progress(null);
  view.lag(null);
  view.error(sentence, retry);
  view.state("error", status);
  controls();
  return false;
}

// Whether new audio or a new model can be taken; says so if not.
export function isFree() {
  if (running) view.error("A transcription is under way: stop it first.");
  return !running;
}

export function isOpening() {
  return Boolean(opening);
}

function controls() {
  const listening = microphone?.recording.live;
  view.controls({
    speak: loaded && !running && !asking && !opening,
    busy: Boolean(running),
    stop: listening ? "Stop and finish" : running || opening ? "Stop" : null,
  });
}

// --- opening a model

// wanted: {label, model, tokenizer} as the protocol has them. Returns whether the model is open.
// quiet: an error that is on show stays until something else goes wrong.
export async function openModel(wanted, { quiet = false } = {}) {
  if (impossible) return fail(impossible);
  if (!isFree()) return false;
  const former = opening;
  const mine = opening = { wanted };
  if (former) {
    view.status("Stopping…");
    await session.abandon("cancel");
    await former.ended?.catch(() => {});
    if (opening !== mine) return false;         // yet another one was chosen
  }
  if (!quiet) view.error(null);
  loaded = null;
  view.model(`Loading ${wanted.label}.`);
  view.state("loading", `Loading ${wanted.label}…`);
  view.progress("");
  if (mine.stopped) {
    opening = null;
    return stopped(wanted);
  }
  mine.ended = session.call("open", { model: wanted.model, tokenizer: wanted.tokenizer, check: true, variants: null });
  controls();
  let info;
  try {
    info = await mine.ended;
  } catch (error) {
    if (opening !== mine) return false;
    opening = null;
    view.model("None.");
    return error.kind === "aborted" ? stopped(wanted)
      : fail(error.message, () => openModel(wanted), `Could not open ${wanted.label}.`);
  }
  if (opening !== mine) return false;
  opening = null;
  loaded = { wanted, info };
  view.progress(null);
  view.defaults(info.default_delay_ms, info.left_silence_tokens);
  if (wanted.selfTest) {
    view.model("The self-test model (letters, digits, dates, commands) is open.",
      "For real speech, open Voxtral Mini 4B under “Model” first.");
  } else {
    view.model(`${info.name}, ${view.size(info.model_bytes)}.`);
  }
  if (info.adapter?.software) view.warning(softwareWarning(info.adapter.description));
  view.state("ready", wanted.selfTest
    ? "Ready, with the self-test model: say letters, digits, dates or commands." : `Ready, with ${info.name}.`);
  controls();
  if (waiting) {
    const source = waiting;
    waiting = null;
    transcribe(source);
  }
  return true;
}

function stopped(wanted) {
  return fail("Loading was stopped.", () => openModel(wanted), "No model: choose one.");
}

const stageShown = { stage: null, since: 0 };

function showProgress({ stage, done, total }) {
  if (!opening) return;
  if (stage !== stageShown.stage) Object.assign(stageShown, { stage, since: performance.now() });
  view.status({
    python: "Starting the engine…", device: "Opening the GPU…", tokenizer: "Reading the tokenizer…",
    weights: `Loading ${opening.wanted.label}…`, kernels: "Preparing the GPU's programs…",
  }[stage] ?? "Loading…");
  if (stage !== "weights" && stage !== "tokenizer") return view.progress("");
  let amount = view.size(done) + (total ? ` of ${view.size(total)}` : "");
  const seconds = (performance.now() - stageShown.since) / 1000;
  if (total > done && done && seconds > 2) {
    const left = seconds * (total - done) / done;
    amount += `, ${left < 90 ? `${Math.ceil(left)} s` : `${Math.ceil(left / 60)} min`} left`;
  }
  view.progress(amount, done, total);
}

// --- transcribing

// source: {name, live, blocks()}; an audio file, or a recording that may still grow. attempt: 1 when this is the
// second time, because the GPU or the Worker went away.
export async function transcribe(source, attempt = 0) {
  if (impossible) return fail(impossible);
  if (!isFree()) return;
  if (!loaded) {
    waiting = source;
    if (!opening) return fail("There is no model yet: choose one, and the audio is transcribed.");
    view.lag(`${source.name} is transcribed as soon as the model is open.`);
    return;
  }
  const run = running = { source, stopped: false, covered: 0, lag: 0 };
  const model = loaded.wanted;
  const recording = source.wav ? source : null;
  if (attempt === 0) view.error(null);
  view.offer(null);
  view.lag(null);
  view.begin(last);
  window.voxtab.result = null;
  last = { name: source.name, recording, unfinished: true };
  view.state("transcribing", source.live ? "Listening: speak." : `Transcribing ${source.name}…`);
  controls();
  let words = null;
  let failure = null;
  try {
    const result = window.voxtab.result = await stream(run);
    last.unfinished = false;
    words = result.words;
    view.text(result.text);
    view.state("done", result.text.trim() ? `Done: ${view.seconds(result.audio_seconds)} of audio.`
      : "Done: no speech was recognised in this audio.");
  } catch (error) {
    failure = error;
  }
  // The microphone may listen on while the model is opened again.
  const again = attempt === 0 && ["lost", "crash"].includes(failure?.kind);
  if (failure && !again) await stopListening();
  running = null;
  view.progress(null);
  view.lag(null);
  const offer = (press) => view.finished({ name: source.name, words, recording, again: press });
  offer(again ? null : () => transcribe(source));
  if (again) {
    view.error(`${failure.message} The text so far is kept below, and the audio is transcribed again from its start.`);
    if (await openModel(model, { quiet: true })) return transcribe(source, 1);
    offer(() => transcribe(source));
    await stopListening();
  } else if (failure) {
    await explain(failure, model, recording);
  }
  controls();
}

// After a transcription that was stopped or failed.
async function explain(failure, model, recording) {
  if (failure.kind === "aborted") {
    view.state("ready", "Stopped. The text so far is kept.");
    if (!session.isRunning) await openModel(model);         // it did not obey
    return;
  }
  const kept = recording ? " The recording is kept: it can be saved, or transcribed again." : "";
  fail(failure.message + kept, loaded ? null : () => openModel(model), "The transcription did not finish.");
}

// Feeds the audio; the result when all text is out.
async function stream(run) {
  const notStopped = () => {
    if (run.stopped) throw new EngineError("aborted", "Stopped.");
  };
  await session.call("start", view.settings());
  for await (const samples of run.source.blocks()) {
    notStopped();
    await session.call("feed", { samples }, [samples.buffer]);
    while (run.lag > AHEAD_SECONDS && !run.source.live && !run.stopped && loaded) {
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
  }
  notStopped();
  if (run.source.wav) view.status("Writing the last words…");
  return session.call("finish");
}

// The Worker's measurements of the open model on this source; null if there are none, which the page then says.
// repeat: the audio, up to a minute.
export async function measure(source, repeat) {
  if (!loaded || !isFree()) return null;
  const model = loaded.wanted;
  const run = running = { source, stopped: false };
  view.state("transcribing", "Measuring: a minute or two…");
  controls();
  try {
    const blocks = [];
    for await (const samples of source.blocks()) blocks.push(samples);
    const samples = new Float32Array(await new Blob(blocks).arrayBuffer());
    return await session.call("bench", { samples, audio: source.name, repeat }, [samples.buffer]);
  } catch (error) {
    await explain(error, model, null);
    return null;
  } finally {
    if (running === run) running = null;
    controls();
  }
}

// How far the text has come.
function follow(lag, covered) {
  if (!running) return;
  running.lag = lag;
  running.covered = covered ?? running.covered;
  const { source } = running;
  if (source.wav) {
    view.lag(lag > LATE_SECONDS
      ? `The text is ${Math.round(lag)} s behind. Nothing is lost: it goes on after you stop.` : null);
  } else {
    view.progress(`${view.clock(running.covered)} of ${view.clock(source.seconds)}`, running.covered, source.seconds);
  }
}

// The Stop button: ends the recording, or else loading, or else the transcription.
export async function stop() {
  if (microphone?.recording.live) {
    await stopListening();
  } else if (opening) {
    waiting = null;
    opening.stopped = true;
    view.status("Stopping…");
    await session.abandon("cancel");
  } else if (running) {
    running.stopped = true;
    view.status("Stopping…");
    await session.abandon("stop");
  }
}

// --- microphone

export async function speak() {
  if (asking || running || !loaded) return;
  asking = true;
  view.error(null);
  view.status("Asking for the microphone: the browser wants your permission…");
  controls();
  try {
    microphone = await Microphone.open({
      onlevel: (peak) => view.level(microphone?.recording.seconds ?? 0, peak),
      onlost: () => {
        view.error("The microphone was taken away. What was said until then is transcribed.");
        stopListening();
      },
    });
  } catch (error) {
    return fail(error.message, null, "The microphone is not on.");
  } finally {
    asking = false;
    controls();
  }
  view.level(0);
  if (running) await stopListening();           // a file came while the browser asked
  else transcribe(microphone.recording);
}

async function stopListening() {
  if (!microphone?.recording.live) return;
  await microphone.stop();
  view.level(null);
  controls();
}

// Words that would be lost if the page went away now.
export function hasUnsavedWords() {
  return Boolean(microphone?.recording.live || (last?.recording && last.unfinished));
}
