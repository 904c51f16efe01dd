// “See it work”: recordings of people are played, and the self-test model writes down what it hears meanwhile.

import { SAMPLE_RATE } from "../config.js";
import { bundledClips } from "./clips.js";
import { engine } from "./engine.js";
import { DEMO, openModel } from "./opening.js";
import * as spoken from "./spoken.js";
import { enter, fail, onPhase, state } from "./state.js";
import * as view from "./view.js";
import { Peaks, Wave } from "./waveform.js";
import { firstStep, measureSpeed } from "./welcome.js";
import { failureOf, reason, wording } from "./words.js";

const CLIPS = 2; // of those that come with the page
const PAUSE = 0.6 * SAMPLE_RATE; // samples between them, and after the last
const DELAY_MS = 480; // the only one that the self-test model knows
const PATIENCE_MS = 3000; // who has waited this long for the model hears a replay meanwhile
const REST_MS = 1500; // after it, so that its last word can be read

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

const wave = new Wave(element("demo-wave"));
let clips = null; // a promise of shownClips()
let asked = false; // the user wants to see it, and the model is not open yet
let isPlaying = false;
let isStopped = false; // what plays is to stop
let replay = null; // a promise of the end of what plays while the model opens

// The button was pressed: the user wants to see it, or it is to stop. stop: what the Stop button does.
export function see(stop) {
  if (asked || isPlaying) {
    isStopped = true;
    return stop();
  }
  if (state.phase === "demo") return show(transcribed);
  if (state.phase === "impossible") return show(remembered);
  if (!["opening", "closed"].includes(state.phase)) return;
  isStopped = false;
  ask(true);
  if (state.phase === "closed") openModel(DEMO); // it has not come yet, or was stopped, or failed
  setTimeout(replayMeanwhile, PATIENCE_MS);
}

// Opening takes ten seconds and more where there is no GPU, or a slow network.
function replayMeanwhile() {
  if (!asked || isPlaying) return;
  say(wording("demo.meanwhile"));
  replay = show(remembered);
}

function ask(is) {
  asked = is;
  element("see").textContent = is ? wording("work.stop") : wording("demo.play");
  say(is ? wording("demo.starting") : wording("demo.note"));
}

// It could not be opened, or the user wanted something else.
onPhase(() => {
  const isOurs = () =>
    ["demo", "showing"].includes(state.phase) || (state.phase === "opening" && state.model.request.demo);
  queueMicrotask(() => {
    if (isOurs()) return; // it may be opened again at once
    isStopped = true;
    if (asked) ask(false);
  });
});

// This machine can run no model: the user is told before it plays.
export function willReplay() {
  say(wording("demo.remembered"));
}

// A first visit: the self-test model has not come yet, and comes only if the user asks for it.
export function waitToBeAsked() {
  element("demo-bytes").hidden = false;
  enter("closed");
  view.model(wording("model.none_for_speech"));
  view.state("ready", firstStep());
}

// The self-test model is open. A replay is heard and read to its end first.
export async function demoIsOpen() {
  if (!asked) return;
  asked = false;
  if (isPlaying) {
    await replay;
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
  }
  if (state.phase === "demo" && !isStopped) show(transcribed);
}

// Shows the recordings' shape, before they are played.
export async function showRecordings() {
  try {
    const samples = join(await shownClips());
    await wave.show(peaksOf(samples), samples.length / SAMPLE_RATE);
  } catch {
    // the site lacks files: the user is told when they are to be played
  }
}

function peaksOf(samples) {
  const peaks = new Peaks();
  peaks.take(samples);
  return peaks;
}

