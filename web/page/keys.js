// The keys: one that is held while one talks, if the user has chosen one, and Escape, which stops.

import { rememberChoice } from "./choices.js";
import { isPaused, pauseListening, resumeListening } from "./listening.js";
import { canSpeak, isListening, state, stopVerb } from "./state.js";
import { declined } from "./view.js";
import { wording } from "./words.js";

const talk = /** @type {HTMLSelectElement} */ (document.getElementById("talk-key"));
const FIELDS = "input, select, textarea, [contenteditable], dialog"; // what one types or chooses in
const TYPES_NOTHING = "F8";

let acts = { speak: async () => {}, stop: () => {} };
let opening = null; // while the key is held: a promise, until the microphone is open
let isTaken = false; // the key went down, and did nothing but what is done here

// speak(): what the Speak button does; stop(): what the Stop button does.
export function connectKeys(actions) {
  acts = actions;
  listenIn(window, () => {
    if (declined()) return;
    const isWritingLastWords = !isListening() && state.job?.recording; // whoever has stopped talking wants them
    if (isListening() || (stopVerb() === "stop" && !isWritingLastWords)) acts.stop();
  });
}

// Takes the keys of a window: the page's, or that of the captions. onEscape: what Escape does there.
export function listenIn(view, onEscape) {
  view.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.target.closest?.(FIELDS)) onEscape();
  });
  // Before what has the focus gets the key: a space would scroll the page, press a button, or play the audio.
  view.addEventListener("keydown", (event) => isTalk(event) && takeDown(event), true);
  view.addEventListener("keyup", (event) => event.code === talk.value && takeUp(event), true);
  view.addEventListener("blur", release); // the key may be let go elsewhere
}

// While one cannot talk, the key does what it always does.
function takeDown(event) {
  isTaken = Boolean(opening) || isPaused() || canSpeak();
  if (!isTaken) return;
  swallow(event);
  if (opening || event.repeat) return;
  opening = isPaused() ? Promise.resolve(resumeListening()) : acts.speak();
}

function takeUp(event) {
  if (!isTaken) return;
  swallow(event); // a button is pressed when a space goes up
  release();
}

function swallow(event) {
  event.preventDefault();
  event.stopPropagation();
}

async function release() {
  isTaken = false;
  const opened = opening;
  opening = null;
  await opened;
  if (opened) pauseListening(wording("talk.paused", { key: talk.selectedOptions[0].textContent }));
}

function isTalk({ code, target, isComposing }) {
  if (!talk.value || code !== talk.value || isComposing) return false;
  const field = code !== TYPES_NOTHING && target.closest?.(FIELDS);
  // The key works where it was just chosen, and where files are chosen, which looks like a button.
  return !field || field === talk || field.type === "file";
}

rememberChoice(talk);
