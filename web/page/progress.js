// How far the opening of a model, or a transcription, has come: in words and as a bar.

import * as view from "./view.js";

export const STARTING = "Starting the engine…";

const LATE_SECONDS = 3; // the text may be this far behind the voice before the page says so

const RATE_SECONDS = 10; // a rate is that of these last seconds
const LEAST_RATE_SECONDS = 2; // it is not known before

const LAG_MS = 500;
let lagShownAt = -LAG_MS;

// Of the model that is opened. come: [time in s, bytes so far] of the last events, the oldest first.
const shown = { stage: null, done: 0, total: 0, come: [] };
const heard = { audio: null, come: [] }; // of the file that is transcribed: [time in s, seconds covered]

// Of opening the model `label`; the rest is the Worker's event.
export function ofOpening(label, { stage, done, total }) {
  if (stage !== shown.stage) Object.assign(shown, { stage, come: [] });
  Object.assign(shown, { done, total });
  view.status(
    {
      python: done ? `Loading ${label}…` : STARTING,
      device: "Opening the GPU…",
      weights: `Loading ${label}…`,
      kernels: "Preparing the GPU's programs…",
    }[stage] ?? "Loading…",
  );
  if (stage !== "weights") return view.progress("");
  showBytes(rateOf(shown.come, done));
}

// The user pauses a download or goes on, or it begins after what the store had: how fast it was says nothing any more.
export function forgetRate() {
  shown.come = [];
  if (shown.stage === "weights") showBytes(null);
}

function showBytes(rate) {
  const { done, total } = shown;
  let amount = view.size(done) + (total ? ` of ${view.size(total)}` : "");
  if (total > done && rate) amount += `, ${view.size(rate)}/s, ${left((total - done) / rate)}`;
  view.progress(amount, done, total);
}

// Shows how far a transcription is: how late after a speaker, or how far through a file. covered: seconds of the audio
// whose text has come; delay: in seconds.
export function ofText(audio, covered, delay) {
  if (audio.live) {
    showLag(audio.seconds - covered);
    const late = audio.seconds - covered - delay;
    view.note(
      late > LATE_SECONDS
        ? `The text is ${view.seconds(Math.round(late))} behind your voice. Nothing is lost: everything is ` +
            "recorded, and the text catches up after you stop."
        : null,
    );
  } else {
    view.note(null);
    if (heard.audio !== audio || covered < (heard.come.at(-1)?.[1] ?? 0)) Object.assign(heard, { audio, come: [] });
    const rate = rateOf(heard.come, covered);
    const { seconds } = audio; // null: unknown
    let amount = view.clock(covered) + (seconds ? ` of ${view.clock(seconds)}` : "");
    if (rate) amount += `, ${rate.toFixed(1)} times as fast as speech`;
    if (rate && seconds > covered) amount += `, ${left((seconds - covered) / rate)}`;
    view.progress(amount, covered, seconds ?? 0);
  }
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

function left(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s left`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min left` : `${(minutes / 60).toFixed(1)} h left`;
}