// write: what writes the words down.
async function show(write) {
  isPlaying = true;
  isStopped = false;
  if (write === transcribed) enter("showing"); // nothing is measured meanwhile
  element("see").textContent = wording("work.stop");
  element("demo-words").textContent = "";
  spoken.follow(() => element("demo-words").textContent);
  let sound = null;
  try {
    const clips = await shownClips();
    if (isStopped) throw failureOf("aborted", "status.stopped");
    const samples = join(clips);
    sound = play(samples);
    wave.show(peaksOf(samples), sound.seconds);
    sound.tell = (seconds) => wave.heard(seconds);
    await write(sound, samples, clips);
  } catch (error) {
    if (error.kind !== "aborted") say(reason(error));
    if (state.phase === "showing") enter("demo");
  }
  sound?.stop();
  spoken.finish();
  isPlaying = false;
  if (!asked) element("see").textContent = wording("demo.again");
}

// The model transcribes the samples as they are heard.
async function transcribed(sound, samples) {
  view.state("transcribing", wording("demo.listening"));
  say(wording("demo.live"));
  let failure = null;
  try {
    await engine.call("start", { delay_ms: DELAY_MS, left_silence_tokens: null });
    let fed = 0;
    while (fed < samples.length) {
      const seconds = await sound.next();
      if (state.phase !== "showing") return;
      if (state.stopping) throw failureOf("aborted", "status.stopped");
      const heard = samples.slice(fed, Math.ceil(seconds * SAMPLE_RATE));
      fed += heard.length;
      if (heard.length) await engine.call("feed", { samples: heard }, [heard.buffer]);
    }
    await engine.call("finish");
  } catch (error) {
    failure = error;
  }
  if (state.phase !== "showing") return; // the user opens a model
  const gone = failure && failure.kind !== "aborted";
  enter(gone ? "closed" : "demo", gone ? { model: null } : {});
  if (gone) return fail(reason(failure));
  view.state("ready", firstStep());
  measureSpeed();
}

engine.on("text", ({ text }) => {
  if (state.phase === "showing") element("demo-words").append(text);
});

// Where no model can run, or none is open yet: what the model wrote elsewhere, at the same times.
async function remembered(sound, _, clips) {
  const words = clips.flatMap(({ text, ends, from }) =>
    text.split(" ").map((word, i) => [word, from + ends[i] + DELAY_MS / 1000]),
  );
  while ((words.length || !sound.isOver) && !isStopped) {
    const seconds = await sound.next();
    while (words.length && words[0][1] <= seconds) element("demo-words").append(`${words.shift()[0]} `);
  }
}

function say(sentence) {
  view.replace(element("demo-note"), sentence);
}

// [{text, ends, from, samples}]: what the self-test model writes, the second in which each word ends, and where the clip
// begins, in seconds.
async function shownClips() {
  clips ??= firstClips();
  clips.catch(() => {
    clips = null;
  });
  return clips;
}

async function firstClips() {
  const found = await bundledClips(CLIPS);
  let from = 0;
  for (const each of found) {
    each.from = from / SAMPLE_RATE;
    from += each.samples.length + PAUSE;
  }
  return found;
}

function join(clips) {
  const joined = new Float32Array(clips.reduce((sum, { samples }) => sum + samples.length + PAUSE, 0));
  for (const { from, samples } of clips) joined.set(samples, Math.round(from * SAMPLE_RATE));
  return joined;
}

// Plays the samples. {seconds; next(): resolves with the seconds that were heard, at each frame; isOver; tell: called
// with the same; stop()}. A clock of the page's own, because a machine without a loudspeaker plays nothing.
function play(samples) {
  const context = new AudioContext();
  const source = context.createBufferSource();
  source.buffer = context.createBuffer(1, samples.length, SAMPLE_RATE);
  source.buffer.copyToChannel(samples, 0);
  source.connect(context.destination);
  source.start();
  const since = performance.now();
  const sound = {
    seconds: samples.length / SAMPLE_RATE,
    isOver: false,
    tell: (_) => {},
    async next() {
      await new Promise((resolve) => {
        const heard = setTimeout(resolve, 100); // a page in the background has no frames
        requestAnimationFrame(() => {
          clearTimeout(heard);
          resolve();
        });
      });
      const seconds = Math.min((performance.now() - since) / 1000, sound.seconds);
      sound.isOver = seconds === sound.seconds;
      sound.tell(seconds);
      return seconds;
    },
    stop: () => context.close(),
  };
  return sound;
}
