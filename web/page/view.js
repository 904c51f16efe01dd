// What the page shows. This file knows the page's elements, and nothing about the engine. The transcript is in
// reading.js and transcript_box.js, the settings in settings.js.

import { focusOn, isLost } from "./focus.js";
import { notice } from "./notices.js";
import { say } from "./spoken.js";
import * as title from "./title.js";
import { clock, number, put, wording } from "./words.js";

export {
  append,
  begin,
  bringText,
  clear,
  editsOf,
  find,
  finished,
  forget,
  hasUnkeptEdits,
  incomplete,
  isEdited,
  keep,
  keepRunning,
  rename,
  running,
  saveSubtitles,
  subtitlesOf,
  text,
  whenEdited,
  whenOpened,
} from "./reading.js";
export { chooseSettings, defaults, forLink, offerLongest, settings, showOffer } from "./settings.js";
export { complete } from "./transcript_box.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

let focusFollows = false;

// --- state

// name: loading, ready, transcribing, done or error; sentence: the new status, or null to keep it.
export function state(name, sentence) {
  document.documentElement.dataset.state = name;
  if (sentence) put(element("status"), sentence);
}

export const isLoading = () => document.documentElement.dataset.state === "loading";

export function status(sentence) {
  put(element("status"), sentence);
}

// What can be pressed now. speak, busy: true or false; dictates: false hides the Speak button, as Stop does; get: whether the
// button that gets the model is in its place; stop: the Stop button's label, or null to hide it.
export function controls({ speak, dictates, get, stop, busy }) {
  const [speaking, stopping] = [element("speak"), element("stop")];
  // After one of the two was pressed, the keyboard's focus moves to the next one that can be pressed.
  if ([speaking, stopping].includes(document.activeElement)) focusFollows = true;
  else if (document.activeElement !== document.body) focusFollows = false;
  speaking.disabled = !speak;
  speaking.hidden = !dictates || get || Boolean(stop);
  offerModel("get", get && !stop);
  stopping.hidden = !stop;
  stopping.textContent = stop || "";
  for (const id of ["again", "transcribe"]) element(id).disabled = busy;
  if (focusFollows && (stop || speak)) (stop ? stopping : speaking).focus();
}

// A button that does what the one of the first minute does, where that is out of sight.
export function offerModel(id, shown) {
  const first = element("get-model");
  element(id).hidden = !shown;
  element(id).textContent = first.textContent;
  element(id).onclick = () => first.click();
}

// While something runs. When it has ended, the focus moves on from there.
export function goToWork() {
  element("stop").focus();
  element("work").scrollIntoView({ block: "nearest" });
}

// Whether the page shows its first minute: what it is, and the one model to get.
export function welcome(shown) {
  element("welcome").hidden = !shown;
}

// What makes this machine slow, or null.
export function warning(sentence) {
  notice("warning", sentence);
}

// sentence: null if nothing is wrong any more; retry: what the “Try again” button does, or null for no button.
export function error(sentence, retry = null) {
  notice("error", sentence, true);
  element("retry").hidden = !retry;
  element("retry").onclick = retry;
}

// A question with a list and two buttons, labelled `yes` and `no`. isDeleting: yes deletes something. Resolves with true or
// false; what had the focus before has it again then.
export function ask(text, items, yes, no, isDeleting = false) {
  const before = document.activeElement;
  element("question-text").textContent = text;
  element("question-list").replaceChildren(
    ...items.map((item) => {
      const line = document.createElement("li");
      line.textContent = item;
      return line;
    }),
  );
  element("confirm").textContent = yes;
  element("confirm").className = isDeleting ? "danger" : "strong";
  element("decline").textContent = no;
  element("question").hidden = false;
  element("question-text").focus();
  return new Promise((resolve) => {
    const answer = (value) => () => {
      element("question").hidden = true;
      if (isLost()) focusOn(before);
      resolve(value);
    };
    element("confirm").onclick = answer(true);
    element("decline").onclick = answer(false);
  });
}

// Whether a question was open: the answer is no then.
export function declined() {
  const isAsked = !element("question").hidden;
  if (isAsked) element("decline").click();
  return isAsked;
}

// --- progress, level, a note on both

// text: the progress in words, or null to hide it. total: 0 if it is unknown.
export function progress(text, done = 0, total = 0) {
  element("progress").hidden = text === null;
  element("amount").textContent = text ?? "";
  title.ofPart(text !== null && total > 0 ? done / total : null);
  const bar = element("bar-amount");
  if (total > 0) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
}

// What a download waits for, or null. A number that counts down is seen; screen readers say the sentence once.
export function download(sentence) {
  const place = element("download");
  const words = () => place.textContent.replace(/\p{Nd}+/gu, "");
  const before = words();
  put(place, sentence);
  place.hidden = !sentence;
  if (sentence && words() !== before) say(place.textContent);
}

// label: of the button that pauses a download or lets it go on, or null to hide it.
export function pause(label, press = null) {
  element("pause").hidden = !label;
  element("pause").textContent = label ?? "";
  element("pause").onclick = press;
}

// seconds: recorded so far, or null if the microphone is off; peak: 0 to 1.
export function level(seconds, peak = 0) {
  element("live").hidden = seconds === null;
  title.ofRecording(seconds === null ? null : clock(seconds));
  if (seconds === null) return;
  element("clock").textContent = clock(seconds);
  // The meter is in decibels, as ears hear; -50 dB is silence in a room.
  const percent = Math.round(100 * Math.min(1, Math.max(0, 1 + (20 * Math.log10(peak + 1e-9)) / 50)));
  element("level").setAttribute("aria-valuenow", percent);
  element("level-bar").style.transform = `scaleX(${percent / 100})`;
}

// The clock is not that of a recording that runs.
export function paused(on) {
  element("clock").classList.toggle("quiet", on);
}

// How many seconds the text is behind the sound, or null if that is not known.
export function lag(late) {
  element("lag").textContent = late === null ? "" : wording("live.lag", { seconds: number(Math.max(0, late), 1) });
}

// What is chosen before one speaks gives its place to the text; the focus goes on from there.
export function fold() {
  if (element("bar").contains(document.activeElement)) element("stop").focus();
  for (const id of ["sources", "more-audio"]) element(id).open = false;
}

// What is wrong with the sound, or null.
export function hint(sentence) {
  notice("hint", sentence);
}

export function note(sentence) {
  put(element("note"), sentence);
  element("note").hidden = !sentence;
}

// Scrolls an element into sight, if it is out of it.
export function reveal(id) {
  element(id).scrollIntoView({ block: "nearest" });
}

// Shows another sentence in an element; what is below it stays where it is.
export function replace(place, sentence) {
  place.style.minHeight = `${place.offsetHeight}px`;
  put(place, sentence);
}

// --- buttons and files

export function button(label, press) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.onclick = press;
  return made;
}

// A value as a file has it that people may read too.
export const jsonOf = (value) => `${JSON.stringify(value, null, 1)}\n`;

export function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// --- model

// hint: shown where the text will appear.
export function model(sentence, hint = "") {
  element("model").textContent = sentence;
  element("transcript").dataset.empty = wording("transcript.empty", { hint }).trim();
}

// Whether the user wants chosen files to be kept.
export function keepsFiles() {
  return element("keep-files").checked;
}

// Why a model is not kept on this machine, or null.
export function notKept(sentence) {
  notice("not-kept", sentence);
}

// A button that transcribes the audio of this name; null hides it.
export function offer(name, press = null) {
  element("transcribe").hidden = !name;
  element("transcribe").textContent = wording("work.transcribe", { name });
  element("transcribe").onclick = press;
}
