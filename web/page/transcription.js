// What the page does with the engine: a model is opened, audio goes in, text comes out.
// One thing at a time: `opening` a model, and one `job`, audio that is transcribed now or once a model is open.

import { SAMPLE_RATE } from "../audio/file.js";
import { softwareWarning } from "./machine.js";
import { Failure } from "../failure.js";
import { Microphone } from "../audio/microphone.js";
import * as progress from "./progress.js";
import { remember, remembered } from "./known_variants.js";
import { Session } from "./engine.js";
import * as view from "./view.js";

const AHEAD_SECONDS = 60; // of audio that is fed before its text; the rest waits where it lies, as a file or as 16 bit
const ENGINE_GONE = ["lost", "crash", "device"]; // kinds of errors after which no model is open

const session = new Session();
let impossible = null; // why this machine cannot do it
let opening = null; // {wanted, ended: a promise, stopped: by the Stop button}
let loaded = null; // {wanted, info, again: opened again by itself, and nothing transcribed since}
// {source, recording: the source if it is one, again: the engine went away once, running, stopped, and in seconds:
// delay, fed to the engine, covered by the text}
let job = null;
let last = null; // the job on show, also when it is over: {name, recording, unfinished}
let microphone = null; // while it listens
let asking = false; // for the microphone

session.addEventListener("progress", ({ detail }) => {
  if (opening) progress.ofOpening(opening.wanted.label, detail);
});
session.addEventListener("text", ({ detail }) => {
  if (!job?.running) return;
  view.append(detail.text);
  follow(detail.audio_seconds);
});
session.addEventListener("covered", ({ detail }) => follow(detail.audio_seconds));
session.addEventListener("gone", ({ detail }) => {
  const former = loaded;
  loaded = null;
  // Who waits for the engine gets the error; nobody does if it was idle.
  if (!former || opening || job?.running) return;
  const reopen = () => openModel(former.wanted);
  if (former.again) {
    view.model("None.");
    return fail(
      `${detail.message} It happened again at once, so the model stays closed.`,
      reopen,
      "The model was closed.",
    );
  }
  view.error(`${detail.message} The model is opened again.`);
  openModel(former.wanted, { quiet: true, again: true });
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

// A sentence about what went wrong; the page stays usable, and what is under way goes on.
export function fail(sentence, retry = null, status = "Something went wrong: see below.") {
  view.error(sentence, retry);
  if (opening || job?.running) return;
  view.progress(null);
  view.note(null);
  view.state("error", status);
  controls();
}

// Whether other audio can be taken; says so if not. A file that waits for a model gives way to it, a recording does not.
export function isFree() {
  const reason = job?.running
    ? "A transcription is under way: stop it first."
    : job?.recording
      ? "A recording waits for a model: it is transcribed first, once one is open."
      : null;
  if (reason) view.error(reason);
  return !reason;
}

export function isOpening() {
  return Boolean(opening);
}

function controls() {
  const listening = microphone?.recording.live;
  view.controls({
    speak: loaded && !job && !asking && !opening,
    busy: Boolean(job?.running),
    stop: listening ? "Stop and finish" : job?.running || opening ? "Stop" : null,
  });
}

// --- opening a model

// wanted: {label, model, tokenizer, variants} as the protocol has them; variants of the kernels, instead of those that the
// engine chooses, are a link's. True once it is open. quiet: an error that is on show stays until something else goes wrong.
// again: the model that was open, after the GPU or the Worker went away.
export async function openModel(wanted, { quiet = false, again = false } = {}) {
  if (impossible) return fail(impossible);
  if (job?.running) return view.error("A transcription is under way: stop it first.");
  const former = opening;
  const mine = (opening = { wanted });
  if (former) {
    view.status("Stopping…");
    await session.abandon("cancel");
    await former.ended?.catch(() => {});
    if (opening !== mine) return; // yet another one was chosen
  }
  if (!quiet) view.error(null);
  loaded = null;
  view.model(`Loading ${wanted.label}.`);
  view.state("loading", session.isStarting ? progress.STARTING : `Loading ${wanted.label}…`);
  view.progress("");
  if (job) sayThatItWaits();
  if (mine.stopped) return loadingStopped(wanted);
  mine.ended = session.call("open", {
    model: wanted.model,
    tokenizer: wanted.tokenizer,
    check: true,
    variants: wanted.variants ?? null,
    known: remembered(),
  });
  controls();
  let info;
  try {
    info = await mine.ended;
  } catch (error) {
    if (opening !== mine) return;
    if (error.kind === "aborted") return loadingStopped(wanted);
    opening = null;
    view.model("None.");
    const waits = job
      ? ` ${job.recording ? "The recording" : job.source.name} waits, and is transcribed once a model is open.`
      : "";
    fail(error.message + waits, () => openModel(wanted), `Could not open ${wanted.label}.`);
    return stopListening(); // nobody need go on speaking
  }
  if (opening !== mine) return;
  opening = null;
  loaded = { wanted, info, again };
  if (info.choice) remember(info.choice.name, info.choice.variants);
  view.progress(null);
  view.defaults(info.default_delay_ms, info.left_silence_tokens);
  if (wanted.selfTest) {
    view.model(
      "The self-test model (letters, digits, dates, commands) is open.",
      "For real speech, open Voxtral Mini 4B under “Model” first.",
    );
  } else {
    view.model(`${info.name}, ${view.size(info.model_bytes)}.`);
  }
  const warning = info.adapter?.software
    ? softwareWarning(info.adapter.description || info.adapter.device)
    : info.warning;
  if (warning) view.warning(warning);
  view.state(
    "ready",
    wanted.selfTest
      ? "Ready, with the self-test model: say letters, digits, dates or commands."
      : `Ready, with ${info.name}.`,
  );
  controls();
  if (job) run();
  return true;
}

// By the Stop button. The audio that waited for the model is at hand under the transcript.
function loadingStopped(wanted) {
  opening = null;
  view.model("None.");
  if (job) {
    const { source } = job;
    job = null;
    show(source, { again: true });
  }
  fail("Loading was stopped.", () => openModel(wanted), "No model: choose one.");
}

// --- transcribing

// source: {name, live, seconds, blocks()}; an audio file, or a recording, which may still grow.
export async function transcribe(source) {
  if (impossible) return fail(impossible);
  if (!isFree()) return;
  const recording = source.wav ? source : null;
  view.begin(last, recording);
  view.offer(null);
  last = { name: source.name, recording, unfinished: true };
  job = { source, recording, again: false, running: false };
  if (loaded) return run();
  show(source);
  if (opening) return sayThatItWaits();
  fail("There is no model yet: choose one, and the audio is transcribed.");
  return stopListening();
}

function sayThatItWaits() {
  view.note(
    job.recording
      ? "What you say is recorded, and written once the model is open."
      : `${job.source.name} is transcribed once the model is open.`,
  );
}

// What can be done with a transcript and with its audio. words: null if it is incomplete; again: whether it can be made anew.
function show(source, { words = null, again = false } = {}) {
  view.finished({
    name: source.name,
    words,
    recording: source.wav ? source : null,
    again: again ? () => transcribe(source) : null,
  });
}

// Transcribes the job with the open model; once more, from the start, if the GPU or the Worker goes away.
async function run() {
  const mine = job;
  const model = loaded.wanted;
  const { source, recording } = mine;
  Object.assign(mine, { running: true, stopped: false, delay: 0, fed: 0, covered: 0 });
  if (mine.again) view.begin(last, recording);
  else view.error(null);
  view.note(null);
  window.voxtab.result = null;
  view.state("transcribing", source.live ? "Listening: speak." : `Transcribing ${source.name}…`);
  controls();
  let words = null;
  let failure = null;
  try {
    const result = (window.voxtab.result = await stream(mine));
    last.unfinished = false;
    words = result.words;
    view.text(result.text);
    view.state(
      "done",
      result.text.trim()
        ? `Done: ${view.seconds(result.audio_seconds)} of audio.`
        : "Done: no speech was recognised in this audio.",
    );
    loaded.again = false;
  } catch (error) {
    failure = error;
  }
  const gone = ENGINE_GONE.includes(failure?.kind);
  if (gone) loaded = null;
  const again = gone && !mine.again;
  if (failure && !again) await stopListening();
  mine.running = false;
  view.progress(null);
  view.note(null);
  if (again) {
    // the microphone listens on meanwhile
    mine.again = true;
    show(source);
    view.error(`${failure.message} The text so far is kept below, and the audio is transcribed again from its start.`);
    return openModel(model, { quiet: true, again });
  }
  job = null;
  show(source, { words, again: true });
  if (failure) await explain(failure, model, recording);
  controls();
}

// After a transcription that was stopped or failed.
async function explain(failure, model, recording) {
  if (failure.kind === "aborted") {
    view.error(null); // that a transcription is under way, for example
    view.state("ready", view.text() ? "Stopped. The text so far is kept." : "Stopped.");
    if (!session.isRunning) await openModel(model); // it did not obey
    return;
  }
  const kept = recording ? " The recording is kept: it can be saved, or transcribed again." : "";
  if (!loaded) view.model("None.");
  fail(failure.message + kept, loaded ? null : () => openModel(model), "The transcription did not finish.");
}

// Feeds the audio at the engine's pace; the result when all text is out.
async function stream(mine) {
  const notStopped = () => {
    if (mine.stopped) throw new Failure("aborted", "Stopped.");
  };
  const settings = view.settings();
  mine.delay = settings.delay_ms / 1000;
  await session.call("start", settings);
  for await (const samples of mine.source.blocks()) {
    notStopped();
    mine.fed += samples.length / SAMPLE_RATE;
    await session.call("feed", { samples }, [samples.buffer]);
    while (mine.fed - mine.covered > AHEAD_SECONDS) {
      await new Promise((resolve) => {
        setTimeout(resolve, 100);
      });
      notStopped();
      await session.call("feed", { samples: new Float32Array() }); // which tells if the transcription has failed
    }
  }
  notStopped();
  if (mine.recording) view.status("Writing the last words…");
  return session.call("finish");
}

// The Worker's measurements of the open model on this source; null if there are none, which the page then says.
// repeat: the audio, up to a minute; name: that of the figures, which the caller shows as the text.
export async function measure(source, repeat, name) {
  if (!loaded || !isFree()) return null;
  const model = loaded.wanted;
  view.begin(last, null);
  last = { name };
  job = { source, recording: null, again: false, running: true, stopped: false };
  view.state("transcribing", "Measuring: a minute or two…");
  controls();
  let figures = null;
  let failure = null;
  try {
    const blocks = [];
    for await (const samples of source.blocks()) blocks.push(samples);
    const samples = new Float32Array(await new Blob(blocks).arrayBuffer());
    figures = await session.call("bench", { samples, audio: source.name, repeat }, [samples.buffer]);
  } catch (error) {
    failure = error;
  }
  job = null;
  if (ENGINE_GONE.includes(failure?.kind)) loaded = null;
  if (failure) await explain(failure, model, null);
  controls();
  return figures;
}

function follow(covered) {
  if (job?.running) job.covered = covered;
  showPace();
}

function showPace() {
  if (job?.running) progress.ofText(job.source, job.covered, job.delay);
}

// The Stop button: ends the recording, or else loading, or else the transcription.
export async function stop() {
  if (microphone?.recording.live) {
    await stopListening();
  } else if (opening) {
    opening.stopped = true;
    view.status("Stopping…");
    await session.abandon("cancel");
  } else if (job?.running) {
    job.stopped = true;
    view.status("Stopping…");
    await session.abandon("stop");
  }
}

// --- microphone

export async function speak() {
  if (asking || job || !loaded) return;
  asking = true;
  view.error(null);
  view.status("Asking for the microphone: the browser wants your permission…");
  controls();
  try {
    microphone = await Microphone.open({
      onlevel: (peak) => {
        view.level(microphone?.recording.seconds ?? 0, peak);
        showPace();
      },
      onpause: (paused) =>
        view.error(
          paused
            ? "The system has paused the microphone, for a call perhaps. What was said until " +
                "then is kept, and it goes on by itself when the system lets it."
            : null,
        ),
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
  if (isFree()) transcribe(microphone.recording);
  else await stopListening(); // a file came while the browser asked
}

async function stopListening() {
  if (!microphone?.recording.live) return;
  await microphone.stop();
  view.level(null);
  controls();
}

// Words that would be lost if the page went away now.
export function hasUnsavedWords() {
  return Boolean(last?.recording && last.unfinished);
}
