// How far the opening of a model, or a transcription, has come: in words and as a bar.

import * as view from "./view.js";

export const STARTING = "Starting the engine…";

const LATE_SECONDS = 3; // the text may be this far behind the voice before the page says so

const RATE_SECONDS = 10; // a rate is that of these last seconds

const shown = { stage: null, come: [] }; // come: [time in s, bytes so far] of the last events, the oldest first

// Of opening the model `label`; the rest is the Worker's event.
export function ofOpening(label, { stage, done, total }) {
  if (stage !== shown.stage) Object.assign(shown, { stage, come: [] });
  view.status(
    {
      python: done ? `Loading ${label}…` : STARTING,
      device: "Opening the GPU…",
      weights: `Loading ${label}…`,
      kernels: "Preparing the GPU's programs…",
    }[stage] ?? "Loading…",
  );
  if (stage !== "weights") return view.progress("");
  const now = performance.now() / 1000;
  shown.come.push([now, done]);
  while (shown.come.length > 2 && now - shown.come[1][0] > RATE_SECONDS) shown.come.shift();
  const [since, before] = shown.come[0];
  let amount = view.size(done) + (total ? ` of ${view.size(total)}` : "");
  if (total > done && done > before && now - since > 2) {
    const rate = (done - before) / (now - since);
    const left = (total - done) / rate;
    amount += `, ${view.size(rate)}/s, ${left < 90 ? `${Math.ceil(left)} s` : `${Math.ceil(left / 60)} min`} left`;
  }
  view.progress(amount, done, total);
}

// Shows how far a transcription is: how late after a speaker, or how far through a file. covered: seconds of the audio
// whose text has come; delay: in seconds.
export function ofText(audio, covered, delay) {
  if (audio.live) {
    const late = audio.seconds - covered - delay;
    view.note(
      late > LATE_SECONDS
        ? `The text is ${view.seconds(Math.round(late))} behind your voice. Nothing is lost: everything is ` +
            "recorded, and the text catches up after you stop."
        : null,
    );
  } else {
    view.note(null);
    view.progress(`${view.clock(covered)} of ${view.clock(audio.seconds)}`, covered, audio.seconds);
  }
}
