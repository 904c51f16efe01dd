// How far the opening of a model, or a transcription, has come: in words and as a bar.

import * as view from "./view.js";
import { clock, facts, number, size, wording } from "./words.js";

const LATE_SECONDS = 3; // the text may be this far behind the voice before the page says so

const RATE_SECONDS = 10; // a rate is that of these last seconds
const LEAST_RATE_SECONDS = 2; // it is not known before

const LAG_MS = 500;
let lagShownAt = -LAG_MS;

// Of the model that is opened. come: [time in s, bytes so far] of the last events, the oldest first; waits: its download waits.
const shown = { stage: null, done: 0, total: 0, come: [], waits: false };
// Of the file that is transcribed; come: [time in s, seconds covered]; pace: seconds of audio in a second, or null.
const heard = { audio: null, come: [], covered: 0, pace: null };

// Of opening the model `label`; the rest is the Worker's event.
export function ofOpening(label, { stage, done, total }) {
  if (stage !== shown.stage) Object.assign(shown, { stage, come: [] });
  Object.assign(shown, { done, total });
  showStage(label);
  if (stage !== "weights") return view.progress("");
  showBytes(rateOf(shown.come, done));
}

// Whether the download of the model `label` waits now, for whatever reason.
export function ofWaiting(label, waits) {
  shown.waits = waits;
  showStage(label);
}

// No model is being opened any more.
export function openingEnded() {
  Object.assign(shown, { stage: null, waits: false });
}

function showStage(name) {
  const { stage, done, waits } = shown;
  const loading = wording("status.loading", { name });
  const stages = {
    python: done ? loading : wording("status.starting_engine"),
    device: wording("status.opening_gpu"),
    kernels: wording("status.kernels"),
  };
  view.status(waits ? wording("status.waiting_for", { name }) : (stages[stage] ?? loading));
}

// The user pauses a download or goes on, or it begins after what the store had: how fast it was says nothing any more.
export function forgetRate() {
  shown.come = [];
  if (shown.stage === "weights") showBytes(null);
}

function showBytes(rate) {
  const { done, total } = shown;
  const amount = total ? wording("amount.of", { done: size(done), whole: size(total) }) : size(done);
  const pace = total > done && rate ? [wording("amount.rate", { size: size(rate) }), left((total - done) / rate)] : [];
  view.progress(facts([amount, ...pace]), done, total);
}

// Shows how far a transcription is: how late after a speaker, or how far through a file. covered: seconds of the audio
// whose text has come; delay: in seconds.
export function ofText(audio, covered, delay) {
  if (audio.live) {
    showLag(audio.seconds - covered);
    const late = audio.seconds - covered - delay;
    view.note(late > LATE_SECONDS ? wording("live.late") : null);
  } else {
    view.note(null);
    if (heard.audio !== audio || covered < (heard.come.at(-1)?.[1] ?? 0))
      Object.assign(heard, { audio, come: [], pace: null });
    const rate = rateOf(heard.come, covered);
    Object.assign(heard, { covered, pace: rate });
    const whole = audio.seconds; // null: unknown
    const amount = whole ? wording("amount.of", { done: clock(covered), whole: clock(whole) }) : clock(covered);
    const pace = rate && wording("amount.pace", { rate: number(rate, 1) });
    const rest = rate && whole > covered && left((whole - covered) / rate);
    view.progress(facts([amount, pace, rest]), covered, whole ?? 0);
  }
}

// Of the file that is transcribed: how many seconds of audio are done in a second, and how many are left; null if that is
// not known.
export function ofFile() {
  const { audio, covered, pace } = heard;
  return pace && audio.seconds ? { pace, rest: audio.seconds - covered } : null;
}

// Twice a second, as no one can read more.
function showLag(late) {
  if (performance.now() - lagShownAt < LAG_MS) return;
  lagShownAt = performance.now();
  view.lag(late);
}

// Notes that `done` is reached now. Returns how much comes in a second, or null as long as that is not known.
function rateOf(come, done) {
  const now = performance.now() / 1000;
  come.push([now, done]);
  while (come.length > 2 && now - come[1][0] > RATE_SECONDS) come.shift();
  const [since, before] = come[0];
  return done > before && now - since > LEAST_RATE_SECONDS ? (done - before) / (now - since) : null;
}

// length: in seconds.
export function left(length) {
  if (length < 90) return wording("amount.seconds_left", { count: Math.ceil(length) });
  const minutes = Math.ceil(length / 60);
  return minutes < 90
    ? wording("amount.minutes_left", { count: minutes })
    : wording("amount.hours_left", { hours: number(minutes / 60, 1) });
}
