// The keys: one that is held while one talks, if the user has chosen one, and Escape, which stops.

import { rememberChoice } from "./choices.js";
import { isPaused, pauseListening, resumeListening } from "./listening.js";
import { canSpeak, isListening, state, stopVerb } from "./state.js";
import { declined } from "./view.js";
import { wording } from "./words.js";

const talk = /** @type {HTMLSelectElement} */ (document.getElementById("talk-key"));
const FIELDS = "input, select, textarea, [contenteditable], dialog";

let acts = { speak: async () => {}, stop: () => {} };
let opening = null; // while the key is held: a promise, until the microphone is open

// speak(): what the Speak button does; stop(): what the Stop button does.
export function connectKeys(actions) {
  acts = actions;
  listenIn(window, () => {
    if (declined()) return;
    const isWritingLastWords = !isListening() && state.job?.recording; // whoever has stopped talking wants them
    if (isListening() || (stopVerb() === "stop" && !isWritingLastWords)) acts.stop();
  });
  addEventListener("blur", release); // the key may be let go elsewhere
}

// Takes the keys of a window: the page's, or that of the captions. onEscape: what Escape does there.
export function listenIn(view, onEscape) {
  view.addEventListener("keydown", (event) => {
    if (event.target.closest?.(FIELDS)) return;
    if (event.key === "Escape") onEscape();
    if (!isTalk(event)) return;
    event.preventDefault(); // a space would scroll the page, or press the button that has the focus
    if (opening || event.repeat) return;
    if (isPaused()) opening = Promise.resolve(resumeListening());
    else if (canSpeak()) opening = acts.speak();
  });
  view.addEventListener("keyup", (event) => {
    if (!opening || event.code !== talk.value) return;
    event.preventDefault();
    release();
  });
}

async function release() {
  const opened = opening;
  opening = null;
  await opened;
  if (opened) pauseListening(wording("talk.paused", { key: talk.selectedOptions[0].textContent }));
}

function isTalk({ code, target }) {
  if (!talk.value || code !== talk.value) return false;
  const pressed = target.closest?.("button, summary, a, [tabindex]");
  return code !== "Space" || !pressed || ["speak", "stop"].includes(pressed.id);
}

rememberChoice(talk);
