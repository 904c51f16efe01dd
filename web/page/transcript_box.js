// The transcript that is shown: its words can be heard, found and edited.

import { say } from "./spoken.js";
import { Transcript } from "./transcript.js";
import { facts, onLanguage, percent, wording } from "./words.js";

const AT_END = 40; // pixels: whoever reads the end follows it

/** @type {any} */
const box = document.getElementById("transcript");

export let shown = new Transcript();
let heard = { seek: null, toggle: null, now: null }; // what plays the audio: see `playable`
let playedAt = -1; // index of the word that is marked as played
let chosenAt = 0; // the second at which the word begins that was chosen last
let isAtEnd = true; // the end is in view: whoever reads it follows it
let top = 0; // how far it was scrolled, in pixels
let isFollowing = false; // the end comes into view at the next frame

// Shows a transcript in place of the one before, which stays as it is.
export function display(transcript) {
  editable(false);
  played(null);
  chosenAt = 0;
  showSurenessOf(null);
  find("");
  shown.box = null;
  shown = transcript;
  shown.box = box;
  shown.reword();
  box.replaceChildren(...shown.nodes);
  [isAtEnd, top] = [shown.text === "", 0];
  requestAnimationFrame(look);
  showSureness();
}

onLanguage(() => shown.reword());

// Before a transcript changes: whoever reads its end will read it then too.
export function follow(transcript) {
  if (transcript !== shown || isFollowing || !isAtEnd) return;
  isFollowing = true;
  requestAnimationFrame(() => {
    isFollowing = false;
    if (transcript === shown) box.scrollTop = box.scrollHeight;
  });
}

// Text that came, or a box that got lower, since it was scrolled to the end does not mean that the user went elsewhere.
function look() {
  if (box.scrollHeight - box.scrollTop - box.clientHeight < AT_END) isAtEnd = true;
  else if (box.scrollTop < top) isAtEnd = false;
  top = box.scrollTop;
}

box.addEventListener("scroll", look);

// A phone is turned, and the box gets lower when something is told below it.
new ResizeObserver(() => {
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}).observe(box);

// The whole text of a transcript has come, the result: see its `show`. A text that was edited takes the times alone.
export function complete(transcript, { text, words = [], restarts, edited }) {
  follow(transcript);
  const { scrollTop } = box;
  if (transcript === shown) played(null);
  transcript.show(text, words, restarts, edited);
  if (transcript !== shown) return;
  box.scrollTop = scrollTop;
  showSureness();
}

// --- how sure the model is of a word

const SURE = 0.8; // a word's confidence, 0 to 1, from which it is not marked
const DOUBTFUL = 0.5; // below it, it is marked more

function showSureness() {
  const ranges = { unsure: [], doubtful: [] };
  for (const paragraph of shown.paragraphs) {
    for (const word of paragraph.words) {
      if (!(word.confidence < SURE)) continue;
      const range = rangeOf({ paragraph, word });
      if (range) ranges[word.confidence < DOUBTFUL ? "doubtful" : "unsure"].push(range);
    }
  }
  for (const name in ranges) mark(name, ranges[name]);
}
// Tells of a word what else its tokens might have been; null: nothing.
function showSurenessOf(word) {
  const line = document.getElementById("sureness");
  line.hidden = !word?.alternatives?.length;
  if (line.hidden) return;
  const others = word.alternatives
    .map(([own, ...rest]) => [own, rest.filter(({ text, probability }) => text.trim() && probability >= 0.01)])
    .filter(([, rest]) => rest.length)
    .map(([own, rest]) => wording("sureness.for", { text: own.text.trim(), others: facts(rest.map(inPercent)) }));
  const values = { text: word.text, percent: percent(word.confidence), others: others.join("; ") };
  line.textContent = others.length ? wording("sureness.others", values) : wording("sureness.alone", values);
}

const inPercent = ({ text, probability }) =>
  wording("sureness.other", { text: text.trim(), percent: percent(probability) });

// --- hearing: a word that is clicked, and the word that is played

// seek(seconds): plays from there; toggle(): plays or pauses; now(): the second that is played. null if there is no audio.
export function playable(seek, toggle = null, now = null) {
  heard = { seek, toggle, now };
  box.classList.toggle("playable", Boolean(seek));
}

// Marks the word that is played, and keeps it in view; seconds: null if nothing is.
export function played(seconds) {
  const at = seconds === null ? -1 : indexAt(seconds);
  if (at === playedAt) return;
  playedAt = at;
  const range = at < 0 ? null : rangeOf(shown.times[at]);
  mark("played", range ? [range] : []);
  if (range) bring(range);
}

