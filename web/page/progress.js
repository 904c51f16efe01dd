// How far the opening of a model, or a transcription, has come: in words and as a bar.

import * as view from "./view.js";

export const STARTING = "Starting the engine…";

const LATE_SECONDS = 3; // the text may be this far behind the voice before the page says so

const shown = { stage: null, since: 0 };

// Of opening the model `label`; the rest is the Worker's event.
export function ofOpening(label, { stage, done, total }) {
  if (stage !== shown.stage) Object.assign(shown, { stage, since: performance.now() });
  view.status(
    {
      python: done ? `Loading ${label}…` : STARTING,
      device: "Opening the GPU…",
      weights: `Loading ${label}…`,
      kernels: "Preparing the GPU's programs…",
    }[stage] ?? "Loading…",
  );
  if (stage !== "weights") return view.progress("");
  let amount = view.size(done) + (total ? ` of ${view.size(total)}` : "");
  const seconds = (performance.now() - shown.since) / 1000;
  if (total > done && done && seconds > 2) {
    const left = (seconds * (total - done)) / done;
    amount += `, ${left < 90 ? `${Math.ceil(left)} s` : `${Math.ceil(left / 60)} min`} left`;
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