// Scrolls a place of the text into view.
function bring(range) {
  const [place, frame] = [range.getBoundingClientRect(), box.getBoundingClientRect()];
  if (place.top < frame.top || place.bottom > frame.bottom) box.scrollTop += place.top - frame.top - frame.height / 3;
}

// The last word that began before, or -1.
function indexAt(seconds) {
  const { times } = shown;
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle].word.start <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function rangeOf({ paragraph, word }) {
  const node = paragraph.line.firstChild;
  if (!node || word.at + word.text.length > node.length) return null;
  const range = new Range();
  range.setStart(node, word.at);
  range.setEnd(node, word.at + word.text.length);
  return range;
}

function mark(name, ranges) {
  if (!globalThis.CSS?.highlights) return; // an old browser: the words are only not marked
  if (ranges.length) CSS.highlights.set(name, new Highlight(...ranges));
  else CSS.highlights.delete(name);
}

function placeAt({ clientX, clientY }) {
  if (document.caretPositionFromPoint) {
    const place = document.caretPositionFromPoint(clientX, clientY);
    return place && [place.offsetNode, place.offset];
  }
  const range = /** @type {any} */ (document).caretRangeFromPoint?.(clientX, clientY);
  return range && [range.startContainer, range.startOffset];
}

box.addEventListener("click", (event) => {
  const begun = shown.paragraphs.find(({ element }) => element.firstChild === event.target);
  if (begun && event.target.matches(".time")) return heard.seek?.(begun.start);
  if (shown.isEditable || !getSelection().isCollapsed) return;
  const [node, offset] = placeAt(event) ?? [];
  const paragraph = shown.paragraphs.find(({ line }) => line.firstChild === node);
  const word = paragraph?.words.findLast(({ at }) => at <= offset);
  if (word) goToWord(word);
});

// The keys: space plays or pauses, left and right go from word to word.
box.addEventListener("keydown", (event) => {
  if (event.target !== box || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === " " && heard.toggle) heard.toggle();
  else if (step && shown.times.length) goToWord(wordAfter(heard.now?.() ?? chosenAt, step));
  else return;
  event.preventDefault();
});

// The word `step` words after the one at `seconds`.
function wordAfter(seconds, step) {
  const rounding = 0.001; // of the player's position
  const at = Math.max(0, Math.min(shown.times.length - 1, indexAt(seconds + rounding) + step));
  return shown.times[at].word;
}

// A word that the user chose is heard, if there is audio. How sure it is stays while the audio plays on; screen readers say it
// once.
function goToWord(word) {
  chosenAt = word.start;
  heard.seek?.(word.start);
  showSurenessOf(word);
  const line = document.getElementById("sureness");
  if (!line.hidden) say(line.textContent);
}

// --- finding

let found = []; // ranges
let foundAt = -1; // which of them was gone to

// Marks all places of a text. Returns how many there are.
export function find(wanted) {
  found = [];
  foundAt = -1;
  const lower = lowered(wanted);
  for (const { line } of lower ? shown.paragraphs : []) {
    const node = line.firstChild;
    const within = lowered(line.textContent);
    for (let at = within.indexOf(lower); at >= 0 && node; at = within.indexOf(lower, at + lower.length)) {
      if (at + lower.length > node.length) break;
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + lower.length);
      found.push(range);
    }
  }
  mark("found", found);
  mark("found-now", []);
  return found.length;
}

// In small letters, each in its place: that of İ may be two.
export function lowered(text) {
  const lower = text.toLocaleLowerCase();
  if (lower.length === text.length) return lower;
  return text.replace(/./gsu, (letter) => letter.toLocaleLowerCase().slice(0, letter.length));
}

// Goes to the next place that was found, or the one before (-1). Returns its number, from 1.
export function goTo(step) {
  if (!found.length) return 0;
  foundAt = (foundAt + step + found.length) % found.length;
  const range = found[foundAt];
  mark("found-now", [range]);
  range.startContainer.parentElement.scrollIntoView({ block: "nearest" });
  bring(range);
  return foundAt + 1;
}

// --- editing

export function editable(on) {
  box.classList.toggle("editable", on);
  shown.editable(on);
  if (on) shown.paragraphs[0]?.line.focus();
}

box.addEventListener("input", ({ target }) => {
  const paragraph = shown.paragraphs.find(({ line }) => line === target);
  if (!paragraph) return;
  shown.edited(paragraph);
  showSureness();
});
